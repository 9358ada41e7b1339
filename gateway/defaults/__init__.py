"""Core behaviour written as plugins."""
