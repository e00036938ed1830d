"""What `deploy/prometheus`, `deploy/grafana` and the runbooks promise, on real servers."""
