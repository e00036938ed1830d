"""SIGHUP: the settings file is taken over, and the service goes on."""

import os
import signal

import yaml
from testing.service import IncidentManager, eventually


def test_settings_are_taken_over_at_sighup(service: IncidentManager) -> None:
    changed = {**service.config, "reload_interval": None, "routes": [], "log_level": "debug"}
    (service.folder / "settings.yaml").write_text(yaml.safe_dump(changed))
    os.kill(service.pid, signal.SIGHUP)
    eventually(lambda: service.log, lambda log: "the settings were taken over from settings.yaml" in log)
    with service.client() as client:
        created = client.post("/v1/incidents", json={"title": "Told to nobody", "severity": "P1"}).raise_for_status()
        shown = client.get(f"/v1/incidents/{created.json()['id']}").raise_for_status().json()
    assert shown["notifications"] == []
