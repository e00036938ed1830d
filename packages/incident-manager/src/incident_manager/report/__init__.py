"""A report for people: what incidents there were, and what the circuit breakers were good for."""
