"""Which service of the catalogue an incident is about, and what its tier asks for."""

from datetime import UTC, datetime

import pytest

from incident_manager.domain.alert import new_alert
from incident_manager.domain.catalog import Catalog, CatalogService
from incident_manager.domain.incident import Incident
from incident_manager.domain.lifecycle import open_from_alert
from incident_manager.domain.severity import Severity

AT = datetime(2026, 1, 1, tzinfo=UTC)
CATALOG = Catalog(
    [
        CatalogService(name="db", matchers={"team": "db*"}, owner="storage"),
        CatalogService(name="shop", matchers={"service": "shop", "region": "eu*"}, tier="1"),
        CatalogService(name="shop-anywhere", matchers={"service": "shop"}, tier="2"),
        CatalogService(name="probe", matchers={"source": "probe"}),
    ],
    {"1": Severity.P1},
)


def incident(source: str = "prometheus", **labels: str) -> Incident:
    return open_from_alert(new_alert(source=source, title="Slow", labels=labels, received_at=AT))[0]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"team": "db-core"}, "db"),
        ({"service": "shop", "region": "eu-1"}, "shop"),
        ({"service": "shop", "region": "us-1"}, "shop-anywhere"),
        ({"service": "shop", "team": "db"}, "db"),
        ({"source": "probe"}, "probe"),
        ({"service": "cart"}, None),
        ({}, None),
    ],
    ids=str,
)
def test_the_first_service_that_matches_is_meant(labels: dict[str, str], expected: str | None) -> None:
    service = CATALOG.service_of(incident(**labels))
    assert (service and service.name) == expected


def test_the_tier_asks_for_a_severity_only_if_it_was_set_for_that_tier() -> None:
    assert CATALOG.least_severity(incident(service="shop", region="eu-1")) is Severity.P1
    assert CATALOG.least_severity(incident(service="shop", region="us-1")) is None
    assert CATALOG.least_severity(incident(team="db")) is None
