"""How the service is doing, for people and for Prometheus."""
