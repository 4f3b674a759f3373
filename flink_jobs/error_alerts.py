"""A service that fails far more often in a minute than it used to.

Judged in Python over the minutes of `service_health`, a few rows a minute, where Python costs nothing. The score is a
robust z-score (Iglewicz and Hoaglin, 1993): the distance of this minute's error ratio from the median of the minutes
before, in deviations estimated from their median absolute deviation. Where a service hardly fails that is 0, and any
error would be infinitely far; so the deviation is never taken for less than chance alone makes it, the binomial
sqrt(p (1 - p) / n).
"""

from __future__ import annotations

import math
from statistics import median

from pyflink.table import DataTypes
from pyflink.table.udf import udf

from flink_jobs.service_health import windows
from shardlake.flink.job import Insert, Tables

PAST_MINUTES = 30
MIN_PAST_MINUTES = 5
MIN_ERRORS = 5
THRESHOLD = 6.0
DEVIATIONS_PER_MAD = 1.4826
"""Of a normal distribution."""


def judge(events: list[int], errors: list[int]) -> tuple[float, float] | None:
    """(usual error ratio, score) where the last minute is alarming against those before, else None.

    Both lists are a service's minutes in order, the last the one to judge.
    """
    *past_events, n = events
    *past_errors, failed = errors
    if len(past_events) < MIN_PAST_MINUTES or failed < MIN_ERRORS:
        return None
    ratios = [k / m for k, m in zip(past_errors, past_events, strict=True)]
    usual = median(ratios)
    spread = DEVIATIONS_PER_MAD * median(abs(ratio - usual) for ratio in ratios)
    share = (sum(past_errors) + 1) / (sum(past_events) + 2)  # never 0, however good the past
    score = (failed / n - usual) / max(spread, math.sqrt(share * (1 - share) / n))
    return (usual, score) if score >= THRESHOLD else None


@udf(result_type=DataTypes.ARRAY(DataTypes.DOUBLE()))  # type: ignore[untyped-decorator]
def alarming(events: list[int], errors: list[int]) -> list[float] | None:
    """`judge` as Flink calls it: an array, not a tuple."""
    found = judge(list(events), list(errors))
    return None if found is None else list(found)


def build(tables: Tables) -> list[Insert]:
    """Windows of `service_health` → `lake.alerts` and the topic `alerts`."""
    tables.environment.create_temporary_system_function("ALARMING", alarming)
    past = f"PARTITION BY `service` ORDER BY window_time ROWS BETWEEN {PAST_MINUTES} PRECEDING AND CURRENT ROW"
    alerts = tables.query(f"""
        SELECT window_start, window_end, `service`, events, errors,
            CAST(errors AS DOUBLE) / events AS error_ratio,
            alarm[1] AS usual_error_ratio, alarm[2] AS score
        FROM (
            SELECT
                CAST(window_start AS TIMESTAMP_LTZ(3)) AS window_start,
                CAST(window_end AS TIMESTAMP_LTZ(3)) AS window_end,
                `service`, events, errors,
                ALARMING(ARRAY_AGG(events) OVER w, ARRAY_AGG(errors) OVER w) AS alarm
            FROM ({windows(tables)})
            WINDOW w AS ({past}))
        WHERE alarm IS NOT NULL
    """)
    return [Insert("lake.alerts", alerts), Insert("topics.alerts", alerts)]
