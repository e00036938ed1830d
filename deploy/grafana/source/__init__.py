"""The dashboards for Grafana, as code: `python -m deploy.grafana.source` writes the files beside this package."""
