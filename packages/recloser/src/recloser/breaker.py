"""The circuit breaker: four ways in, and what an operator may do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, overload

from recloser import calls, fallbacks, snapshots, stats
from recloser.blocks import OpenBlocks
from recloser.clock import Clock, SystemClock
from recloser.controller import Controller
from recloser.errors import SettingsError
from recloser.events import Control, Event, Listener, State
from recloser.machine import Machine
from recloser.permits import Permit, take_permit
from recloser.settings import Settings
from recloser.stats import Stats

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

_SYSTEM_CLOCK = SystemClock()
_DEFAULTS = Settings()


class CircuitBreaker:
    """Protects calls to one dependency: sync and async, from any number of threads, tasks and event loops.

    Args:
        name: What it protects, as people will read it in metrics and errors.
        settings: When it opens and how it recovers; see `Settings` and `recloser.presets`.
        clock: Where time comes from; tests pass `recloser.testing.FakeClock`.

    Raises:
        SettingsError: The name is not a non-empty text.
    """

    __slots__ = ("__weakref__", "_blocks", "_controller")

    def __init__(self, name: str, settings: Settings | None = None, *, clock: Clock = _SYSTEM_CLOCK) -> None:
        if not isinstance(name, str) or not name.strip():
            raise SettingsError("name", name, "must be a non-empty text")
        if settings is not None and not isinstance(settings, Settings):
            raise SettingsError("settings", settings, "must be a Settings, for example presets.http_api()")
        self._controller = Controller(name, settings or _DEFAULTS, clock)
        self._blocks: OpenBlocks | None = None  # made by the first block

    # Ways in

    def __call__(self, fn: F) -> F:
        """Decorate a function, coroutine function, generator, async generator, method or other callable.

        The result keeps name, signature, types and kind of `fn`. Every call through it raises `CircuitOpenError`
        when the circuit rejects it, and else whatever `fn` raises, unmodified.

        Raises:
            TypeError: `fn` cannot be called.
        """
        return calls.protect(self._controller, fn)  # type: ignore[return-value]

    def call(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `fn` protected, and return what it returns.

        With a coroutine function the result is to be awaited, and admission happens then.

        Raises:
            CircuitOpenError: The call was rejected; `fn` was not called.
            TypeError: `fn` cannot be called.
        """
        return calls.bare(self._controller, fn)(*args, **kwargs)  # type: ignore[no-any-return]

    def acquire(self) -> Permit:
        """Take a permit for one call, to be settled by the caller.

        Raises:
            CircuitOpenError: The call is rejected.
        """
        return take_permit(self._controller)

    def __enter__(self) -> Permit:
        """Protect a block; the permit it gives may be settled inside, else it is by what the block raises.

        Raises:
            CircuitOpenError: The block is rejected.
        """
        permit = self.acquire()
        self._open_blocks().enter(permit, 2)
        return permit

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open_blocks().leave(2).settle(exc)

    # Plain functions that return something already done: admission does no I/O, and the frame above is the block's.

    def __aenter__(self) -> Awaitable[Permit]:
        """Protect an async block, as `__enter__` does.

        Raises:
            CircuitOpenError: The block is rejected.
        """
        permit = self.acquire()
        self._open_blocks().enter(permit, 2)
        return _Done(permit)

    def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> Awaitable[None]:
        self._open_blocks().leave(2).settle(exc)
        return _Done(None)

    def _open_blocks(self) -> OpenBlocks:
        if self._blocks is None:
            fresh = OpenBlocks(self._controller)
            with self._controller.lock:
                if self._blocks is None:
                    self._blocks = fresh
        return self._blocks

    # Fallbacks

    @overload
    def call_with_fallback(
        self,
        primary: Callable[[], Awaitable[T]],
        fallback: Callable[[Exception], Awaitable[T] | T],
        *,
        on_failure: bool = False,
    ) -> Awaitable[T]: ...

    @overload
    def call_with_fallback(
        self, primary: Callable[[], T], fallback: Callable[[Exception], T], *, on_failure: bool = False
    ) -> T: ...

    def call_with_fallback(
        self, primary: Callable[[], Any], fallback: Callable[[Exception], Any], *, on_failure: bool = False
    ) -> Any:
        """Call `primary` protected; when it is rejected, return `fallback(exc)` instead.

        Args:
            primary: A function or coroutine function without arguments.
            fallback: Is given the exception: `CircuitOpenError`, or what `primary` raised. It must be async, too,
                if `primary` is a plain function that returns an awaitable (a lambda).
            on_failure: Use the fallback also when `primary` raised.
        """
        return self.with_fallback(fallback, on_failure=on_failure)(primary)()

    def with_fallback(self, fallback: Callable[..., Any], *, on_failure: bool = False) -> Callable[[F], F]:
        """Decorator: as the breaker itself, and `fallback(exc, *args, **kwargs)` replaces a rejected call.

        Args:
            fallback: Is given the exception and the arguments of the call.
            on_failure: Use the fallback also when the call raised.

        Raises:
            TypeError: The decorated function is a generator.
        """

        def decorate(fn: F) -> F:
            return fallbacks.with_fallback(  # type: ignore[return-value]
                self._controller, fn, fallback, on_failure=on_failure
            )

        return decorate

    # Reading

    @property
    def name(self) -> str:
        """What it protects."""
        return self._controller.name

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._controller.settings

    @property
    def state(self) -> State:
        """Closed, open or half-open. An open circuit becomes half-open when the first call after its time comes."""
        return self._controller.read(lambda machine, now: machine.state)

    @property
    def control(self) -> Control:
        """Who decides: the breaker, or an operator."""
        return self._controller.read(lambda machine, now: machine.control)

    @property
    def control_reason(self) -> str | None:
        """The operator's words, or None when the breaker decides."""
        return self._controller.read(lambda machine, now: machine.control_reason)

    @property
    def retry_after(self) -> float | None:
        """Seconds until a call may be admitted: 0 when one may be now, None when only an operator can tell."""
        return self._controller.read(lambda machine, now: machine.retry_after(now))

    @property
    def last_failure(self) -> str | None:
        """The last counted failure as text (`"ConnectError: refused"`), or None."""
        return self._controller.read(lambda machine, now: machine.last_failure)

    @property
    def idle(self) -> bool:
        """Whether forgetting it loses nothing: evictable, and without a failure in its window."""
        return self._controller.look(Machine.is_idle)

    @property
    def evictable(self) -> bool:
        """Whether it is automatic, closed and has no call in flight."""
        return self._controller.look(Machine.is_evictable)

    @property
    def retirable(self) -> bool:
        """Whether it is automatic, has no call in flight and would admit one."""
        return self._controller.look(Machine.is_retirable)

    @property
    def call_counts(self) -> dict[str, int]:
        """Ended and rejected calls by status, as in `Stats.calls`. Reading them does nothing that is due."""
        return self._controller.look(lambda machine, now: stats.calls_by_status(machine.kernel.reading(now)))

    def stats(self) -> Stats:
        """A consistent reading of everything it knows."""
        clock = self._controller.clock
        return self._controller.read(lambda machine, now: stats.read(machine, self.name, now, clock.time()))

    # Operator control. None of it drifts back by itself.

    def force_open(self, reason: str) -> None:
        """Reject every call. `reason` is shown to people."""
        self._operate(Machine.force_open, reason)

    def force_closed(self, reason: str) -> None:
        """Let every call through and record it; nothing opens the circuit."""
        self._operate(Machine.force_closed, reason)

    def disable(self, reason: str) -> None:
        """Let every call through and record nothing."""
        self._operate(Machine.disable, reason)

    def observe_only(self, reason: str) -> None:
        """Shadow mode: decide and record, reject nothing."""
        self._operate(Machine.observe_only, reason)

    def automatic(self, reason: str) -> None:
        """Give control back to the breaker. It keeps its window and, after shadow mode, its state."""
        self._operate(Machine.automatic, reason)

    def reset(self, reason: str = "reset") -> None:
        """Automatic, closed, with an empty window. Counters stay."""
        self._operate(Machine.reset, reason)

    def _operate(self, action: Callable[[Machine, float, str], None], reason: str) -> None:
        if not isinstance(reason, str) or not reason.strip():
            raise SettingsError("reason", reason, "must be a non-empty text: the next person on call will want to know")
        self._controller.operate(lambda machine, now: action(machine, now, reason))

    def reconfigure(self, settings: Settings) -> None:
        """Take new settings at once. State, deadline, window and counters stay.

        Raises:
            SettingsError: `settings` is not a `Settings`.
        """
        if not isinstance(settings, Settings):
            raise SettingsError("settings", settings, "must be a Settings, for example breaker.settings.replace(...)")
        self._controller.operate(lambda machine, now: machine.reconfigure(settings, now))

    # Events and snapshots

    def add_listener(self, listener: Listener, kinds: tuple[type[Event], ...] = (Event,)) -> Callable[[], None]:
        """Call `listener(event)` for events of these kinds (default: all), outside any lock, in order, each once.

        A coroutine function runs in the loop that was running when it was added, else in the caller's. An error in a
        listener is logged and goes no further. Every call then makes an event unless `kinds` leaves `CallFinished`
        out: name the kinds you need on a busy breaker.

        Returns:
            A function that removes the listener.

        Raises:
            TypeError: `listener` is not callable, or `kinds` holds something else than event classes.
        """
        return self._controller.subscribe(listener, kinds)

    def snapshot(self) -> dict[str, Any]:
        """The state as values that JSON can hold, with the open time that remains; see `restore`."""
        clock = self._controller.clock
        return self._controller.read(lambda machine, now: snapshots.take(machine, self.name, now, clock.time()))

    @classmethod
    def restore(
        cls, snapshot: dict[str, Any], settings: Settings | None = None, *, clock: Clock = _SYSTEM_CLOCK
    ) -> CircuitBreaker:
        """A breaker that goes on where the snapshot was taken: time that has passed since is not waited again.

        Raises:
            SnapshotError: The snapshot is malformed or of another version.
        """
        state = snapshots.check(snapshot, clock.time())
        breaker = cls(state.name, settings, clock=clock)
        breaker._controller.operate(state.apply)
        return breaker

    def __repr__(self) -> str:
        return f"<CircuitBreaker {self.name!r}: {self.state}>"

    def __copy__(self) -> CircuitBreaker:
        raise TypeError("a CircuitBreaker cannot be copied: share it, or restore(snapshot()) under another name")

    def __deepcopy__(self, memo: dict[int, Any]) -> CircuitBreaker:
        return self.__copy__()

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("a CircuitBreaker cannot be pickled: send its snapshot() and restore() it")


class _Done(Awaitable[T]):
    """An awaitable that is done."""

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value

    def __await__(self) -> Generator[Any, Any, T]:
        return self._value
        yield
