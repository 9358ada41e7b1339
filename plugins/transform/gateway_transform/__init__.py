"""Plugins that change requests and responses."""
