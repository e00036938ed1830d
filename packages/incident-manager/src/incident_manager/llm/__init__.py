"""The LLM-ops services: typed clients, each behind its circuit breaker, and what is done without them."""
