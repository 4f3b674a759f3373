"""Grafana's dashboards, made from code: `make dashboards` writes docker/grafana/dashboards/."""
