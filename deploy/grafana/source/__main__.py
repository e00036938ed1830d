"""Write the dashboards: `python -m deploy.grafana.source`."""

import json
from pathlib import Path

from deploy.grafana.source.breaker import breaker
from deploy.grafana.source.overview import overview
from deploy.grafana.source.service import service
from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

FOLDER = Path(__file__).parents[1]
DASHBOARDS = {"circuit-breakers": overview, "circuit-breaker": breaker, "incident-manager": service}


def written() -> dict[Path, str]:
    """What each file is to hold."""
    return {FOLDER / f"{name}.json": _document(make()) for name, make in DASHBOARDS.items()}


def _document(made: Dashboard) -> str:
    document = json.loads(json.dumps(made.build(), cls=JSONEncoder))
    for variable in document["templating"]["list"]:
        for key in ("auto", "auto_count", "auto_min"):  # of intervals; the builders give them to every variable
            variable.pop(key, None)
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    for file, text in written().items():
        file.write_text(text)
