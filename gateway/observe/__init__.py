"""Seeing what happens: metrics, access log, traces, identity."""
