"""Plugins that refuse what is too much."""
