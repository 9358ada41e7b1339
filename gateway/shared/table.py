"""Placeholder replaced by the table shared by the workers of a node."""


class SharedTable:
    """Numbers by key, shared by the workers of a node."""
