"""What an async gRPC channel does behind a breaker; `test_sync.py` says the same of the sync one."""

import asyncio
import pickle
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from packages.recloser.tests.integrations.rpc.reading import only, outcomes
from packages.recloser.tests.integrations.rpc.server import (
    FAST_RECONNECT,
    KINDS,
    STREAM_STREAM,
    STREAM_UNARY,
    STREAMS,
    UNARY_STREAM,
    UNARY_UNARY,
    Abort,
    Hang,
    RpcServer,
)
from packages.recloser.tests.support import settings

from recloser import CircuitBreaker, CircuitOpenError, Registry, State
from recloser.integrations.grpc import CircuitOpenAioRpcError, CircuitOpenRpcError, Rpc, aio_interceptors
from recloser.testing import FakeClock

Code = grpc.StatusCode
SERVICE = "shop.v1.Orders"
GRPC = tuple(int(part) for part in grpc.__version__.split(".")[:2])


def start(channel: Any, kind: str, timeout: float | None = 10, service: str = SERVICE, **options: Any) -> Any:
    """Begin a call."""
    method = f"/{service}/{kind}"
    if kind == UNARY_UNARY:
        return channel.unary_unary(method)(b"one", timeout=timeout, **options)
    if kind == UNARY_STREAM:
        return channel.unary_stream(method)(b"one", timeout=timeout, **options)
    if kind == STREAM_UNARY:
        return channel.stream_unary(method)(iter([b"one", b"two"]), timeout=timeout, **options)
    return channel.stream_stream(method)(iter([b"one", b"two"]), timeout=timeout, **options)


async def call(channel: Any, kind: str = UNARY_UNARY, **options: Any) -> list[bytes]:
    """A whole call: its responses."""
    running = start(channel, kind, **options)
    return [message async for message in running] if kind in STREAMS else [await running]


async def fails(channel: Any, kind: str = UNARY_UNARY, **options: Any) -> Any:
    """The error of a call that must fail."""
    with pytest.raises(grpc.RpcError) as caught:
        await call(channel, kind, **options)
    return caught.value


async def eventually(condition: Callable[[], bool]) -> bool:
    """Whether the condition comes true within 10 s."""
    try:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.005)
    except TimeoutError:
        return False
    return True


@asynccontextmanager
async def protected(target: str, **options: Any) -> AsyncIterator[Any]:
    """A channel behind breakers."""
    interceptors = aio_interceptors(target, **options)
    async with grpc.aio.insecure_channel(target, options=FAST_RECONNECT, interceptors=interceptors) as channel:
        yield channel


@pytest.fixture
async def channel(rpc_server: RpcServer, registry: Registry) -> AsyncIterator[Any]:
    async with protected(rpc_server.target, registry=registry) as channel:
        yield channel


@pytest.mark.parametrize("kind", KINDS)
async def test_call_that_is_answered_is_a_success(
    channel: Any, rpc_server: RpcServer, registry: Registry, kind: str
) -> None:
    rpc_server.otherwise = [b"first", b"second"]
    assert await call(channel, kind) == ([b"first", b"second"] if kind in STREAMS else [b"second"])
    assert outcomes(registry) == {"success": 1}
    assert only(registry).stats().in_flight == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "code", [Code.UNAVAILABLE, Code.INTERNAL, Code.UNKNOWN, Code.DATA_LOSS, Code.DEADLINE_EXCEEDED]
)
async def test_status_that_is_a_failure(
    channel: Any, rpc_server: RpcServer, registry: Registry, kind: str, code: grpc.StatusCode
) -> None:
    rpc_server.otherwise = [Abort(code)]
    assert (await fails(channel, kind)).code() is code
    assert outcomes(registry) == {"failure": 1}
    assert only(registry).last_failure == f"{code.name}: as told"


@pytest.mark.parametrize("code", [Code.NOT_FOUND, Code.INVALID_ARGUMENT, Code.UNAUTHENTICATED])
@pytest.mark.parametrize("kind", KINDS)
async def test_status_that_is_an_answer_of_a_healthy_server(
    channel: Any, rpc_server: RpcServer, registry: Registry, kind: str, code: grpc.StatusCode
) -> None:
    rpc_server.otherwise = [Abort(code)]
    assert (await fails(channel, kind)).code() is code
    assert outcomes(registry) == {"success": 1}


@pytest.mark.parametrize("kind", KINDS)
async def test_throttled_call_opens_for_the_time_asked(
    channel: Any, rpc_server: RpcServer, registry: Registry, kind: str
) -> None:
    rpc_server.otherwise = [Abort(Code.RESOURCE_EXHAUSTED, trailing=(("grpc-retry-pushback-ms", "2500"),))]
    await fails(channel, kind)
    assert outcomes(registry) == {"throttled": 1}
    assert only(registry).retry_after == 2.5


async def test_request_iterator_that_raises_is_ignored(channel: Any, registry: Registry) -> None:
    async def requests() -> AsyncIterator[bytes]:
        yield b"one"
        raise LookupError("no more")

    with pytest.raises(asyncio.CancelledError):
        await channel.stream_unary(f"/{SERVICE}/Put")(requests())
    assert outcomes(registry) == {"ignored": 1}


@pytest.mark.parametrize("kind", KINDS)
async def test_open_circuit_sends_nothing(channel: Any, rpc_server: RpcServer, registry: Registry, kind: str) -> None:
    rpc_server.otherwise = [Abort(Code.UNAVAILABLE)]
    for _ in range(3):
        await fails(channel, kind)
    error = await fails(channel, kind)
    assert len(rpc_server.calls) == 3
    assert isinstance(error, CircuitOpenError)
    assert isinstance(error, CircuitOpenRpcError)
    assert isinstance(error, grpc.aio.AioRpcError)
    assert error.retry_after == 10
    assert error.code() is Code.UNAVAILABLE
    assert error.trailing_metadata()["retry-after"] == "10.000"
    assert "is open" in error.details()


async def test_rejected_call_tells_its_status_as_any_other(channel: Any, registry: Registry) -> None:
    await call(channel)
    only(registry).force_open("maintenance")
    running = start(channel, UNARY_UNARY)
    assert await running.code() is Code.UNAVAILABLE
    assert "held open by an operator" in await running.details()
    assert running.done()


def test_rejection_survives_pickling() -> None:
    error = CircuitOpenAioRpcError("shop", "open", 3.0, "INTERNAL")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.retry_after) == (type(error), str(error), 3.0)


@pytest.mark.parametrize("kind", KINDS)
async def test_probe_closes_it_again(
    channel: Any, rpc_server: RpcServer, registry: Registry, clock: FakeClock, kind: str
) -> None:
    rpc_server.replies = [[Abort(Code.INTERNAL)]] * 3
    for _ in range(3):
        await fails(channel, kind)
    clock.advance(10)
    assert await call(channel, kind) == [b"fine"]
    assert only(registry).state is State.CLOSED


async def test_one_probe_at_a_time(channel: Any, rpc_server: RpcServer, registry: Registry, clock: FakeClock) -> None:
    rpc_server.replies = [[Abort(Code.INTERNAL)]] * 3
    for _ in range(3):
        await fails(channel)
    clock.advance(10)
    gate = threading.Event()
    rpc_server.otherwise = [gate.wait, b"fine"]
    calls = [start(channel, UNARY_UNARY) for _ in range(20)]
    assert await eventually(lambda: sum(running.done() for running in calls) == 19)
    gate.set()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert results.count(b"fine") == 1
    assert only(registry).state is State.CLOSED


async def test_deadline_is_a_failure(channel: Any, rpc_server: RpcServer, registry: Registry) -> None:
    rpc_server.otherwise = [Hang()]
    for kind in KINDS:
        error = await fails(channel, kind, timeout=0.1, service=f"shop.v1.{kind}")
        assert error.code() is Code.DEADLINE_EXCEEDED
    assert [breaker.stats().failed for breaker in registry] == [1, 1, 1, 1]


async def test_deadline_of_an_impatient_caller_is_ignored(rpc_server: RpcServer, registry: Registry) -> None:
    rpc_server.otherwise = [Hang()]
    async with protected(rpc_server.target, registry=registry, patience=0.2) as channel:
        for timeout in (0.05, 0.2):
            await fails(channel, timeout=timeout)
    assert outcomes(registry) == {"ignored": 1, "failure": 1}


@pytest.mark.parametrize("kind", STREAMS)
async def test_stream_holds_its_permit_to_the_end(
    channel: Any, rpc_server: RpcServer, registry: Registry, kind: str
) -> None:
    gate = threading.Event()
    rpc_server.otherwise = [b"one", gate.wait, b"two"]
    responses = start(channel, kind)
    assert await anext(aiter(responses)) == b"one"
    assert only(registry).stats().in_flight == 1
    gate.set()
    assert [message async for message in responses] == [b"two"]
    assert outcomes(registry) == {"success": 1}
    assert only(registry).stats().in_flight == 0


@pytest.mark.parametrize("kind", STREAMS)
async def test_time_to_the_first_message_is_the_latency(
    channel: Any, rpc_server: RpcServer, registry: Registry, clock: FakeClock, kind: str
) -> None:
    gate = threading.Event()
    rpc_server.otherwise = [lambda: clock.advance(2), b"one", gate.wait, b"two"]
    responses = start(channel, kind)
    await anext(aiter(responses))
    clock.advance(60)
    gate.set()
    assert [message async for message in responses] == [b"two"]
    assert only(registry).stats().duration_sum == 2


@pytest.mark.parametrize("kind", STREAMS)
async def test_stream_read_message_by_message(
    channel: Any, rpc_server: RpcServer, registry: Registry, kind: str
) -> None:
    rpc_server.otherwise = [b"one", b"two"]
    responses = start(channel, kind)
    assert [await responses.read() for _ in range(3)] == [b"one", b"two", grpc.aio.EOF]
    assert outcomes(registry) == {"success": 1}


@pytest.mark.parametrize("kind", [STREAM_UNARY, STREAM_STREAM])
async def test_requests_written_message_by_message(
    channel: Any, rpc_server: RpcServer, registry: Registry, kind: str
) -> None:
    make = channel.stream_unary if kind == STREAM_UNARY else channel.stream_stream
    running = make(f"/{SERVICE}/{kind}")(timeout=10)
    for request in (b"one", b"two"):
        await running.write(request)
    assert only(registry).stats().in_flight == 1
    await running.done_writing()
    assert (await running if kind == STREAM_UNARY else await running.read()) == b"fine"
    if kind == STREAM_STREAM:
        assert await running.read() is grpc.aio.EOF
    assert outcomes(registry) == {"success": 1}


@pytest.mark.parametrize("kind", STREAMS)
async def test_stream_that_breaks_off_is_a_failure(
    channel: Any, rpc_server: RpcServer, registry: Registry, kind: str
) -> None:
    rpc_server.otherwise = [b"one", Abort(Code.INTERNAL)]
    responses = aiter(start(channel, kind))
    assert await anext(responses) == b"one"
    with pytest.raises(grpc.RpcError):
        await anext(responses)
    assert outcomes(registry) == {"failure": 1}


@pytest.mark.parametrize("kind", KINDS)
async def test_server_that_ends_during_a_call_is_a_failure(
    channel: Any, rpc_server: RpcServer, registry: Registry, kind: str
) -> None:
    stop = threading.Thread(target=rpc_server.stop)
    rpc_server.otherwise = [b"one", stop.start, Hang()]
    assert (await fails(channel, kind)).code() is Code.UNAVAILABLE
    stop.join()
    assert outcomes(registry) == {"failure": 1}


@pytest.mark.parametrize("kind", STREAMS)
async def test_stream_cancelled_early_is_ignored(
    channel: Any, rpc_server: RpcServer, registry: Registry, kind: str
) -> None:
    rpc_server.otherwise = [b"one", Hang()]
    responses = start(channel, kind)
    await anext(aiter(responses))
    responses.cancel()
    assert await eventually(lambda: outcomes(registry) == {"ignored": 1})
    assert only(registry).stats().in_flight == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_task_that_is_cancelled_while_it_waits_is_ignored(
    channel: Any, rpc_server: RpcServer, registry: Registry, kind: str
) -> None:
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    rpc_server.otherwise = [lambda: loop.call_soon_threadsafe(asked.set), Hang()]
    task = asyncio.ensure_future(call(channel, kind))
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await eventually(lambda: outcomes(registry) == {"ignored": 1})
    assert only(registry).stats().in_flight == 0


async def test_call_cancelled_before_it_has_begun_leaves_nothing_in_flight(channel: Any, registry: Registry) -> None:
    await call(channel)
    start(channel, UNARY_UNARY).cancel()
    await asyncio.sleep(0)
    assert await eventually(lambda: only(registry).stats().in_flight == 0)
    assert outcomes(registry)["success"] == 1


async def test_stream_whose_responses_nobody_reads_is_settled_by_its_end(
    channel: Any, rpc_server: RpcServer, registry: Registry
) -> None:
    rpc_server.otherwise = [Abort(Code.INTERNAL)]
    responses = start(channel, UNARY_STREAM)
    assert await responses.code() is Code.INTERNAL
    assert await eventually(lambda: outcomes(registry) == {"failure": 1})


@pytest.mark.skipif(GRPC < (1, 84), reason="earlier versions leave streams alone that nobody waits for: grpcio's own")
async def test_calls_in_flight_are_ignored_when_the_channel_is_closed(
    rpc_server: RpcServer, registry: Registry
) -> None:
    rpc_server.otherwise = [b"one", Hang()]
    async with protected(rpc_server.target, registry=registry) as channel:
        responses = [start(channel, kind) for kind in STREAMS]
        for stream in responses:
            await anext(aiter(stream))
    assert await eventually(lambda: outcomes(registry) == {"ignored": 2})


def test_channels_of_two_loops_share_their_breakers(rpc_server: RpcServer, registry: Registry) -> None:
    async def fail_twice() -> None:
        async with protected(rpc_server.target, registry=registry) as channel:
            for kind in (UNARY_UNARY, UNARY_STREAM):
                await fails(channel, kind)

    rpc_server.otherwise = [Abort(Code.INTERNAL)]
    asyncio.run(fail_twice())
    asyncio.run(fail_twice())
    assert only(registry).state is State.OPEN
    assert len(rpc_server.calls) == 3


async def test_key_function_decides(rpc_server: RpcServer, registry: Registry) -> None:
    seen: list[Rpc] = []

    def key(rpc: Rpc) -> str:
        seen.append(rpc)
        return rpc.method.rpartition("/")[2]

    async with protected(rpc_server.target, registry=registry, name="shop", key=key) as channel:
        for kind in KINDS:
            await call(channel, kind)
    assert [breaker.name for breaker in registry] == [f"shop:{kind}" for kind in KINDS]
    assert (seen[0].target, seen[0].service) == (rpc_server.target, SERVICE)


async def test_breakers_own_rules_come_first(rpc_server: RpcServer, clock: FakeClock) -> None:
    rules = settings(failure_on_result=lambda response: response == b"bad")
    breaker = CircuitBreaker("shop", rules, clock=clock)
    rpc_server.replies = [[b"bad"]]
    async with protected(rpc_server.target, breaker=breaker) as channel:
        await call(channel)
        await call(channel)
    assert (breaker.stats().failed, breaker.stats().successful) == (1, 1)
