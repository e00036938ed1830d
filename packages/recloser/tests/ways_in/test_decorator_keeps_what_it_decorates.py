"""A decorated callable looks to people, frameworks and `inspect` as it did before."""

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from recloser import CircuitBreaker


def function(a: int, *, b: str = "x") -> str:
    """Doc of the function."""
    return f"{a}{b}"


async def coroutine(a: int, *, b: str = "x") -> str:
    """Doc of the coroutine function."""
    return f"{a}{b}"


def generator(a: int, *, b: str = "x") -> Iterator[str]:
    """Doc of the generator."""
    yield f"{a}{b}"


async def async_generator(a: int, *, b: str = "x") -> AsyncIterator[str]:
    """Doc of the async generator."""
    yield f"{a}{b}"


KINDS = [function, coroutine, generator, async_generator]
PREDICATES = [
    inspect.isfunction,
    inspect.iscoroutinefunction,
    inspect.isgeneratorfunction,
    inspect.isasyncgenfunction,
]


@pytest.mark.parametrize("fn", KINDS)
def test_name_and_documentation_are_kept(breaker: CircuitBreaker, fn: Callable[..., Any]) -> None:
    protected = breaker(fn)
    assert protected.__name__ == fn.__name__
    assert protected.__qualname__ == fn.__qualname__
    assert protected.__module__ == fn.__module__
    assert protected.__doc__ == fn.__doc__


@pytest.mark.parametrize("fn", KINDS)
def test_signature_and_annotations_are_kept(breaker: CircuitBreaker, fn: Callable[..., Any]) -> None:
    assert inspect.signature(breaker(fn)) == inspect.signature(fn)
    assert breaker(fn).__annotations__ == fn.__annotations__


@pytest.mark.parametrize("predicate", PREDICATES)
@pytest.mark.parametrize("fn", KINDS)
def test_kind_is_kept(breaker: CircuitBreaker, fn: Callable[..., Any], predicate: Callable[[object], bool]) -> None:
    assert predicate(breaker(fn)) is predicate(fn)


def test_original_is_reachable(breaker: CircuitBreaker) -> None:
    assert inspect.unwrap(breaker(function)) is function


def test_attributes_of_the_function_are_kept(breaker: CircuitBreaker) -> None:
    def tagged() -> None: ...

    tagged.route = "/health"  # type: ignore[attr-defined]
    assert breaker(tagged).route == "/health"  # type: ignore[attr-defined]


def test_partial_of_a_coroutine_function_becomes_a_coroutine_function(breaker: CircuitBreaker) -> None:
    protected = breaker(functools.partial(coroutine, 1))
    assert inspect.iscoroutinefunction(protected)
    assert str(inspect.signature(protected)) == "(*, b: str = 'x') -> str"


def test_object_with_async_call_becomes_a_coroutine_function(breaker: CircuitBreaker) -> None:
    class Client:
        async def __call__(self, a: int) -> int:
            return a

    assert inspect.iscoroutinefunction(breaker(Client()))


def test_staticmethod_and_classmethod_stay_what_they_are(breaker: CircuitBreaker) -> None:
    assert isinstance(breaker(staticmethod(function)), staticmethod)
    assert isinstance(breaker(classmethod(function)), classmethod)


@pytest.mark.parametrize("thing", [3, None, "name", property(lambda self: 1)])
def test_what_cannot_be_called_is_refused(breaker: CircuitBreaker, thing: Any) -> None:
    with pytest.raises(TypeError, match="cannot be called"):
        breaker(thing)
