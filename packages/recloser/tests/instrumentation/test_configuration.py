"""What a file says of a program that is not edited: kinds, names, and what is left out."""

from pathlib import Path
from typing import Any

import pytest
import requests
from packages.recloser.tests.instrumentation.conftest import Instrument
from packages.recloser.tests.instrumentation.programs import Programs, closed_port
from packages.recloser.tests.integrations.raw_server import RawServer

import recloser
from recloser import CircuitOpenError, ConfigError, Registry, load_config, presets
from recloser.cli import main
from recloser.integrations.requests import protect
from recloser.targets import KINDS, TARGETS


@pytest.fixture
def written(tmp_path: Path) -> Any:
    def write(text: str, name: str = "breakers.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def ask(port: int) -> None:
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://127.0.0.1:{port}", timeout=5)


def test_dependency_without_a_file_has_the_preset_of_its_kind(instrument: Instrument) -> None:
    registry, port = instrument(None).registry, closed_port()
    ask(port)
    assert registry[f"http:127.0.0.1:{port}"].settings == presets.http_api()


def test_name_beats_kind_and_kind_beats_defaults(instrument: Instrument, written: Any) -> None:
    port, other = closed_port(), closed_port()
    registry = instrument(
        written(
            f"""
defaults: {{open_for: 1, success_threshold: 9, half_open_timeout: 7}}
instrument: {{kinds: {{http: {{open_for: 2, failure_threshold: 20}}}}}}
breakers: {{"http:127.0.0.1:{port}": {{open_for: 3}}}}
"""
        )
    ).registry
    ask(port)
    ask(other)
    named, of_kind = (registry[f"http:127.0.0.1:{each}"].settings for each in (port, other))
    assert (named.open_for, named.failure_threshold, named.success_threshold) == (3.0, 20, 9)
    assert (of_kind.open_for, of_kind.failure_threshold, of_kind.half_open_timeout) == (2.0, 20, 7.0)


def test_environment_overrides_a_dependency_by_its_name(
    instrument: Instrument, sensitive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = closed_port()
    monkeypatch.setenv(f"RECLOSER_HTTP_127_0_0_1_{port}__OPEN_FOR", "77")
    config = load_config(sensitive)
    registry = instrument(config).registry
    ask(port)
    assert registry[f"http:127.0.0.1:{port}"].settings.open_for == 77.0


def test_client_that_is_left_out_is_not_patched(instrument: Instrument, written: Any) -> None:
    done = instrument(written("instrument: {leave_out: [requests]}"))
    assert "requests" not in done.patched
    assert "requests" not in done.waiting
    assert {"httpx", "redis"} <= {*done.patched, *done.waiting}


def test_breakers_of_the_file_are_seen_before_their_first_call(instrument: Instrument, written: Any) -> None:
    done = instrument(written("breakers: {'http:example.com': {}}"), observe_only=True)
    assert [(breaker.name, str(breaker.control)) for breaker in done.registry] == [("http:example.com", "observe_only")]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("instrument: 1", "instrument: 1: must be a mapping with the keys observe_only, leave_out, kinds"),
        ("instrument: {observed: true}", "instrument.observed: is not a known key; did you mean 'observe_only'?"),
        ("instrument: {observe_only: 1}", "instrument.observe_only: 1: must be true or false"),
        ("instrument: {leave_out: redis}", "instrument.leave_out: 'redis': must be a list of clients"),
        ("instrument: {leave_out: [reddis]}", "instrument.leave_out: 'reddis': is neither a client (aiohttp, "),
        ("instrument: {leave_out: [1]}", "instrument.leave_out: 1: is neither a client"),
        ("instrument: {kinds: {htpp: {}}}", "instrument.kinds.htpp: is not a known key; did you mean 'http'?"),
        ("instrument: {kinds: {http: {open_for: -1}}}", "instrument.kinds.http.open_for: -1: must be a finite number"),
        ("instrument: {kinds: {http: {group: a}}}", "instrument.kinds.http.group: is not a known key"),
        (
            "instrument: {kinds: {http: {slow_call_rate_threshold: 0.5}}}",
            "instrument.kinds.http.slow_call_rate_threshold: 0.5: needs slow_call_duration",
        ),
    ],
)
def test_mistake_names_the_key_the_value_and_the_rule(
    instrument: Instrument, written: Any, text: str, problem: str
) -> None:
    before = vars(requests.adapters.HTTPAdapter)["send"]
    with pytest.raises(ConfigError) as caught:
        instrument(written(text))
    assert problem in str(caught.value)
    assert vars(requests.adapters.HTTPAdapter)["send"] is before


def test_explain_knows_dependencies_that_the_file_does_not_name(
    written: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written("instrument: {kinds: {redis: {open_for: 4}}}")
    assert main(["config", "explain", "redis:cache", "--file", str(path)]) == 0
    rows = {row.split()[0]: row.split()[1:3] for row in capsys.readouterr().out.splitlines()}
    assert rows["open_for"] == ["4.0", f"{path}:"]
    assert rows["failure_threshold"] == [str(presets.cache().failure_threshold), "code"]


def test_every_kind_has_a_preset_and_every_client_a_place_in_the_table() -> None:
    assert set(KINDS.values()) <= set(presets.PRESETS)
    assert [target.client for target in TARGETS] == sorted(target.client for target in TARGETS)


def test_settings_of_the_programs_own_breakers_never_meet_these(instrument: Instrument, server: RawServer) -> None:
    registry, own = instrument(None).registry, Registry()
    requests.get(server.url, timeout=5)
    with protect(requests.Session(), registry=own, settings=presets.http_api(failure_threshold=1)) as session:
        session.get(server.url, timeout=5)
    name = f"http:127.0.0.1:{server.port}"
    assert (own[name].settings.failure_threshold, registry[name].settings.failure_threshold) == (1, 5)


def test_operators_word_on_a_breaker_of_the_file_outlives_its_first_call(instrument: Instrument, written: Any) -> None:
    port = closed_port()
    name = f"http:127.0.0.1:{port}"
    done = instrument(written(f"breakers: {{'{name}': {{}}}}"), observe_only=True)
    done.registry[name].force_open("maintenance")
    with pytest.raises(CircuitOpenError):
        requests.get(f"http://127.0.0.1:{port}", timeout=5)


def test_contradiction_that_only_a_call_shows_is_logged_and_the_program_goes_on(
    instrument: Instrument, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    port = closed_port()
    monkeypatch.setenv(f"RECLOSER_HTTP_127_0_0_1_{port}__SLOW_CALL_RATE_THRESHOLD", "0.5")
    registry = instrument(None).registry
    ask(port)
    assert registry[f"http:127.0.0.1:{port}"].settings == presets.http_api()
    assert "needs slow_call_duration" in caplog.text


def test_registry_that_was_given_is_not_in_shadow_mode_after_uninstrument(instrument: Instrument) -> None:
    registry = Registry()
    instrument(None, registry=registry, observe_only=True)
    recloser.uninstrument()
    assert str(registry.get_or_create("later").control) == "automatic"


def test_second_instrument_changes_nothing_and_says_so(
    instrument: Instrument, caplog: pytest.LogCaptureFixture
) -> None:
    first = instrument()
    assert instrument(observe_only=True) is first
    assert "this process is instrumented already" in caplog.text


def test_program_that_instruments_itself_runs_as_it_is_run(programs: Programs) -> None:
    source = "import recloser, requests; print(recloser.instrument() is recloser.instrument())"
    done = programs.python(source)
    assert (done.stdout, done.returncode) == ("True\n", 0)
