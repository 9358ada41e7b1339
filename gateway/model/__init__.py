"""The words of a configuration, and one request's state."""
