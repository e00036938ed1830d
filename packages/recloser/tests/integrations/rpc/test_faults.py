"""A server that is refused, killed, frozen and restarted, and a client that forks."""

import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator

import grpc
import pytest
from packages.recloser.tests.integrations.rpc.process import RpcProcess
from packages.recloser.tests.integrations.rpc.reading import eventually, only, outcomes
from packages.recloser.tests.integrations.rpc.server import FAST_RECONNECT, RpcServer

from recloser import CircuitOpenError, Registry, State
from recloser.integrations.grpc import aio_interceptors, protect
from recloser.testing import FakeClock

METHOD = "/shop.v1.Orders/Get"


@pytest.fixture
def process() -> Iterator[RpcProcess]:
    with RpcProcess() as running:
        yield running


def ask(channel: grpc.Channel, timeout: float = 10, **options: bool) -> bytes:
    answer: bytes = channel.unary_unary(METHOD)(b"one", timeout=timeout, **options)
    return answer


def test_refused_connections_open_it(registry: Registry) -> None:
    with RpcServer() as server:
        target = server.target
    with protect(grpc.insecure_channel(target, options=FAST_RECONNECT), target, registry=registry) as channel:
        for _ in range(3):
            with pytest.raises(grpc.RpcError) as caught:
                ask(channel)
            assert not isinstance(caught.value, CircuitOpenError)
        with pytest.raises(CircuitOpenError):
            ask(channel)
    assert str(only(registry).last_failure).startswith("UNAVAILABLE: failed to connect")


def test_server_that_is_killed_and_comes_back(process: RpcProcess, registry: Registry, clock: FakeClock) -> None:
    plain = grpc.insecure_channel(process.url, options=FAST_RECONNECT)
    with protect(plain, process.url, registry=registry) as channel:
        assert ask(channel) == b"fine"
        process.kill()
        for _ in range(3):
            with pytest.raises(grpc.RpcError):
                ask(channel)
        assert only(registry).state is State.OPEN
        process.start()
        clock.advance(10)
        assert ask(channel, wait_for_ready=True) == b"fine"
    assert only(registry).state is State.CLOSED


def test_server_that_is_frozen(process: RpcProcess, registry: Registry, clock: FakeClock) -> None:
    plain = grpc.insecure_channel(process.url, options=FAST_RECONNECT)
    with protect(plain, process.url, registry=registry) as channel:
        assert ask(channel) == b"fine"
        process.freeze()
        for _ in range(3):
            with pytest.raises(grpc.RpcError) as caught:
                ask(channel, timeout=0.1)
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        with pytest.raises(CircuitOpenError):
            ask(channel)
        process.thaw()
        clock.advance(10)
        assert ask(channel) == b"fine"
    assert outcomes(registry) == {"success": 2, "failure": 3, "rejected": 1}


async def test_async_channel_of_a_server_that_is_killed_and_comes_back(
    process: RpcProcess, registry: Registry, clock: FakeClock
) -> None:
    interceptors = aio_interceptors(process.url, registry=registry)
    async with grpc.aio.insecure_channel(process.url, options=FAST_RECONNECT, interceptors=interceptors) as channel:
        get = channel.unary_unary(METHOD)
        assert await get(b"one", timeout=10) == b"fine"
        process.kill()
        for _ in range(3):
            with pytest.raises(grpc.RpcError):
                await get(b"one", timeout=10)
        with pytest.raises(CircuitOpenError):
            await get(b"one", timeout=10)
        process.start()
        clock.advance(10)
        assert await get(b"one", timeout=10, wait_for_ready=True) == b"fine"
    assert only(registry).state is State.CLOSED


def test_stream_broken_off_by_a_killed_server(process: RpcProcess, registry: Registry) -> None:
    plain = grpc.insecure_channel(process.url, options=FAST_RECONNECT)
    sent = threading.Event()

    def requests() -> Iterator[bytes]:
        yield b"one"
        sent.set()
        gone.wait(10)

    gone = threading.Event()
    with protect(plain, process.url, registry=registry) as channel:
        waiting = channel.stream_stream("/shop.v1.Orders/Chat")(requests(), timeout=10)
        assert sent.wait(10)
        process.kill()
        with pytest.raises(grpc.RpcError):
            next(waiting)
        gone.set()
        assert eventually(lambda: outcomes(registry) == {"failure": 1})


FORKING = """
    import os, sys, grpc
    from recloser import default_registry
    from recloser.integrations.grpc import protect

    target = sys.argv[1]

    def ask():
        with protect(grpc.insecure_channel(target), target) as channel:
            return channel.unary_unary("/shop.v1.Orders/Get")(b"one", timeout=20)

    def seen():
        [breaker] = default_registry
        return breaker.stats().successful, breaker.stats().in_flight

    ask()
    waiting = protect(grpc.insecure_channel(target), target)
    held = waiting.stream_stream("/shop.v1.Orders/Chat")(iter(__import__("threading").Event().wait, None))
    assert seen() == (1, 1)
    child = os.fork()
    if child == 0:
        assert seen() == (1, 0), "the call in flight belongs to the parent"
        ask()
        assert seen() == (2, 0)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert seen() == (1, 1)
    print(os.waitstatus_to_exitcode(status))
    held.cancel()
    os._exit(0)
"""


def test_breakers_work_on_both_sides_of_a_fork(process: RpcProcess) -> None:
    environment = {**os.environ, "GRPC_ENABLE_FORK_SUPPORT": "1", "GRPC_VERBOSITY": "ERROR"}
    done = subprocess.run(
        [sys.executable, "-u", "-c", textwrap.dedent(FORKING), process.url],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "0\n", done.stderr
