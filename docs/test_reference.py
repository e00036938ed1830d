"""Everything that is public has its place in the reference, once."""

import importlib
import pkgutil
import re
from collections import Counter
from pathlib import Path

import recloser

PAGES = Path(__file__).parent / "reference"
SHOWN = Counter(
    name for page in PAGES.glob("*.md") for name in re.findall(r"^::: ([\w.]+)$", page.read_text(), re.MULTILINE)
)


def modules(package: str) -> set[str]:
    """The public modules of a package, without importing them."""
    path = importlib.import_module(package).__path__
    return {f"{package}.{one.name}" for one in pkgutil.iter_modules(path) if not one.name.startswith("_")}


def test_nothing_is_shown_twice() -> None:
    assert [name for name, times in SHOWN.items() if times > 1] == []


def test_every_public_name_of_the_library_is_shown() -> None:
    homes = {name: getattr(getattr(recloser, name), "__module__", "recloser") for name in recloser.__all__}
    missing = [name for name, home in homes.items() if not {f"recloser.{name}", home, f"{home}.{name}"} & SHOWN.keys()]
    assert missing == []


def test_every_integration_and_every_telemetry_module_is_shown() -> None:
    public = modules("recloser.integrations") | modules("recloser.telemetry")
    shown = {name for name in public if any(one == name or one.startswith(f"{name}.") for one in SHOWN)}
    assert shown == public


def test_the_live_page_and_the_help_for_tests_are_shown() -> None:
    assert {"recloser.dashboard", "recloser.testing.FakeClock"} <= SHOWN.keys()
