"""The HTTP API: routers, one shape for every error, limits on what a request may be."""
