"""Writes the dashboards that Grafana is given."""

from __future__ import annotations

from pathlib import Path

from grafana_dashboards.queries import documents

FOLDER = Path(__file__).parents[1] / "dashboards"

if __name__ == "__main__":
    for name, text in documents().items():
        (FOLDER / f"{name}.json").write_text(text)
