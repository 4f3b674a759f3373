"""One run of load, from an empty folder to a result: offered, read, drained, verified."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from shardlake.errors import ShardlakeError
from shardlake.install.versions import versions
from shardlake.lake.tables import lake_tables
from shardlake.load import closing, handled, latencies, machine, times
from shardlake.load.drive import Do, Driven, drive
from shardlake.load.generator import Summary
from shardlake.load.handled import Rows
from shardlake.load.lakewatch import LakeWatch
from shardlake.load.result import Handler, Latency, Result, Schedule, Usage
from shardlake.load.scenario import ADD_CONSUMER, LATE, POISSON, RESTART_BROKER, Scenario
from shardlake.load.schedule import REACHED_SHARE, mean_rate
from shardlake.load.servers import BROKER
from shardlake.load.target import Readers, Say, Target
from shardlake.load.times import Sent
from shardlake.load.usage import Meter
from shardlake.load.watch import JOBS, Watch, slope
from shardlake.load.windows import WindowWatch, topics_of_windows

SLIP_P99_MS = 5.0
"""Where a schedule is missed by more, it was none, and latencies from its times are void."""

CATCH_UP_SECONDS = 60
"""And twice the load's duration: what is not read then is not waited for."""

SHOW_UP_SECONDS = 2.0
"""A checkpoint's files come a moment after its offsets; twice as long as the lake is not looked at."""


def run(target: Target, scenario: Scenario, folder: Path, command: str, say: Say) -> Result:
    """Raises BadInput where the scenario does not fit the servers, Unavailable where these are down, ShardlakeError
    where the load itself fails; all that it started has ended then, but for the jobs."""
    if any(scenario.steps(RESTART_BROKER)):
        target.servers.refuse_restarts()
    facts, began = machine.facts(), datetime.now(UTC).isoformat(timespec="seconds")
    readers = Readers(target, scenario, say)
    failed: list[str] = []
    with ExitStack() as cleanup:
        cleanup.callback(lambda: failed.extend(readers.end()))
        offer = target.offer(scenario, folder)
        cleanup.callback(offer.kill)
        lake, windows = _watches(target, scenario, cleanup) if readers.has_jobs else (None, None)
        meter = readers.meter(os.getpid(), lambda: offer.pids)
        watch = Watch(folder, readers.lags, meter)
        cleanup.callback(watch.close)
        steal = machine.Steal()
        begin_ns = time.time_ns() + int(1e9 * readers.lead_seconds)
        readers.start(folder, begin_ns)
        # A broker that is down when Ctrl-C comes is started before the producers' reports are waited for.
        with ExitStack() as restarts:
            todo = _todo(target, scenario, readers, restarts)
            driven = drive(offer, watch, meter, begin_ns, scenario.warm_up or 0.0, scenario.duration, todo, say)
        with _ends_early(driven, say, "interrupted before all that was sent was read"):
            say("the load is over: waiting for the last reports, and for those who read")
            offer.await_end()
            if not driven.stopped:

                def look() -> None:
                    watch.look((time.time_ns() - begin_ns) / 1e9, sum(one.events for one in offer.summaries))

                _catch_up(readers, scenario, look, say)
                time.sleep(SHOW_UP_SECONDS if lake else 0)
                look()
        facts["steal_share"] = round(steal.share, 4)
    result = Result(
        command=command, began=began, seconds=driven.seconds, warm_up_seconds=scenario.warm_up or 0.0,
        partial="; ".join([driven.stopped, *failed] if driven.stopped else failed),
        machine=facts, versions=versions(), settings=_settings(target, scenario, readers), acts=driven.acts,
    )  # fmt: skip
    rows = handled.read(folder)
    result = _measured(result, scenario, rows, driven, meter, watch, offer.summaries, readers)
    result = _with_latencies(result, scenario, folder, rows, driven, readers, lake, windows)
    result.write(folder)  # what is known is kept, whatever becomes of the rest
    if not driven.stopped:
        with _ends_early(driven, say, "interrupted before verify had ended"):
            verified, anomalies = closing.verify(
                target, folder, say, run_jobs=not readers.has_jobs, again=readers.jobs_were_running, is_last=False
            )
            result = replace(result, verified=verified, anomalies=anomalies)
        if driven.stopped:
            result = replace(result, partial=driven.stopped)
        result.write(folder)
    elif readers.has_jobs and not readers.jobs_were_running:
        with _ends_early(driven, say, ""):
            target.commands.run("jobs", "stop")
    closing.tidy(folder, result.verified)
    return result


def _watches(target: Target, scenario: Scenario, cleanup: ExitStack) -> tuple[LakeWatch | None, WindowWatch | None]:
    lake, windows, topic = None, None, target.pipeline.events_topic
    if topic.lake_table:
        tables = {table.name: table for table in lake_tables(target.settings.lake, target.pipeline)}
        latest = max((step.values["by"] for step in scenario.steps(LATE)), default=0.0)
        lake = LakeWatch(tables[topic.lake_table], timedelta(hours=1, seconds=latest))
        cleanup.callback(lake.close)
    if found := topics_of_windows(target.pipeline):
        windows = WindowWatch(target.pipeline, target.settings, found[0])
        cleanup.callback(windows.close)
    return lake, windows


def _todo(target: Target, scenario: Scenario, readers: Readers, restarts: ExitStack) -> list[Do]:
    servers = target.servers
    down: list[bool] = []

    def start_if_down() -> None:
        if down:
            servers.start()

    restarts.callback(start_if_down)

    def kill() -> str:
        servers.kill(BROKER)
        down.append(True)
        return "killed (-9)"

    def start() -> str:
        servers.start()
        down.clear()
        return "started again"

    found = []
    for step in scenario.timeline:
        if step.name == RESTART_BROKER:
            found += [Do(step.at, str(step), kill), Do(step.at + step.values["down"], step.name, start)]
        elif step.name == ADD_CONSUMER:
            count = int(step.values["count"])
            found.append(Do(step.at, str(step), lambda count=count: readers.add(count)))  # type: ignore[misc]
        else:
            found.append(Do(step.at, str(step), lambda: "as the schedule says"))
    return found


@contextmanager
def _ends_early(driven: Driven, say: Say, interrupted: str) -> Iterator[None]:
    """What was measured until then is kept where something fails, or Ctrl-C comes: the run is partial."""
    try:
        yield
    except KeyboardInterrupt:
        driven.stopped = driven.stopped or interrupted
        say(driven.stopped)
    except ShardlakeError as error:
        driven.stopped = driven.stopped or error.message.rstrip(".")
        say(error.message)


def _catch_up(readers: Readers, scenario: Scenario, meanwhile: Callable[[], None], say: Say) -> None:
    seconds = CATCH_UP_SECONDS + 2 * scenario.duration
    for group in readers.await_caught_up(seconds, meanwhile):
        say(f"{group} has not caught up, and is waited for no longer: what it has not read counts as unknown")


def _measured(
    result: Result,
    scenario: Scenario,
    rows: Rows,
    driven: Driven,
    meter: Meter,
    watch: Watch,
    summaries: list[Summary],
    readers: Readers,
) -> Result:
    """With everything but the latencies."""
    warm_up = scenario.warm_up or 0.0
    end = min(driven.seconds, scenario.duration)
    rate = max(1e-9, mean_rate(scenario, warm_up, end))
    groups = [group for group in (readers.group, JOBS if readers.has_jobs else None) if group]
    slopes = [slope(watch.samples, group, warm_up, end, rate) for group in groups]
    events = sum(one.events for one in summaries)
    usage = [
        Usage(
            role=role, processes=meter.most_processes[role], cpu_seconds=round(took, 2),
            cpu_us_per_event=round(1e6 * took / driven.sent, 2) if driven.sent else 0.0,
            max_memory_mb=round(meter.max_memory_mb[role]),
        )
        for role, took in driven.took().items()
        if took or meter.max_memory_mb[role]
    ]  # fmt: skip
    rows = rows[rows[:, 3] >= driven.begin_ns + int(warm_up * 1e9)]
    records = int(rows[:, 2].sum())
    handlers = []
    if records:
        microseconds = float((rows[:, 4] - rows[:, 3]).sum()) / 1000
        handlers.append(Handler(consumer=readers.consumer, records=records, us_per_record=microseconds / records))
    return replace(
        result, events=events, acknowledged=sum(one.acknowledged for one in summaries),
        failed=sum(one.failed for one in summaries), unknown=sum(one.unknown for one in summaries),
        bytes_per_event=sum(one.value_bytes for one in summaries) / events if events else 0.0,
        lag=[one for one in slopes if one], usage=usage, handlers=handlers,
    )  # fmt: skip


def _with_latencies(
    result: Result,
    scenario: Scenario,
    folder: Path,
    rows: Rows,
    driven: Driven,
    readers: Readers,
    lake: LakeWatch | None,
    windows: WindowWatch | None,
) -> Result:
    warm_up = scenario.warm_up or 0.0
    sent = times.read(folder).since(driven.begin_ns + int(warm_up * 1e9))
    found: dict[str, Latency] = {"acknowledged": latencies.acknowledged(sent)}
    if readers.group:
        found["consumed"] = latencies.consumed(sent, rows)
    if windows:
        found["window result"] = latencies.windowed(sent, windows.waits, windows.results, windows.topic.name)
    if lake:
        found["visible in the lake"] = latencies.visible(sent, lake.rows(), lake.look_seconds)
    schedule = _schedule(sent, driven, scenario)
    return replace(result, schedule=schedule, latencies=found, void=schedule.why)


def _schedule(sent: Sent, driven: Driven, scenario: Scenario) -> Schedule:
    """Kept where events were handed over at their times, and as many as there should be."""
    warm_up = scenario.warm_up or 0.0
    end = min(driven.seconds, scenario.duration)
    slip = latencies.slip(sent)
    offered = mean_rate(scenario, warm_up, end)
    seconds = max(end - warm_up, 1e-9)
    by_then = sent.handed_over_ns <= driven.begin_ns + int(end * 1e9)
    reached = float(by_then.sum()) / seconds
    why = []
    if not slip.count:
        why.append("nothing was sent after the warm-up")
    elif slip.p99_ms > SLIP_P99_MS:
        why.append(f"the 99th percentile of the schedule's slip is {slip.p99_ms:.1f} ms, over {SLIP_P99_MS:g} ms")
    # A Poisson process has as many as it has.
    spread = 5 * math.sqrt(offered / seconds) if scenario.arrivals == POISSON else 0.0
    if slip.count and reached < REACHED_SHARE * offered - spread:
        why.append(f"{reached:,.0f} events a second were sent of {offered:,.0f} that were to be")
    return Schedule(
        slip=slip, offered_per_second=round(offered, 1), reached_per_second=round(reached, 1),
        kept=not why, why="; ".join(why),
    )  # fmt: skip


def _settings(target: Target, scenario: Scenario, readers: Readers) -> dict[str, object]:
    settings, topic = target.settings, target.pipeline.events_topic
    return {
        "topic": topic.name, "partitions": len(target.ends()), "consumer": readers.consumer,
        "parallelism": settings.parallelism if readers.has_jobs else 0,
        "checkpoint_seconds": settings.checkpoint_seconds, "acks": "all", "compression": "lz4",
        **scenario.as_json(),
    }  # fmt: skip
