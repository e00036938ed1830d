"""``python -m incident_manager`` is ``incident-manager``."""

from incident_manager.cli import main

main()
