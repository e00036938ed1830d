"""A circuit breaker for Python: sync and async, threads and event loops, observable and tunable."""

from typing import TYPE_CHECKING, Any

from recloser import presets
from recloser.breaker import CircuitBreaker
from recloser.clock import Clock, SystemClock
from recloser.config import Config, ConfigWatcher, Explained, load_config
from recloser.errors import (
    CircuitOpenError,
    ConfigError,
    DuplicateBreakerError,
    RecloserError,
    SettingsError,
    SnapshotError,
    UnknownBreakerError,
)
from recloser.events import (
    BreakerReset,
    CallFinished,
    CallRejected,
    Control,
    ControlChanged,
    Event,
    State,
    StateChanged,
)
from recloser.kernel import BUCKET_BOUNDS, kernel_name
from recloser.keyed import Evictions, KeyedBreakers
from recloser.outcomes import Outcome, Verdict
from recloser.permits import Permit
from recloser.recovery import Adaptive, Exponential, Fixed, Linear, Opening, Recovery
from recloser.registry import Group, Registry, RegistryHealth, Selection, default_registry, get_breaker
from recloser.settings import CountWindow, Settings, TimeWindow
from recloser.stats import Stats

if TYPE_CHECKING:
    from recloser.instrumentation import Instrumentation, instrument, uninstrument

__all__ = [
    "BUCKET_BOUNDS",
    "Adaptive",
    "BreakerReset",
    "CallFinished",
    "CallRejected",
    "CircuitBreaker",
    "CircuitOpenError",
    "Clock",
    "Config",
    "ConfigError",
    "ConfigWatcher",
    "Control",
    "ControlChanged",
    "CountWindow",
    "DuplicateBreakerError",
    "Event",
    "Evictions",
    "Explained",
    "Exponential",
    "Fixed",
    "Group",
    "Instrumentation",
    "KeyedBreakers",
    "Linear",
    "Opening",
    "Outcome",
    "Permit",
    "RecloserError",
    "Recovery",
    "Registry",
    "RegistryHealth",
    "Selection",
    "Settings",
    "SettingsError",
    "SnapshotError",
    "State",
    "StateChanged",
    "Stats",
    "SystemClock",
    "TimeWindow",
    "UnknownBreakerError",
    "Verdict",
    "default_registry",
    "get_breaker",
    "instrument",
    "kernel_name",
    "load_config",
    "presets",
    "uninstrument",
]


def __getattr__(name: str) -> Any:
    # Imported when it is asked for: a program that protects its calls itself does not pay for it.
    if name in ("Instrumentation", "instrument", "uninstrument"):
        from recloser import instrumentation

        return getattr(instrumentation, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
