"""Whether lag grows: a straight line through its samples, and how sure that is.

Least squares. Neighbouring samples of a lag are alike, so each tells less than one of independent ones would: their
number is lowered to n (1 - r) / (1 + r), with r the correlation of neighbouring residuals (Santer et al. 2000, Journal
of Geophysical Research 105, D6), before the bounds of 95 % are drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from shardlake.load.result import Slope

SHARE = 0.01
"""A slope of less than this share of the rate is flat (Theodolite, ShuffleBench)."""

HOLDS, GROWS, UNDECIDED = "holds", "grows", "undecided"
FEWEST = 5
T_95 = (
    (1, 12.71),
    (2, 4.30),
    (3, 3.18),
    (4, 2.78),
    (5, 2.57),
    (6, 2.45),
    (8, 2.31),
    (10, 2.23),
    (15, 2.13),
    (30, 2.04),
)
"""Student's t by degrees of freedom, two-sided 95 %; 1.96 for many."""


Array = np.ndarray[Any, np.dtype[Any]]


def fit(group: str, seconds: Sequence[float], lags: Sequence[float] | Array, rate: float) -> Slope | None:
    """The line, None of fewer than FEWEST samples. `rate` is what was offered, in events a second."""
    if len(lags) < FEWEST:
        return None
    x, y = np.asarray(seconds, float), np.asarray(lags, float)
    x_middle = x - x.mean()
    spread = float(x_middle @ x_middle)
    slope = float(x_middle @ y) / spread
    rest = y - y.mean() - slope * x_middle
    error = _error(rest, spread)
    low, high = slope - error, slope + error
    limit = SHARE * rate
    conclusion = HOLDS if high < limit else GROWS if low > limit else UNDECIDED
    return Slope(
        group=group, records_per_second=slope, low=low, high=high, share=slope / rate,
        mean_lag=float(y.mean()), max_lag=float(y.max()), conclusion=conclusion,
    )  # fmt: skip


def _error(rest: Array, spread: float) -> float:
    """Half of the interval in which the slope is by 95 %."""
    squares = float(rest @ rest)
    if squares < 1e-9:
        return 0.0
    alike = max(0.0, float(rest[:-1] @ rest[1:]) / squares)
    effective = max(3.0, len(rest) * (1 - alike) / (1 + alike))
    freedom = effective - 2
    return _t(freedom) * math.sqrt(squares / freedom / spread)


def _t(freedom: float) -> float:
    return next((t for degrees, t in reversed(T_95) if freedom >= degrees), T_95[0][1]) if freedom < 60 else 1.96
