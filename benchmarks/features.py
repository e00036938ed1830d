"""Compare what libraries do, by doing it, and what they come with: the table of docs/explanation/comparison.md.

    python -m benchmarks.features [--write] [--ours]

`make compare` runs it in the environment of `make bench`, whose versions are pinned in locks/bench.txt.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks import peers, report
from benchmarks.claims import CLAIMS, NOT_OFFERED
from benchmarks.peers import Candidate
from benchmarks.rounds import ROOT

PAGE = ROOT / "docs/explanation/comparison.md"
BEGIN, END = "<!-- begin: make compare -->", "<!-- end: make compare -->"

PARTS: dict[str, dict[str, str]] = {
    "State shared over processes": {
        "interlock-cb": "interlock.integrations.redis:RedisStorage",
        "pybreaker": "pybreaker:CircuitRedisStorage",
        "purgatory": "purgatory.service._async.unit_of_work:AsyncRedisUnitOfWork",
        "aiobreaker": "aiobreaker.storage.redis:CircuitRedisStorage",
    },
    "Retries, timeouts and bulkheads of its own": {
        "interlock-cb": "interlock.pipeline:PipelineBuilder",
        "pyresilience": "pyresilience._bulkhead:Bulkhead",
        "hyx": "hyx.bulkhead.api:bulkhead",
    },
    "Rate limiter": {
        "pyresilience": "pyresilience._rate_limiter:RateLimiter",
        "hyx": "hyx.ratelimit.api:ratelimiter",
    },
    "Registry of breakers": {
        "recloser": "recloser.registry:Registry",
        "interlock-cb": "interlock.registry:Registry",
        "circuitbreaker": "circuitbreaker:CircuitBreakerMonitor",
        "purgatory": "purgatory.service._async.circuitbreaker:AsyncCircuitBreakerFactory",
        "pyresilience": "pyresilience._registry:ResilienceRegistry",
    },
    "Breakers per key, bounded in number": {"recloser": "recloser.keyed:KeyedBreakers"},
    "HTTP clients": {
        "recloser": "recloser.integrations.httpx:protect",
        "interlock-cb": "interlock.integrations.httpx:CircuitBreakerTransport",
    },
    "Response streams, databases, model SDKs": {"recloser": "recloser.integrations.openai:protect"},
    "Web frameworks": {
        "recloser": "recloser.integrations.asgi:CircuitBreakerMiddleware",
        "interlock-cb": "interlock.integrations.fastapi:",
        "pyresilience": "pyresilience.contrib.fastapi:ResilientMiddleware",
    },
    "Prometheus": {
        "recloser": "recloser.telemetry.prometheus:BreakerCollector",
        "fluxgate": "fluxgate.listeners.prometheus:PrometheusListener",
        "pyresilience": "pyresilience.contrib.prometheus:PrometheusListener",
    },
    "Prometheus over several workers": {"recloser": "recloser.telemetry.multiprocess:Workers"},
    "OpenTelemetry": {
        "recloser": "recloser.telemetry.opentelemetry:observe",
        "interlock-cb": "interlock.integrations.otel:OTelEventListener",
        "pyresilience": "pyresilience.contrib.otel:OpenTelemetryListener",
    },
    "Alerts to Slack": {"fluxgate": "fluxgate.listeners.slack:SlackListener"},
    "Shadow mode": {
        "recloser": "recloser.breaker:observe_only",
        "interlock-cb": "interlock.breaker:metrics_only",
        "fluxgate": "fluxgate.circuitbreaker:metrics_only",
    },
    "Settings from files and the environment": {"recloser": "recloser.config.config:load_config"},
}
"""Parts that a library comes with, each by the definition that is looked for in its source."""


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table; with `--write` put it into the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.features", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write it into docs/explanation/comparison.md")
    parser.add_argument("--ours", action="store_true", help="try recloser only")
    arguments = parser.parse_args(argv)
    found = table(libraries(ours=arguments.ours))
    print(found)
    if arguments.write:
        today = datetime.datetime.now(datetime.UTC).date()
        block = f"{report.platform_line(today)}.\n\n{found}"
        PAGE.write_text(report.splice(PAGE.read_text(), block, BEGIN, END))


def libraries(*, ours: bool) -> list[Candidate]:
    """One candidate of each library that is installed."""
    candidates, _ = peers.load(peers=not ours)
    known: dict[str, Candidate] = {}
    for candidate in candidates:
        if candidate.distribution:
            known[candidate.distribution] = candidate  # pyresilience comes twice: the one with a window stays
    return list(known.values())


def table(candidates: Sequence[Candidate]) -> str:
    """The comparison as a table in Markdown: a row for each claim and part, a column for each library."""
    names = [candidate.distribution for candidate in candidates]
    versions = [f"{name} {importlib.metadata.version(name)}" for name in names]
    rows = [["", *versions]]
    rows += [[claim.text, *(claim.holds(candidate) for candidate in candidates)] for claim in CLAIMS]
    rows += [[part, *(_has(name, by_library) for name in names)] for part, by_library in PARTS.items()]
    rows += [
        ["Types (`py.typed`)", *("yes" if _is_typed(name) else "no" for name in names)],
        ["Packages it needs", *(str(_needed(name)) for name in names)],
    ]
    rows.insert(1, ["---", *("---" for _ in names)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _has(library: str, by_library: dict[str, str]) -> str:
    place = by_library.get(library)
    if place is None:
        return NOT_OFFERED
    module, _, name = place.partition(":")
    source = _source(module)
    if name and not re.search(rf"\b(?:class|def) {name}\b", source.read_text()):
        raise LookupError(f"{library} {importlib.metadata.version(library)} has no {place} any more: look again")
    return "yes"


def _source(module: str) -> Path:
    """The file of a module, which is not imported: its own extras need not be installed."""
    package, *parts = module.split(".")
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise LookupError(f"{package} is not installed")
    path = Path(spec.origin)
    if parts:
        path = path.parent.joinpath(*parts)
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if not path.exists():
        raise LookupError(f"there is no module {module} any more: look again")
    return path


def _is_typed(library: str) -> bool:
    tops = {name for name, owners in importlib.metadata.packages_distributions().items() if library in owners}
    specs = [importlib.util.find_spec(name) for name in tops]
    folders = [folder for spec in specs if spec for folder in spec.submodule_search_locations or ()]
    return any((Path(folder) / "py.typed").exists() for folder in folders)


def _needed(library: str) -> int:
    required = importlib.metadata.requires(library) or []
    return sum("extra ==" not in line and "python_version" not in line for line in required)


if __name__ == "__main__":
    main()
