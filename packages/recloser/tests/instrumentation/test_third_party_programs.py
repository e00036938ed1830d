"""Programs of other people, as they come from the package index, against real servers that fail."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from packages.recloser.tests.instrumentation.programs import BIN, Programs, closed_port
from packages.recloser.tests.integrations.raw_server import RawServer, answer
from testing.servers import PostgresServer

OPEN_AT_ONCE = """
instrument:
  kinds:
    http: {failure_threshold: 1}
    postgresql: {failure_threshold: 1}
    openai: {failure_threshold: 1}
"""


@pytest.fixture
def at_once(programs: Programs) -> list[str]:
    """Options by which one failure opens every circuit."""
    return ["--config", str(programs.write("breakers.yaml", OPEN_AT_ONCE))]


def only(reports: list[dict[str, Any]]) -> dict[str, Any]:
    [report] = reports
    [dependency] = report["dependencies"]
    found: dict[str, Any] = dependency
    return found


# HTTPie, on requests

HTTP = [str(BIN / "http"), "--ignore-stdin", "--check-status"]


def test_httpie_gets_its_answer(programs: Programs, server: RawServer, tmp_path: Path) -> None:
    server.otherwise = [answer(200, b'{"fine": true}', content_type="application/json")]
    report = tmp_path / "report.json"
    done = programs.run(*HTTP, "--body", server.url, options=["--report", str(report)])
    assert (json.loads(done.stdout), done.returncode) == ({"fine": True}, 0)
    found = only(programs.reports(report))
    assert (found["name"], found["calls"], found["failed"]) == (f"http:127.0.0.1:{server.port}", 1, 0)


def test_httpie_that_is_redirected_has_a_breaker_for_each_host(
    programs: Programs, server: RawServer, at_once: list[str], tmp_path: Path
) -> None:
    with RawServer(otherwise=[answer(302, b"", location=server.url)]) as front:
        server.otherwise = [answer(503, b"", retry_after="30")]
        report = tmp_path / "report.json"
        done = programs.run(*HTTP, "--follow", front.url, options=[*at_once, "--report", str(report)])
    assert done.returncode == 5  # HTTPie's own code for 5xx
    [written] = programs.reports(report)
    assert [(row["failed"], row["openings"]) for row in written["dependencies"]] == [(0, 0), (1, 1)]


def test_httpie_with_a_dead_host_fails_as_ever_and_reports(programs: Programs, at_once: list[str]) -> None:
    done = programs.run(*HTTP, f"http://127.0.0.1:{closed_port()}", options=[*at_once, "--observe-only"])
    assert done.returncode == 1
    assert "Connection refused" in done.stderr
    assert done.stderr.splitlines()[-1].split()[1:5] == ["1", "1", "0", "0"]


# Alembic, on SQLAlchemy and psycopg, with PostgreSQL


@pytest.fixture(scope="module")
def database() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


ENV = """
from alembic import context
from sqlalchemy import create_engine

engine = create_engine(context.config.get_main_option("sqlalchemy.url"))
for attempt in (1, 2, 3):
    try:
        connection = engine.connect()
        break
    except Exception as error:
        print(type(error).__name__, type(error.orig).__name__, flush=True)
else:
    raise SystemExit(9)
with connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
REVISION = """
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "0001", None, None, None

def upgrade():
    op.create_table("orders", sa.Column("id", sa.Integer, primary_key=True))

def downgrade():
    op.drop_table("orders")
"""


def alembic(programs: Programs, database: PostgresServer) -> list[str]:
    url = sqlalchemy.make_url(database.url).set(drivername="postgresql+psycopg")
    programs.write("migrations/env.py", ENV)
    programs.write("migrations/script.py.mako", "")
    programs.write("migrations/versions/0001.py", REVISION)
    text = url.render_as_string(hide_password=False)
    programs.write("alembic.ini", f"[alembic]\nscript_location = migrations\nsqlalchemy.url = {text}\n")
    return [str(BIN / "alembic")]


def test_alembic_migrates_and_is_counted(programs: Programs, database: PostgresServer, tmp_path: Path) -> None:
    command, report = alembic(programs, database), tmp_path / "report.json"
    options = ["--report", str(report)]
    assert programs.run(*command, "upgrade", "head", options=options).returncode == 0
    assert programs.run(*command, "downgrade", "base", options=options).returncode == 0
    for written in programs.reports(report):
        found = only([written])
        assert found["name"] == f"postgresql:127.0.0.1:{database.port}/{sqlalchemy.make_url(database.url).database}"
        assert (found["calls"] > 5, found["failed"], found["rejected"]) == (True, 0, 0)


def test_alembic_with_a_dead_database_is_rejected_by_its_own_error(
    programs: Programs, database: PostgresServer, at_once: list[str], tmp_path: Path
) -> None:
    command, report = alembic(programs, database), tmp_path / "report.json"
    database.stop()
    try:
        done = programs.run(*command, "upgrade", "head", options=[*at_once, "--report", str(report)])
    finally:
        database.start()
    assert done.returncode == 9
    rejected = "OperationalError CircuitOpenOperationalError"
    assert done.stdout.splitlines() == ["OperationalError OperationalError", rejected, rejected]
    found = only(programs.reports(report))
    assert (found["calls"], found["failed"], found["rejected"]) == (1, 1, 2)


# llm, on the OpenAI SDK, with a mock provider


def llm(programs: Programs, base_url: str) -> dict[str, str]:
    models = f"- model_id: mock\n  model_name: mock\n  api_base: {base_url}\n  api_key_name: mock\n"
    programs.write("llm/extra-openai-models.yaml", models)
    programs.write("llm/keys.json", json.dumps({"mock": "not-a-secret"}))
    return {"LLM_USER_PATH": str(programs.folder / "llm")}


ASK = [str(BIN / "llm"), "--model", "mock", "--no-log"]


@pytest.mark.parametrize("streaming", [["--no-stream"], []], ids=["plain", "stream"])
def test_llm_gets_its_answer_as_a_call_of_the_provider(
    programs: Programs, llmock: Any, tmp_path: Path, streaming: list[str]
) -> None:
    variables, report = llm(programs, llmock.base_url("openai")), tmp_path / "report.json"
    done = programs.run(*ASK, *streaming, "hello", options=["--report", str(report)], **variables)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()
    found = only(programs.reports(report))
    assert found["name"].startswith("openai:")
    assert (found["calls"], found["failed"]) == (1, 0)


def test_llm_with_a_failing_provider_tries_once_and_is_told_why(
    programs: Programs, server: RawServer, at_once: list[str], tmp_path: Path
) -> None:
    server.otherwise = [answer(500, b"{}", content_type="application/json")]
    variables, report = llm(programs, f"{server.url}/v1"), tmp_path / "report.json"
    done = programs.run(*ASK, "--no-stream", "hello", options=[*at_once, "--report", str(report)], **variables)
    assert done.returncode != 0
    assert f"circuit 'openai:127.0.0.1:{server.port}' is open" in done.stderr
    assert len(server.requests) == 1
    found = only(programs.reports(report))
    assert (found["calls"], found["failed"], found["rejected"]) == (1, 1, 1)


def test_llm_with_a_failing_provider_retries_as_ever_while_it_is_observed(
    programs: Programs, server: RawServer, at_once: list[str]
) -> None:
    server.otherwise = [answer(500, b"{}", content_type="application/json")]
    variables = llm(programs, f"{server.url}/v1")
    done = programs.run(*ASK, "--no-stream", "hello", options=[*at_once, "--observe-only"], **variables)
    assert len(server.requests) == 3  # the SDK's own retries
    assert done.stderr.splitlines()[-1].split()[:5] == [f"openai:127.0.0.1:{server.port}", "3", "3", "0", "2"]
