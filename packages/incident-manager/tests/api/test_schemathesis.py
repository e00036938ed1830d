"""Schemathesis throws what the OpenAPI document allows, and what it does not, at the running service."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from testing.live import LiveApp

from incident_manager.app import create_app
from incident_manager.settings import Settings

TOKEN = "a" * 40
PLENTY: Any = {"per_second": 1e6, "burst": 1_000_000}

# Every check is on. A request that fits the schema may be refused with 412 (If-Match names another version), with 422
# (a cursor of another query, a moment that has passed, a word that is no severity) and with 400 (a number of more than
# 64 bits where nobody looks), and an event whose attributes are missing in the headers with 415: rules that JSON Schema
# cannot say.
CONFIG = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", 400, 401, 403, 404, 409, 412, 415, 422]
"""

# The stream does not end, and an open circuit of the database would hide everything behind 503.
LEFT_OUT = ("/v1/stream", "/v1/circuit-breakers/{name}/open")


def test_no_request_is_answered_with_a_fault_or_otherwise_than_documented(tmp_path: Path) -> None:
    tokens: Any = {"root": {"roles": ["admin"], "token": TOKEN}}
    access: Any = {"rate": PLENTY, "ingest_rate": PLENTY, "failure_rate": PLENTY}
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    with LiveApp(create_app(Settings(data_dir=tmp_path / "data", tokens=tokens, access=access))) as live:
        options = ["--checks", "all", "--max-examples", "3", "--seed", "1", "--no-color"]
        options += [
            "--continue-on-failure",
            "--generation-allow-x00",
            "false",
            "--header",
            f"Authorization: Bearer {TOKEN}",
        ]
        for path in LEFT_OUT:
            options += ["--exclude-path", path]
        program = Path(sys.executable).with_name("schemathesis")
        done = subprocess.run(
            [program, "run", f"{live.url}/openapi.json", *options],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Failures:" not in done.stdout, done.stdout
