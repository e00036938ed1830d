"""Durable storage: one schema, the statements on it, and the outbox, all behind one circuit breaker."""
