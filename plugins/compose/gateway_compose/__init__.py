"""Make one response of several."""
