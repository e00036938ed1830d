"""The catalogue of services is read as a whole, or refused with all that is wrong in it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from incident_manager.catalog_file import read_catalog
from incident_manager.config_errors import InvalidSettingsError

Write = Callable[..., Path]

CATALOG = """\
services:
  shop:
    owner: payments
    on_call: "+49 30 1234"
    tier: 1
    runbook: https://runbooks.example.org/shop
    dashboards: [https://grafana.example.org/d/shop]
    depends_on: [db]
  db:
    labels: {team: "db*"}
"""


def test_services_are_read_in_order_with_all_that_is_said_of_them(write: Write) -> None:
    shop, db = read_catalog(write(CATALOG, "catalog.yaml"))
    assert shop.to_dict() == {
        "name": "shop",
        "owner": "payments",
        "on_call": "+49 30 1234",
        "tier": "1",
        "runbook": "https://runbooks.example.org/shop",
        "dashboards": ["https://grafana.example.org/d/shop"],
        "depends_on": ["db"],
    }
    assert shop.matchers == {"service": "shop"}
    assert (db.name, db.matchers) == ("db", {"team": "db*"})


def test_toml_says_the_same(write: Write) -> None:
    [service] = read_catalog(write('[services.shop]\nowner = "payments"\nlabels = {app = "shop-*"}\n', "catalog.toml"))
    assert (service.owner, service.matchers) == ("payments", {"app": "shop-*"})


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("services:\n  shop:\n    owners: a\n", "c.yaml", ":3:5: services.shop.owners: unknown key; did you mean"),
        ("services:\n  shop: {runbook: 'ftp://x/'}\n", "c.yaml", ":2:10: services.shop.runbook: must be a http:// or"),
        (
            "services:\n  shop: {depends_on: [db]}\n",
            "c.yaml",
            ":2:23: services.shop.depends_on[0]: must be the name",
        ),
        ("services:\n  shop: {labels: {}}\n", "c.yaml", ":2:10: services.shop.labels: must have at least 1 item"),
        ("[services.shop]\nowner = 5\n", "c.toml", ":2:1: services.shop.owner: must be a valid string; given 5"),
        ("service: {}\n", "c.yaml", ":1:1: service: unknown key; did you mean 'services'?"),
        ("", "c.yaml", ": services: is required"),
        ("services: [", "c.yaml", "is not valid YAML"),
    ],
    ids=str,
)
def test_mistake_is_named_with_its_place(write: Write, text: str, name: str, expected: str) -> None:
    path = write(text, name)
    with pytest.raises(InvalidSettingsError) as caught:
        read_catalog(path)
    assert str(path) in str(caught.value)
    assert expected in str(caught.value)
