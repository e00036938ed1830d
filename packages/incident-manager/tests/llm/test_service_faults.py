"""Whatever a service does wrong: a typed error, the right outcome for its breaker, and no secret in the text."""

import contextlib
import traceback
from collections.abc import Awaitable, Callable

import pytest

from incident_manager.demo.llm.faults import Fault
from incident_manager.demo.llm.server import ServiceServer
from incident_manager.llm.errors import (
    LlmServiceError,
    MalformedAnswerError,
    RequestRefusedError,
    ServiceMisconfiguredError,
    ServiceThrottledError,
    ServiceUnavailableError,
)
from recloser import CircuitBreaker, CircuitOpenError, State
from recloser.testing import FakeClock

from .conftest import KEY, IncidentMaker

Ask = Callable[[], Awaitable[object]]


class Asked:
    """One service: how to ask it, its server and its breaker."""

    def __init__(self, ask: Ask, server: ServiceServer, breaker: CircuitBreaker) -> None:
        self.ask = ask
        self.server = server
        self.breaker = breaker

    async def outcome(self) -> str:
        """Ask once, and tell how the call counted."""
        before = dict(self.breaker.stats().calls)
        with contextlib.suppress(LlmServiceError):
            await self.ask()
        after = self.breaker.stats().calls
        [name] = [name for name, count in after.items() if count != before[name]]
        return name


@pytest.fixture(params=["sentinel", "shield", "edge-agent", "governance"])
def service(request: pytest.FixtureRequest, make_incident: IncidentMaker) -> Asked:
    client = request.getfixturevalue(
        {
            "sentinel": "native_sentinel",
            "shield": "shield_client",
            "edge-agent": "agent",
            "governance": "governance_client",
        }[request.param]
    )
    server = request.getfixturevalue(f"{request.param.replace('-', '_')}_server")
    asks: dict[str, Ask] = {
        "sentinel": lambda: client.predict_severity(make_incident()),
        "shield": lambda: client.scan("text"),
        "edge-agent": lambda: client.infer([{"role": "user", "content": "hi"}]),
        "governance": lambda: client.report("inc_1", "breach"),
    }
    return Asked(asks[request.param], server, client.breaker)


async def test_healthy_service_answers(service: Asked) -> None:
    assert await service.outcome() == "success"


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504, 529])
async def test_server_error_is_a_failure(service: Asked, status: int) -> None:
    service.server.switch.fault, service.server.switch.status = Fault.ERROR, status
    with pytest.raises(ServiceUnavailableError, match=str(status)):
        await service.ask()
    assert service.breaker.stats().failed == 1


@pytest.mark.parametrize("status", [400, 404, 409, 413, 422])
async def test_refused_request_says_nothing_about_the_service(service: Asked, status: int) -> None:
    service.server.switch.fault, service.server.switch.status = Fault.ERROR, status
    with pytest.raises(RequestRefusedError):
        await service.ask()
    assert service.breaker.stats().calls["ignored"] == 1


@pytest.mark.parametrize("status", [401, 402, 403, 302])
async def test_wrong_credentials_open_the_circuit_at_once(service: Asked, status: int) -> None:
    service.server.switch.fault, service.server.switch.status = Fault.ERROR, status
    with pytest.raises(ServiceMisconfiguredError):
        await service.ask()
    assert service.breaker.state is State.OPEN


async def test_account_without_credit_opens_the_circuit_whatever_the_status(service: Asked) -> None:
    switch = service.server.switch
    switch.fault, switch.status = Fault.ERROR, 429
    switch.answer = {"error": {"code": "insufficient_quota", "message": "You exceeded your current quota"}}
    assert await service.outcome() == "configuration"


async def test_throttling_opens_the_circuit_for_as_long_as_asked(service: Asked) -> None:
    service.server.switch.fault = Fault.THROTTLED
    with pytest.raises(ServiceThrottledError) as caught:
        await service.ask()
    assert caught.value.retry_after == 7
    assert service.breaker.retry_after == pytest.approx(7)


async def test_garbage_is_a_failure(service: Asked) -> None:
    service.server.switch.fault = Fault.GARBAGE
    with pytest.raises(MalformedAnswerError):
        await service.ask()
    assert service.breaker.stats().failed == 1


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.SLOW, Fault.TRUNCATED])
async def test_answer_that_does_not_come_or_not_wholly_is_a_failure(service: Asked, fault: Fault) -> None:
    service.server.switch.fault = fault
    assert await service.outcome() == "failure"


async def test_dead_service_is_a_failure_and_is_left_alone_after_three(service: Asked, clock: FakeClock) -> None:
    service.server.stop()
    for _ in range(3):
        assert await service.outcome() == "failure"
    with pytest.raises(CircuitOpenError):
        await service.ask()

    service.server.start()
    clock.advance(120)
    for _ in range(2):
        assert await service.outcome() == "success"
    assert service.breaker.state is State.CLOSED


async def test_answer_without_end_is_cut_off(service: Asked) -> None:
    service.server.switch.answer = {"filler": "x" * 5_000_000}
    with pytest.raises(MalformedAnswerError, match="longer than"):
        await service.ask()


@pytest.mark.parametrize("fault", [Fault.ERROR, Fault.HANG, Fault.GARBAGE, Fault.TRUNCATED])
async def test_no_error_holds_the_credentials(service: Asked, fault: Fault) -> None:
    service.server.switch.fault = fault
    with pytest.raises(LlmServiceError) as caught:
        await service.ask()
    assert KEY not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


async def test_throttling_without_a_time_opens_the_circuit_for_the_usual_one(service: Asked) -> None:
    switch = service.server.switch
    switch.fault, switch.status, switch.answer = Fault.ERROR, 429, {"error": {"message": "slow down"}}
    with pytest.raises(ServiceThrottledError):
        await service.ask()
    assert service.breaker.state is State.OPEN
    assert service.breaker.retry_after == pytest.approx(service.breaker.settings.open_for)
    assert service.breaker.stats().failed == 0


async def test_refused_probe_gives_its_place_to_the_next(service: Asked, clock: FakeClock) -> None:
    switch = service.server.switch
    switch.fault, switch.status = Fault.ERROR, 500
    for _ in range(3):
        with pytest.raises(ServiceUnavailableError):
            await service.ask()
    clock.advance(service.breaker.settings.open_for)
    switch.status = 422
    for _ in range(service.breaker.settings.half_open_max_calls + 1):
        with pytest.raises(RequestRefusedError):
            await service.ask()
    assert service.breaker.state is State.HALF_OPEN
    switch.mend()
    assert await service.outcome() == "success"
