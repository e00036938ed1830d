"""Breakers seen from outside: one module per target, each needs its own extra."""
