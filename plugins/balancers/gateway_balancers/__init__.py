"""Balancers beyond the built-in ones."""
