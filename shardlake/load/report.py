"""Writes reports, from what a run's or a search's folder keeps and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from shardlake.load import capacity_report, run_report
from shardlake.load.document import Document
from shardlake.load.page import html
from shardlake.load.result import Capacities, Result, read_samples
from shardlake.load.summary import markdown

if TYPE_CHECKING:
    from shardlake.load.drawing import Plot

PAGE_FILE, SUMMARY_FILE = "report.html", "report.md"


def write_report(folder: Path) -> None:
    """PAGE_FILE and SUMMARY_FILE of the run that the folder keeps. Raises BadInput where it keeps none."""
    result = Result.read(folder)
    try:
        samples = read_samples(folder)
    except FileNotFoundError:
        samples = []
    from shardlake.load.plots import of_run

    document = run_report.of_run(result, samples)
    _write(document, of_run(result, samples), folder)


def write_capacity(folder: Path) -> None:
    """PAGE_FILE and SUMMARY_FILE of the search. Raises BadInput where the folder keeps none."""
    found = Capacities.read(folder)
    from shardlake.load.capacity_plot import of_capacity

    document = capacity_report.of_capacity(found)
    _write(document, of_capacity(found), folder)


def _write(document: Document, plots: Mapping[str, Plot], folder: Path) -> None:
    (folder / PAGE_FILE).write_text(html(document, plots), encoding="utf-8")
    (folder / SUMMARY_FILE).write_text(markdown(document), encoding="utf-8")
