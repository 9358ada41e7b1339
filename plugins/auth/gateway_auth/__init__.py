"""Plugins that know the caller."""
