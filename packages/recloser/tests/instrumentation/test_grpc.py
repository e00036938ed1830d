"""gRPC channels of an instrumented process, sync and async, with a real server."""

import functools
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from packages.recloser.tests.instrumentation.conftest import Instrument
from packages.recloser.tests.instrumentation.programs import closed_port
from packages.recloser.tests.integrations.rpc.server import KINDS, STREAMS, Abort, RpcServer

import recloser
from recloser import CircuitOpenError, Registry
from recloser.integrations.grpc import aio_interceptors, protect

SERVICE = "shop.v1.Orders"
DOWN = (Abort(grpc.StatusCode.UNAVAILABLE),)
TLS = grpc.ssl_channel_credentials()


class SyncChannel:
    """A channel of grpc."""

    def __init__(self, target: str, *, secure: bool = False, own: Registry | None = None) -> None:
        make = functools.partial(grpc.secure_channel, credentials=TLS) if secure else grpc.insecure_channel
        self._channel = make(target)
        if own is not None:
            self._channel = protect(self._channel, target, registry=own)

    async def call(self, kind: str = "Get", service: str = SERVICE) -> list[bytes]:
        """The responses to a call."""
        responses = _begin(self._channel, kind, service)
        return list(responses) if kind in STREAMS else [responses]

    async def close(self) -> None:
        """Close the channel."""
        self._channel.close()


class AsyncChannel:
    """A channel of grpc.aio."""

    def __init__(self, target: str, *, secure: bool = False, own: Registry | None = None) -> None:
        make = functools.partial(grpc.aio.secure_channel, credentials=TLS) if secure else grpc.aio.insecure_channel
        self._channel = make(target, interceptors=None if own is None else aio_interceptors(target, registry=own))

    async def call(self, kind: str = "Get", service: str = SERVICE) -> list[bytes]:
        """The responses to a call."""
        call = _begin(self._channel, kind, service)
        return [message async for message in call] if kind in STREAMS else [await call]

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()


def _begin(channel: Any, kind: str, service: str) -> Any:
    many_requests, many_responses = RpcServer.kinds[kind]
    shape = f"{'stream' if many_requests else 'unary'}_{'stream' if many_responses else 'unary'}"
    requests = iter([b"one", b"two"]) if many_requests else b"one"
    return getattr(channel, shape)(f"/{service}/{kind}")(requests, timeout=10)


@pytest.fixture(params=[SyncChannel, AsyncChannel])
def channels(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def rpc_server() -> Iterator[RpcServer]:
    with RpcServer() as server:
        yield server


def name_of(server: RpcServer, service: str = SERVICE) -> str:
    return f"grpc:{server.target}/{service}"


def calls_of(registry: Registry) -> dict[str, dict[str, int]]:
    """How the calls of each breaker ended, without the zeros."""
    found: dict[str, dict[str, int]] = {}
    for name, stats in registry.stats().items():
        found[name] = {status: count for status, count in stats.calls.items() if count}
        if stats.rejected:
            found[name]["rejected"] = stats.rejected
    return found


@pytest.mark.parametrize("kind", KINDS)
async def test_call_of_each_kind_is_counted_once(
    instrument: Instrument, rpc_server: RpcServer, channels: Any, kind: str
) -> None:
    registry = instrument().registry
    channel = channels(rpc_server.target)
    assert await channel.call(kind) == [b"fine"]
    await channel.close()
    assert calls_of(registry) == {name_of(rpc_server): {"success": 1}}


@pytest.mark.parametrize("kind", KINDS)
async def test_service_has_a_breaker_that_opens_and_rejects_without_sending(
    instrument: Instrument, rpc_server: RpcServer, channels: Any, kind: str
) -> None:
    registry = instrument().registry
    rpc_server.otherwise = DOWN
    channel = channels(rpc_server.target)
    for _ in range(3):
        with pytest.raises(grpc.RpcError) as caught:
            await channel.call(kind)
    rpc_server.otherwise = [b"fine"]
    assert await channel.call(kind, service="shop.v1.Stock") == [b"fine"]
    await channel.close()
    assert isinstance(caught.value, CircuitOpenError)
    assert len(rpc_server.calls) == 3
    assert calls_of(registry) == {
        name_of(rpc_server): {"failure": 2, "rejected": 1},
        name_of(rpc_server, "shop.v1.Stock"): {"success": 1},
    }


async def test_secure_channel_is_protected(instrument: Instrument, rpc_server: RpcServer, channels: Any) -> None:
    registry = instrument().registry
    channel = channels(rpc_server.target, secure=True)  # the server speaks no TLS
    for _ in range(3):
        with pytest.raises(grpc.RpcError) as caught:
            await channel.call()
    await channel.close()
    assert isinstance(caught.value, CircuitOpenError)
    assert calls_of(registry) == {name_of(rpc_server): {"failure": 2, "rejected": 1}}


async def test_rejection_is_an_error_that_the_program_handles_already(instrument: Instrument, channels: Any) -> None:
    instrument()
    channel = channels(f"127.0.0.1:{closed_port()}")
    for _ in range(3):
        with pytest.raises(grpc.RpcError) as caught:
            await channel.call()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE  # type: ignore[attr-defined]
    await channel.close()
    assert isinstance(caught.value, CircuitOpenError)


async def test_channel_that_the_program_protects_itself_is_not_protected_twice(
    instrument: Instrument, rpc_server: RpcServer, channels: Any
) -> None:
    registry, own = instrument().registry, Registry()
    channel = channels(rpc_server.target, own=own)
    for kind in KINDS:
        assert await channel.call(kind) == [b"fine"]
    await channel.close()
    assert calls_of(own) == {name_of(rpc_server): {"success": 4}}
    assert len(registry) == 0


@pytest.mark.parametrize("pattern", ["grpc", "grpc:127.0.0.1:*"])
async def test_what_is_left_out_has_no_breaker(
    instrument: Instrument, rpc_server: RpcServer, channels: Any, tmp_path: Path, pattern: str
) -> None:
    config = tmp_path / "leave-out.yaml"
    config.write_text(f"instrument: {{leave_out: ['{pattern}']}}")
    registry = instrument(config).registry
    channel = channels(rpc_server.target)
    for kind in KINDS:
        assert await channel.call(kind) == [b"fine"]
    await channel.close()
    assert len(registry) == 0


async def test_channel_asks_no_breaker_after_uninstrument(
    instrument: Instrument, rpc_server: RpcServer, channels: Any
) -> None:
    makers = grpc.insecure_channel, grpc.secure_channel, grpc.aio.insecure_channel, grpc.aio.secure_channel
    registry = instrument().registry
    assert grpc.insecure_channel is not makers[0]
    channel = channels(rpc_server.target)
    rpc_server.otherwise = DOWN
    for _ in range(2):
        with pytest.raises(grpc.RpcError):
            await channel.call()
    recloser.uninstrument()
    for kind in KINDS:
        with pytest.raises(grpc.RpcError) as caught:
            await channel.call(kind)
        assert not isinstance(caught.value, CircuitOpenError)
    await channel.close()
    assert calls_of(registry) == {name_of(rpc_server): {"failure": 2}}
    assert (grpc.insecure_channel, grpc.secure_channel) == makers[:2]
    assert (grpc.aio.insecure_channel, grpc.aio.secure_channel) == makers[2:]


def test_makers_of_channels_keep_their_signatures(instrument: Instrument) -> None:
    makers = [(module, name) for module in (grpc, grpc.aio) for name in ("insecure_channel", "secure_channel")]
    before = [inspect.signature(getattr(module, name)) for module, name in makers]
    instrument()
    assert [inspect.signature(getattr(module, name)) for module, name in makers] == before
    grpc.insecure_channel(target="127.0.0.1:1").close()


async def test_programs_own_interceptors_stay_around_the_breaker(instrument: Instrument, rpc_server: RpcServer) -> None:
    seen: list[str] = []

    class Own(grpc.aio.UnaryUnaryClientInterceptor):
        async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
            call = await continuation(client_call_details, request)
            seen.append(type(await call.code()).__name__)
            return call

    registry = instrument().registry
    async with grpc.aio.insecure_channel(rpc_server.target, interceptors=[Own()]) as channel:
        assert await channel.unary_unary(f"/{SERVICE}/Get")(b"one") == b"fine"
    assert seen == ["StatusCode"]
    assert calls_of(registry) == {name_of(rpc_server): {"success": 1}}
