"""What waits in the journal, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from incident_manager.store.journal import Journal


class JournalCollector(Collector):
    """Reads the journal's counters when it is scraped.

    Args:
        journal: The journal.
        prefix: Of every metric's name.
    """

    def __init__(self, journal: Journal, prefix: str) -> None:
        self._journal = journal
        self._prefix = prefix

    def collect(self) -> Iterable[Metric]:
        """The metrics now."""
        state = self._journal.state
        for name, text, value in (
            ("journal_entries", "Alerts that wait in the journal for the database", state.waiting),
            ("journal_set_aside", "Alerts in the journal that the database refused", state.set_aside),
            ("journal_bytes", "Bytes of the alerts in the journal", state.size),
            ("journal_oldest_seconds", "Age of the first alert that waits in the journal", self._journal.oldest_age),
        ):
            yield GaugeMetricFamily(self._prefix + name, text, value)
