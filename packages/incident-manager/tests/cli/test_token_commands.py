"""incident-manager tokens: made, listed and revoked without a running service."""

from pathlib import Path
from typing import Any

import pytest
from commands import run
from testing.live import LiveApp
from testing.service import eventually

from incident_manager.app import create_app
from incident_manager.settings import Settings


def test_a_token_opens_the_service_until_it_is_revoked(tmp_path: Path) -> None:
    made = run("tokens", "create", "wallboard", "--role", "read", "--role", "ingest", folder=tmp_path)
    assert made.returncode == 0, made.stderr
    [token] = made.stdout.split()  # alone, so that a script can take it
    token_id = token.split("_")[1]
    listed = run("tokens", "list", folder=tmp_path)
    assert (listed.returncode, token not in listed.stdout) == (0, True), listed.stderr
    line = next(line for line in listed.stdout.splitlines() if token_id in line)
    assert "wallboard" in line
    assert "ingest, read" in line
    access: Any = {"refresh": 0.05}
    with (
        LiveApp(create_app(Settings(data_dir=tmp_path / "data", access=access))) as live,
        live.client() as client,
    ):
        headers = {"Authorization": f"Bearer {token}"}
        assert client.get("/v1/incidents").status_code == 401
        assert client.get("/v1/incidents", headers=headers).status_code == 200
        assert run("tokens", "revoke", token_id, folder=tmp_path).returncode == 0
        eventually(lambda: client.get("/v1/incidents", headers=headers).status_code, lambda status: status == 401)
    assert "the token was revoked" in run("tokens", "list", folder=tmp_path).stdout


def test_a_token_for_the_settings_is_only_printed(tmp_path: Path) -> None:
    made = run("tokens", "create", "prometheus", "--role", "ingest", "--no-store", folder=tmp_path)
    assert not (tmp_path / "data").exists()
    digest = made.stderr.rpartition("hash: ")[2].strip()
    tokens: Any = {"prometheus": {"roles": ["ingest"], "hash": digest}}
    with LiveApp(create_app(Settings(data_dir=tmp_path / "x", tokens=tokens))) as live, live.client() as client:
        headers = {"Authorization": f"Bearer {made.stdout.strip()}"}
        assert client.post("/v1/alerts", json={"title": "x"}, headers=headers).status_code == 202


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("create", " ", "--role", "read"), "name must be"),
        (("create", "x"), "--role"),
        (("create", "x", "--role", "root"), "'root' is not one of"),
        (("create", "x", "--role", "read", "--expires-in-days", "0"), "--expires-in-days"),
        (("revoke", "000000000000"), "no token has the id"),
        (("revoke", "settings:ops"), "stands in the settings"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    done = run("tokens", *arguments, folder=tmp_path)
    assert done.returncode != 0
    assert message in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr
