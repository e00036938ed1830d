"""Shield."""

import pytest

from incident_manager.demo.llm.server import ServiceServer
from incident_manager.llm.errors import MalformedAnswerError
from incident_manager.llm.shield import Shield


async def test_clean_text_passes_as_it_is(shield_client: Shield) -> None:
    scan = await shield_client.scan("nothing to see")
    assert scan.is_valid
    assert scan.clean("nothing to see") == "nothing to see"


async def test_text_with_a_secret_passes_sanitized(shield_client: Shield) -> None:
    text = "login failed, password: hunter2"
    scan = await shield_client.scan(text)
    assert not scan.is_valid
    assert scan.clean(text) == "login failed, password: [REMOVED]"
    assert scan.findings == ["secrets"]


async def test_output_of_a_model_is_scanned(shield_client: Shield) -> None:
    assert not (await shield_client.scan_output("hello", "your password: abc")).is_valid


async def test_batch_gives_one_result_for_each_text(shield_client: Shield) -> None:
    results = await shield_client.scan_batch(["fine", "password: x", "fine"])
    assert [result.is_valid for result in results] == [True, False, True]


async def test_batch_with_a_result_missing_is_malformed_and_counts_as_failure(
    shield_client: Shield, shield_server: ServiceServer
) -> None:
    shield_server.switch.answer = {"results": [], "totalTimeMs": 1, "successCount": 0, "failureCount": 0}
    with pytest.raises(MalformedAnswerError, match="0 results for 1 texts"):
        await shield_client.scan_batch(["one"])
    assert shield_client.breaker.stats().failed == 1
