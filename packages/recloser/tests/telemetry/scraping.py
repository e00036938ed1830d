"""What a scrape sees, read by Prometheus' own parser of its text format."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families as parse

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
"""Each sample's value by its name and labels."""


def scrape(prometheus: CollectorRegistry) -> Samples:
    """Scrape a registry of this process."""
    return read_page(generate_latest(prometheus).decode())


def read_page(page: str) -> Samples:
    """The samples of a page of metrics."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse(page)
        for sample in family.samples
    }


def value(samples: Samples, metric: str, /, **labels: str) -> float:
    """One sample of a metric of ours."""
    return samples[f"recloser_circuit_breaker_{metric}", frozenset(labels.items())]


def labels_of(samples: Samples, metric: str) -> Iterator[dict[str, str]]:
    """The labels of each sample of a metric of ours."""
    return (dict(labels) for sample, labels in samples if sample == f"recloser_circuit_breaker_{metric}")
