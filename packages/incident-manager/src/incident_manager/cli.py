"""Command line of the incident manager."""
