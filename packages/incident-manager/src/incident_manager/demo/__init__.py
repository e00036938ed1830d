"""``incident-manager demo``: the story of an alert, a dying receiver and a circuit breaker, on real parts."""

from incident_manager.demo.story import DemoError, run_demo

__all__ = ["DemoError", "run_demo"]
