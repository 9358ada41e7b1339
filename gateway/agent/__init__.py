"""The agent of a node: configuration, health, management."""
