"""What a sync gRPC channel does behind a breaker; `test_aio.py` says the same of the async one."""

import contextlib
import gc
import pickle
import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import grpc.experimental
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from packages.recloser.tests.integrations.rpc.reading import eventually, only, outcomes
from packages.recloser.tests.integrations.rpc.server import (
    FAST_RECONNECT,
    KINDS,
    STREAM_STREAM,
    STREAM_UNARY,
    STREAMS,
    UNARY_STREAM,
    UNARY_UNARY,
    Abort,
    Crash,
    Hang,
    RpcServer,
)
from packages.recloser.tests.support import settings

from recloser import CircuitBreaker, CircuitOpenError, Registry, State
from recloser.integrations.grpc import BreakerInterceptor, CircuitOpenRpcError, Rpc, protect
from recloser.testing import FakeClock

Code = grpc.StatusCode
SERVICE = "shop.v1.Orders"


def start(channel: grpc.Channel, kind: str, timeout: float | None = 10, service: str = SERVICE, **options: Any) -> Any:
    """Begin a call: a response, or an iterator of responses."""
    method = f"/{service}/{kind}"
    if kind == UNARY_UNARY:
        return channel.unary_unary(method)(b"one", timeout=timeout, **options)
    if kind == UNARY_STREAM:
        return channel.unary_stream(method)(b"one", timeout=timeout, **options)
    if kind == STREAM_UNARY:
        return channel.stream_unary(method)(iter([b"one", b"two"]), timeout=timeout, **options)
    return channel.stream_stream(method)(iter([b"one", b"two"]), timeout=timeout, **options)


def call(channel: grpc.Channel, kind: str = UNARY_UNARY, **options: Any) -> list[bytes]:
    """A whole call: its responses."""
    answer = start(channel, kind, **options)
    return list(answer) if kind in STREAMS else [answer]


def fails(channel: grpc.Channel, kind: str = UNARY_UNARY, **options: Any) -> Any:
    """The error of a call that must fail."""
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, kind, **options)
    return caught.value


Make = Callable[..., grpc.Channel]


@pytest.fixture
def make(rpc_server: RpcServer, registry: Registry) -> Iterator[Make]:
    """Makes protected channels."""
    made: list[grpc.Channel] = []

    def make(target: str | None = None, **options: Any) -> grpc.Channel:
        to = target or rpc_server.target
        plain = grpc.insecure_channel(to, options=FAST_RECONNECT)
        made.append(protect(plain, to, **(options or {"registry": registry})))
        return made[-1]

    yield make
    for channel in made:
        channel.close()


@pytest.fixture
def channel(make: Make) -> grpc.Channel:
    return make()


@pytest.mark.parametrize("kind", KINDS)
def test_call_that_is_answered_is_a_success(
    channel: grpc.Channel, rpc_server: RpcServer, registry: Registry, kind: str
) -> None:
    rpc_server.otherwise = [b"first", b"second"]
    assert call(channel, kind) == ([b"first", b"second"] if kind in STREAMS else [b"second"])
    assert outcomes(registry) == {"success": 1}
    assert only(registry).stats().in_flight == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "code", [Code.UNAVAILABLE, Code.INTERNAL, Code.UNKNOWN, Code.DATA_LOSS, Code.DEADLINE_EXCEEDED]
)
def test_status_that_is_a_failure(
    channel: grpc.Channel, rpc_server: RpcServer, registry: Registry, kind: str, code: grpc.StatusCode
) -> None:
    rpc_server.otherwise = [Abort(code)]
    assert fails(channel, kind).code() is code
    assert outcomes(registry) == {"failure": 1}
    assert only(registry).last_failure == f"{code.name}: as told"


@pytest.mark.parametrize(
    "code",
    [
        Code.INVALID_ARGUMENT,
        Code.NOT_FOUND,
        Code.ALREADY_EXISTS,
        Code.PERMISSION_DENIED,
        Code.FAILED_PRECONDITION,
        Code.ABORTED,
        Code.OUT_OF_RANGE,
        Code.UNAUTHENTICATED,
    ],
)
@pytest.mark.parametrize("kind", [UNARY_UNARY, STREAM_STREAM])
def test_status_that_is_an_answer_of_a_healthy_server(
    channel: grpc.Channel, rpc_server: RpcServer, registry: Registry, kind: str, code: grpc.StatusCode
) -> None:
    rpc_server.otherwise = [Abort(code)]
    assert fails(channel, kind).code() is code
    assert outcomes(registry) == {"success": 1}


def test_method_that_the_server_does_not_have_is_an_answer(channel: grpc.Channel, registry: Registry) -> None:
    with pytest.raises(grpc.RpcError):
        channel.unary_unary(f"/{SERVICE}/Missing")(b"")
    assert outcomes(registry) == {"success": 1}


def test_handler_that_crashes_is_a_failure(channel: grpc.Channel, rpc_server: RpcServer, registry: Registry) -> None:
    rpc_server.otherwise = [Crash()]
    assert fails(channel).code() is Code.UNKNOWN
    assert outcomes(registry) == {"failure": 1}


def retry_info(seconds: int, nanos: int = 0) -> tuple[str, bytes]:
    """The trailing metadata by which a server that uses the official packages says when to come back."""
    detail = AnyMessage()
    detail.Pack(RetryInfo(retry_delay=Duration(seconds=seconds, nanos=nanos)))
    return "grpc-status-details-bin", Status(code=8, message="busy", details=[detail]).SerializeToString()


@pytest.mark.parametrize(
    ("code", "trailing", "open_for"),
    [
        pytest.param(Code.RESOURCE_EXHAUSTED, (), 10, id="no hint: the usual time"),
        pytest.param(Code.RESOURCE_EXHAUSTED, (retry_info(7, 500_000_000),), 7.5, id="RetryInfo"),
        pytest.param(Code.UNAVAILABLE, (retry_info(7),), 7, id="RetryInfo of a server that is overloaded"),
        pytest.param(Code.RESOURCE_EXHAUSTED, (("grpc-retry-pushback-ms", "2500"),), 2.5, id="pushback"),
        pytest.param(Code.RESOURCE_EXHAUSTED, (("retry-after", "4"),), 4, id="retry-after"),
        pytest.param(Code.RESOURCE_EXHAUSTED, (("retry-after", "99999"),), 3600, id="never beyond the cap"),
        pytest.param(Code.RESOURCE_EXHAUSTED, (("grpc-status-details-bin", b"\xff\xff"),), 10, id="garbage"),
    ],
)
@pytest.mark.parametrize("kind", [UNARY_UNARY, UNARY_STREAM])
def test_throttled_call_opens_for_the_time_asked(
    channel: grpc.Channel,
    rpc_server: RpcServer,
    registry: Registry,
    kind: str,
    code: grpc.StatusCode,
    trailing: Any,
    open_for: float,
) -> None:
    rpc_server.otherwise = [Abort(code, trailing=trailing)]
    fails(channel, kind)
    assert outcomes(registry) == {"throttled": 1}
    assert only(registry).retry_after == open_for


def test_message_beyond_our_own_limit_is_ignored(rpc_server: RpcServer, registry: Registry) -> None:
    rpc_server.otherwise = [b"x" * 2_000]
    plain = grpc.insecure_channel(rpc_server.target, options=[("grpc.max_receive_message_length", 1_000)])
    with protect(plain, rpc_server.target, registry=registry) as channel:
        assert fails(channel).code() is Code.RESOURCE_EXHAUSTED
    assert outcomes(registry) == {"ignored": 1}


def test_request_that_cannot_be_serialized_is_ignored(channel: grpc.Channel, registry: Registry) -> None:
    with pytest.raises(grpc.RpcError):
        channel.unary_unary(f"/{SERVICE}/Get", request_serializer=lambda _: None)(b"one")
    assert outcomes(registry) == {"ignored": 1}


def test_request_iterator_that_raises_is_ignored(channel: grpc.Channel, registry: Registry) -> None:
    def requests() -> Iterator[bytes]:
        yield b"one"
        raise LookupError("no more")

    with pytest.raises(grpc.RpcError):
        channel.stream_unary(f"/{SERVICE}/Put")(requests())
    assert outcomes(registry) == {"ignored": 1}


@pytest.mark.parametrize("kind", KINDS)
def test_open_circuit_sends_nothing(
    channel: grpc.Channel, rpc_server: RpcServer, registry: Registry, kind: str
) -> None:
    rpc_server.otherwise = [Abort(Code.UNAVAILABLE)]
    for _ in range(3):
        fails(channel, kind)
    error = fails(channel, kind)
    assert len(rpc_server.calls) == 3
    assert isinstance(error, CircuitOpenError)
    assert isinstance(error, CircuitOpenRpcError)
    assert error.retry_after == 10
    assert error.last_failure == "UNAVAILABLE: as told"
    assert error.code() is Code.UNAVAILABLE
    assert dict(error.trailing_metadata()) == {"retry-after": "10.000"}
    assert "is open" in error.details()


def test_rejection_without_a_known_end_has_no_retry_after(channel: grpc.Channel, registry: Registry) -> None:
    call(channel)
    only(registry).force_open("maintenance")
    assert fails(channel).trailing_metadata() == ()


def test_rejected_future_is_done_and_raises_the_rejection(channel: grpc.Channel, registry: Registry) -> None:
    call(channel)
    only(registry).force_open("maintenance")
    future = channel.unary_unary(f"/{SERVICE}/Get").future(b"one")
    seen: list[Any] = []
    future.add_done_callback(seen.append)
    assert future.done()
    assert seen == [future]
    assert future.code() is Code.UNAVAILABLE
    with pytest.raises(CircuitOpenError):
        future.result()


def test_rejection_survives_pickling(channel: grpc.Channel, registry: Registry) -> None:
    call(channel)
    only(registry).force_open("maintenance")
    error = fails(channel)
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.reason) == (type(error), str(error), "forced_open")


@pytest.mark.parametrize("kind", KINDS)
def test_probe_closes_it_again(
    channel: grpc.Channel, rpc_server: RpcServer, registry: Registry, clock: FakeClock, kind: str
) -> None:
    rpc_server.replies = [[Abort(Code.INTERNAL)]] * 3
    for _ in range(3):
        fails(channel, kind)
    clock.advance(10)
    assert call(channel, kind) == [b"fine"]
    assert only(registry).state is State.CLOSED


def test_one_probe_at_a_time(
    channel: grpc.Channel, rpc_server: RpcServer, registry: Registry, clock: FakeClock
) -> None:
    rpc_server.replies = [[Abort(Code.INTERNAL)]] * 3
    for _ in range(3):
        fails(channel)
    clock.advance(10)
    gate = threading.Event()
    rpc_server.otherwise = [gate.wait, b"fine"]
    probe = channel.unary_unary(f"/{SERVICE}/Get").future(b"one", timeout=10)
    assert fails(channel).reason == "half_open_full"
    gate.set()
    assert probe.result() == b"fine"
    assert eventually(lambda: only(registry).state is State.CLOSED)


def test_deadline_is_a_failure(channel: grpc.Channel, rpc_server: RpcServer, registry: Registry) -> None:
    rpc_server.otherwise = [Hang()]
    for kind in KINDS:
        assert fails(channel, kind, timeout=0.1, service=f"shop.v1.{kind}").code() is Code.DEADLINE_EXCEEDED
    assert [breaker.stats().failed for breaker in registry] == [1, 1, 1, 1]


def test_deadline_of_an_impatient_caller_is_ignored(make: Make, rpc_server: RpcServer, registry: Registry) -> None:
    rpc_server.otherwise = [Hang()]
    channel = make(registry=registry, patience=0.2)
    for timeout in (0.05, 0.2):
        fails(channel, timeout=timeout)
    assert outcomes(registry) == {"ignored": 1, "failure": 1}


def test_waiting_for_a_server_is_part_of_the_call(make: Make, registry: Registry, clock: FakeClock) -> None:
    with RpcServer() as server:
        target = server.target
    channel = make(target, registry=registry)
    assert fails(channel, wait_for_ready=True, timeout=0.2).code() is Code.DEADLINE_EXCEEDED
    assert outcomes(registry) == {"failure": 1}


@pytest.mark.parametrize("kind", STREAMS)
def test_stream_holds_its_permit_to_the_end(
    channel: grpc.Channel, rpc_server: RpcServer, registry: Registry, kind: str
) -> None:
    gate = threading.Event()
    rpc_server.otherwise = [b"one", gate.wait, b"two"]
    responses = start(channel, kind)
    assert next(responses) == b"one"
    assert only(registry).stats().in_flight == 1
    gate.set()
    assert list(responses) == [b"two"]
    assert outcomes(registry) == {"success": 1}
    assert only(registry).stats().in_flight == 0


@pytest.mark.parametrize("kind", STREAMS)
def test_time_to_the_first_message_is_the_latency(
    channel: grpc.Channel, rpc_server: RpcServer, registry: Registry, clock: FakeClock, kind: str
) -> None:
    gate = threading.Event()
    rpc_server.otherwise = [lambda: clock.advance(2), b"one", gate.wait, b"two"]
    responses = start(channel, kind)
    next(responses)
    clock.advance(60)
    gate.set()
    assert list(responses) == [b"two"]
    assert only(registry).stats().duration_sum == 2


@pytest.mark.parametrize("kind", STREAMS)
def test_stream_that_breaks_off_is_a_failure(
    channel: grpc.Channel, rpc_server: RpcServer, registry: Registry, kind: str
) -> None:
    rpc_server.otherwise = [b"one", Abort(Code.INTERNAL)]
    responses = start(channel, kind)
    assert next(responses) == b"one"
    with pytest.raises(grpc.RpcError):
        next(responses)
    assert outcomes(registry) == {"failure": 1}


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [([b"one", b"two"], "success"), ([b"one", Abort(Code.INTERNAL)], "failure"), ([b"one", Hang()], "ignored")],
)
def test_stream_without_a_thread_of_its_own(
    rpc_server: RpcServer, registry: Registry, reply: list[Any], outcome: str
) -> None:
    rpc_server.otherwise = reply
    options = [(grpc.experimental.ChannelOptions.SingleThreadedUnaryStream, 1)]
    with protect(
        grpc.insecure_channel(rpc_server.target, options=options), rpc_server.target, registry=registry
    ) as one:
        responses = start(one, UNARY_STREAM)
        assert next(responses) == b"one"
        if outcome == "ignored":
            responses.cancel()
        with contextlib.suppress(grpc.RpcError):
            list(responses)
    assert outcomes(registry) == {outcome: 1}


@pytest.mark.parametrize("kind", KINDS)
def test_server_that_ends_during_a_call_is_a_failure(
    channel: grpc.Channel, rpc_server: RpcServer, registry: Registry, kind: str
) -> None:
    stop = threading.Thread(target=rpc_server.stop)
    rpc_server.otherwise = [b"one", stop.start, Hang()]
    assert fails(channel, kind).code() is Code.UNAVAILABLE
    stop.join()
    assert outcomes(registry) == {"failure": 1}


@pytest.mark.parametrize("kind", STREAMS)
def test_stream_cancelled_early_is_ignored(
    channel: grpc.Channel, rpc_server: RpcServer, registry: Registry, kind: str
) -> None:
    rpc_server.otherwise = [b"one", Hang()]
    responses = start(channel, kind)
    next(responses)
    responses.cancel()
    assert eventually(lambda: outcomes(registry) == {"ignored": 1})
    assert only(registry).stats().in_flight == 0


@pytest.mark.parametrize("kind", STREAMS)
def test_stream_that_is_dropped_gives_its_place_back(
    channel: grpc.Channel, rpc_server: RpcServer, registry: Registry, kind: str
) -> None:
    rpc_server.otherwise = [b"one", Hang()]
    next(start(channel, kind, timeout=None))
    gc.collect()
    assert eventually(lambda: only(registry).stats().in_flight == 0)
    assert outcomes(registry) == {"ignored": 1}


def test_stream_whose_responses_nobody_reads_is_settled_by_its_end(
    channel: grpc.Channel, rpc_server: RpcServer, registry: Registry
) -> None:
    rpc_server.otherwise = [Abort(Code.INTERNAL)]
    responses = start(channel, UNARY_STREAM)
    assert eventually(lambda: outcomes(registry) == {"failure": 1})
    assert responses.code() is Code.INTERNAL


def test_future_is_settled_once_when_it_ends(channel: grpc.Channel, rpc_server: RpcServer, registry: Registry) -> None:
    gate = threading.Event()
    rpc_server.otherwise = [gate.wait, b"fine"]
    future = channel.unary_unary(f"/{SERVICE}/Get").future(b"one", timeout=10)
    told = threading.Event()
    future.add_done_callback(lambda _: told.set())
    assert only(registry).stats().in_flight == 1
    gate.set()
    assert future.result() == b"fine"
    assert told.wait(10)
    assert eventually(lambda: outcomes(registry) == {"success": 1})
    assert future.exception() is None
    assert outcomes(registry) == {"success": 1}


def test_future_that_fails_is_a_failure_though_nobody_asks_for_its_result(
    channel: grpc.Channel, rpc_server: RpcServer, registry: Registry
) -> None:
    rpc_server.otherwise = [Abort(Code.INTERNAL)]
    future = channel.stream_unary(f"/{SERVICE}/Put").future(iter([b"one"]), timeout=10)
    assert eventually(lambda: outcomes(registry) == {"failure": 1})
    assert future.done()


def test_cancelled_future_is_ignored(channel: grpc.Channel, rpc_server: RpcServer, registry: Registry) -> None:
    rpc_server.otherwise = [Hang()]
    future = channel.unary_unary(f"/{SERVICE}/Get").future(b"one", timeout=10)
    assert future.cancel()
    assert eventually(lambda: outcomes(registry) == {"ignored": 1})


def test_call_whose_channel_is_closed_is_ignored(
    channel: grpc.Channel, rpc_server: RpcServer, registry: Registry
) -> None:
    asked = threading.Event()
    rpc_server.otherwise = [asked.set, Hang()]
    future = channel.unary_unary(f"/{SERVICE}/Get").future(b"one", timeout=10)
    assert asked.wait(10)
    channel.close()
    assert eventually(lambda: outcomes(registry) == {"ignored": 1})
    assert future.done()


def test_one_breaker_per_service_of_a_target(channel: grpc.Channel, rpc_server: RpcServer, registry: Registry) -> None:
    for kind in KINDS:
        call(channel, kind)
    call(channel, service="shop.v1.Stock")
    assert [breaker.name for breaker in registry] == [
        f"grpc:{rpc_server.target}/shop.v1.Orders",
        f"grpc:{rpc_server.target}/shop.v1.Stock",
    ]


def test_key_function_decides(make: Make, rpc_server: RpcServer, registry: Registry) -> None:
    seen: list[Rpc] = []

    def key(rpc: Rpc) -> str:
        seen.append(rpc)
        return rpc.method.rpartition("/")[2]

    call(make(registry=registry, name="shop", key=key))
    assert [breaker.name for breaker in registry] == ["shop:Get"]
    assert (seen[0].target, seen[0].service) == (rpc_server.target, SERVICE)


def test_number_of_breakers_is_bounded(make: Make, registry: Registry) -> None:
    channel = make(registry=registry, key=lambda rpc: rpc.service, max_breakers=2)
    for service in ("a", "b", "c", "d"):
        call(channel, service=service)
    assert [breaker.name for breaker in registry] == ["grpc:c", "grpc:d"]


def test_one_breaker_for_all(make: Make, clock: FakeClock) -> None:
    breaker = CircuitBreaker("shop", settings(), clock=clock)
    channel = make(breaker=breaker)
    call(channel, service="a")
    call(channel, service="b")
    assert breaker.stats().successful == 2


def test_breakers_own_rules_come_first(make: Make, rpc_server: RpcServer, registry: Registry) -> None:
    def is_not_found(exc: BaseException | None, result: Any) -> str | None:
        if isinstance(exc, grpc.RpcError) and exc.code() is Code.NOT_FOUND:
            return "failure"
        return "failure" if result == b"bad" else None

    channel = make(registry=registry, settings=settings(classify=is_not_found))
    rpc_server.replies = [[Abort(Code.NOT_FOUND)], [b"bad"]]
    fails(channel)
    call(channel)
    call(channel)
    assert outcomes(registry) == {"failure": 2, "success": 1}


def test_rejection_by_another_breaker_says_nothing_about_the_server(
    rpc_server: RpcServer, registry: Registry, clock: FakeClock
) -> None:
    inner = CircuitBreaker("inner", clock=clock)
    inner.force_open("maintenance")
    with grpc.insecure_channel(rpc_server.target) as plain:
        target = rpc_server.target
        channel = protect(protect(plain, target, breaker=inner), target, registry=registry)
        for kind in KINDS:
            assert isinstance(fails(channel, kind), CircuitOpenError)
    assert registry[f"grpc:{target}/{SERVICE}"].stats().calls["ignored"] == 4


def test_error_that_cannot_be_judged_reaches_the_caller_and_is_a_failure(
    rpc_server: RpcServer, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    class Bare(grpc.RpcError):
        """An error of another interceptor, without a code."""

    class Replacing(grpc.UnaryUnaryClientInterceptor):
        def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
            raise Bare("no code")

    with grpc.insecure_channel(rpc_server.target) as plain:
        interceptors = BreakerInterceptor(rpc_server.target, registry=registry), Replacing()
        future = grpc.intercept_channel(plain, *interceptors).unary_unary(f"/{SERVICE}/Get").future(b"one")
        with pytest.raises(Bare, match="no code"):
            future.result()
    assert outcomes(registry) == {"failure": 1}
    assert "could not be judged" in caplog.text


def test_other_interceptors_keep_working_around_it(rpc_server: RpcServer, registry: Registry) -> None:
    class Replacing(grpc.UnaryUnaryClientInterceptor):
        def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
            raise LookupError("an error of the caller's own")

    with grpc.insecure_channel(rpc_server.target) as plain:
        channel = grpc.intercept_channel(plain, BreakerInterceptor(rpc_server.target, registry=registry), Replacing())
        with pytest.raises(LookupError):
            call(channel)
    assert outcomes(registry) == {"ignored": 1}
