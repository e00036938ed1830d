"""Everything that can be called can be decorated, and is then protected."""

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from packages.recloser.tests.support import Boom, trip

from recloser import CircuitBreaker, CircuitOpenError, State


class Client:
    """Its methods fail when it is down."""

    def __init__(self, down: bool) -> None:
        self.down = down

    def answer(self, a: int, b: int = 2) -> int:
        if self.down:
            raise Boom("down")
        return a + b

    async def answer_async(self, a: int, b: int = 2) -> int:
        return self.answer(a, b)

    def __call__(self, a: int, b: int = 2) -> int:
        return self.answer(a, b)

    def items(self, a: int, b: int = 2) -> Iterator[int]:
        yield a
        yield self.answer(a, b)

    async def items_async(self, a: int, b: int = 2) -> AsyncIterator[int]:
        yield a
        yield self.answer(a, b)


class AsyncClient(Client):
    async def __call__(self, a: int, b: int = 2) -> int:  # type: ignore[override]
        return self.answer(a, b)


def collect(items: Callable[..., Iterator[int]]) -> Callable[..., int]:
    return lambda *args, **kwargs: list(items(*args, **kwargs))[-1]


def collect_async(items: Callable[..., AsyncIterator[int]]) -> Callable[..., Awaitable[int]]:
    async def collected(*args: Any, **kwargs: Any) -> int:
        return [item async for item in items(*args, **kwargs)][-1]

    return collected


Protect = Callable[[CircuitBreaker, bool], Callable[..., Any]]

SYNC: dict[str, Protect] = {
    "method": lambda breaker, down: breaker(Client(down).answer),
    "callable object": lambda breaker, down: breaker(Client(down)),
    "lambda": lambda breaker, down: breaker(lambda a, b=2: Client(down).answer(a, b)),
    "partial": lambda breaker, down: breaker(functools.partial(Client.answer, Client(down))),
    "generator": lambda breaker, down: collect(breaker(Client(down).items)),
    "partial of a generator": lambda breaker, down: collect(breaker(functools.partial(Client(down).items))),
}
ASYNC: dict[str, Protect] = {
    "method": lambda breaker, down: breaker(Client(down).answer_async),
    "callable object": lambda breaker, down: breaker(AsyncClient(down)),
    "lambda": lambda breaker, down: breaker(lambda a, b=2: Client(down).answer_async(a, b)),
    "partial": lambda breaker, down: breaker(functools.partial(Client.answer_async, Client(down))),
    "generator": lambda breaker, down: collect_async(breaker(Client(down).items_async)),
    "partial of a generator": lambda breaker, down: collect_async(breaker(functools.partial(Client(down).items_async))),
}


@pytest.mark.parametrize("protect", SYNC.values(), ids=SYNC)
def test_arguments_and_result_pass_through(breaker: CircuitBreaker, protect: Protect) -> None:
    protected = protect(breaker, False)
    assert protected(1) == 3
    assert protected(1, b=5) == 6
    assert breaker.stats().successful == 2


@pytest.mark.parametrize("protect", ASYNC.values(), ids=ASYNC)
async def test_arguments_and_result_pass_through_async(breaker: CircuitBreaker, protect: Protect) -> None:
    protected = protect(breaker, False)
    assert await protected(1) == 3
    assert await protected(1, b=5) == 6
    assert breaker.stats().successful == 2


@pytest.mark.parametrize("protect", SYNC.values(), ids=SYNC)
def test_failures_open_the_circuit(breaker: CircuitBreaker, protect: Protect) -> None:
    protected = protect(breaker, True)
    for _ in range(3):
        with pytest.raises(Boom):
            protected(1)
    assert breaker.state is State.OPEN


@pytest.mark.parametrize("protect", ASYNC.values(), ids=ASYNC)
async def test_failures_open_the_circuit_async(breaker: CircuitBreaker, protect: Protect) -> None:
    protected = protect(breaker, True)
    for _ in range(3):
        with pytest.raises(Boom):
            await protected(1)
    assert breaker.state is State.OPEN


@pytest.mark.parametrize("protect", SYNC.values(), ids=SYNC)
def test_open_circuit_rejects_before_anything_runs(breaker: CircuitBreaker, protect: Protect) -> None:
    protected = protect(breaker, True)
    trip(breaker)
    with pytest.raises(CircuitOpenError):
        protected(1)
    assert breaker.stats().failed == 3


@pytest.mark.parametrize("protect", ASYNC.values(), ids=ASYNC)
async def test_open_circuit_rejects_before_anything_runs_async(breaker: CircuitBreaker, protect: Protect) -> None:
    protected = protect(breaker, True)
    trip(breaker)
    with pytest.raises(CircuitOpenError):
        await protected(1)
    assert breaker.stats().failed == 3


@pytest.mark.parametrize("protect", ASYNC.values(), ids=ASYNC)
async def test_call_ends_when_it_has_been_awaited(breaker: CircuitBreaker, protect: Protect) -> None:
    pending = protect(breaker, False)(1)
    assert breaker.stats().successful == 0
    await pending
    assert breaker.stats().successful == 1
    assert breaker.stats().in_flight == 0


def test_methods_are_bound_in_a_class_body(breaker: CircuitBreaker) -> None:
    class Service:
        name = "service"

        @breaker
        def method(self) -> str:
            return self.name

        @breaker
        @classmethod
        def breaker_over_classmethod(cls) -> str:
            return cls.name

        @classmethod
        @breaker
        def classmethod_over_breaker(cls) -> str:
            return cls.name

        @breaker
        @staticmethod
        def breaker_over_staticmethod() -> str:
            return "static"

        @staticmethod
        @breaker
        def staticmethod_over_breaker() -> str:
            return "static"

    service = Service()
    assert service.method() == "service"
    assert Service.breaker_over_classmethod() == service.classmethod_over_breaker() == "service"
    assert Service.breaker_over_staticmethod() == service.staticmethod_over_breaker() == "static"
    assert breaker.stats().successful == 5


async def test_methods_are_bound_in_a_class_body_async(breaker: CircuitBreaker) -> None:
    class Service:
        name = "service"

        @breaker
        async def method(self) -> str:
            return self.name

        @breaker
        @classmethod
        async def over_classmethod(cls) -> str:
            return cls.name

        @breaker
        @staticmethod
        async def over_staticmethod() -> str:
            return "static"

    service = Service()
    assert await service.method() == await service.over_classmethod() == "service"
    assert await service.over_staticmethod() == "static"
    assert breaker.stats().successful == 3


def test_class_can_be_called_through_the_breaker(breaker: CircuitBreaker) -> None:
    made = breaker.call(Client, True)
    assert isinstance(made, Client)
    assert made.down


def test_one_breaker_protects_many_callables(breaker: CircuitBreaker) -> None:
    first, second = breaker(Client(True).answer), breaker(Client(False).answer)
    for _ in range(3):
        with pytest.raises(Boom):
            first(1)
    with pytest.raises(CircuitOpenError):
        second(1)


def test_two_breakers_may_be_stacked(breaker: CircuitBreaker) -> None:
    outer = CircuitBreaker("outer")
    protected = outer(breaker(Client(False).answer))
    assert protected(1) == 3
    assert outer.stats().successful == breaker.stats().successful == 1
