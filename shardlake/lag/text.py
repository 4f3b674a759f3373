"""Metrics as Prometheus reads them (its text format, 0.0.4). For the tens of thousands of series of one scrape the
client library takes forty times as long: docs/measurements.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from shardlake.metric import Metric

ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


def labels(names: Sequence[str], values: Iterable[object]) -> str:
    """`{name="value",…}`, '' without any."""
    pairs = [f'{name}="{str(value).translate(ESCAPES)}"' for name, value in zip(names, values, strict=True)]
    return f"{{{','.join(pairs)}}}" if pairs else ""


def family(metric: Metric, samples: Iterable[tuple[str, float]]) -> str:
    """A metric with its samples, as (labels, value); '' without any."""
    name = metric.name
    lines = [
        f"{name}{labelled} {value}\n" if isinstance(value, int) else f"{name}{labelled} {_number(value)}\n"
        for labelled, value in samples
    ]
    if not lines:
        return ""
    return f"# HELP {name} {metric.help}\n# TYPE {name} {metric.kind}\n{''.join(lines)}"


def _number(value: float) -> str:
    return "+Inf" if value == float("inf") else f"{value:.10g}"
