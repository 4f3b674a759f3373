"""The jobs: do they run, do their checkpoints complete, and where would they take up?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import requests

from shardlake.doctor.finding import Finding
from shardlake.doctor.servers import ANSWER_SECONDS
from shardlake.flink.apart import LeftOut, left_out, settings_of
from shardlake.flink.failure import MEND, Failure, cause_of, completed_ms
from shardlake.flink.inserts import APART, NAME, jobs_of
from shardlake.flink.resume import LastEnd, lost_savepoint, newest_state
from shardlake.flink.tasks import ENDED
from shardlake.pipeline import FOLDERS
from shardlake.settings import Settings

LATE_INTERVALS = 5
LATE_SECONDS = 10
"""Also where the interval is short: the first checkpoint after a start takes a moment."""

LOG = "It goes on by itself once the cause is gone; `shardlake logs taskmanager` tells more."


def jobs(settings: Settings) -> Iterator[Finding]:
    """The application of the pipeline's jobs; where none runs, whether it was ended on purpose. Then each job that was
    left out of it.
    """
    yield from _application(settings)
    for job, one in left_out(settings.jobs).items():
        yield from _apart(settings, job, one)


def _apart(settings: Settings, job: str, one: LeftOut) -> Iterator[Finding]:
    running = [each for each in _ask(settings, "/jobs/overview")["jobs"] if each["state"] not in ENDED]
    for application in running:
        if application["name"].startswith(APART) and job in jobs_of(application["name"]):
            yield _restarting(settings, application)
            yield _checkpoints(settings, application)
            return
    if not one.is_taken_up:
        fix = f"Mend it, then `shardlake jobs take-up {job}`: it goes on where it was. The others run without it."
        yield Finding("jobs", False, f"left out: {one}", fix)
        return
    folder = settings_of(settings, job).jobs
    last = LastEnd.read(folder)
    if last and last.left(newest_state(folder)):
        yield Finding("jobs", True, f"{job}, apart from the others: {last.how}; `shardlake jobs run` goes on")
    else:
        words = f"{job}, apart from the others, is not running, and nobody has stopped it"
        yield Finding(
            "jobs",
            False,
            words,
            "`shardlake jobs run` takes up at its newest checkpoint, where all have ended; "
            f"`shardlake jobs take-up {job}` does where the others run.",
        )


def _application(settings: Settings) -> Iterator[Finding]:
    known = [job for job in _ask(settings, "/jobs/overview")["jobs"] if job["name"].startswith(NAME)]
    running = [job for job in known if job["state"] not in ENDED]
    if running:
        newest = max(running, key=lambda job: job["start-time"])
        yield _restarting(settings, newest)
        yield _checkpoints(settings, newest)
        return
    folder = settings.jobs
    last, newest_kept = LastEnd.read(folder), newest_state(folder)
    if last and (lost := lost_savepoint(folder)):
        words = f"the savepoint with which the jobs were {last.how} is gone: {lost}"
        fix = "Put it back from a copy. From an older state what the lake holds already would be written again."
        yield Finding("savepoint", False, words, fix)
    ended = max(known, key=lambda job: int(job["start-time"]), default=None)
    # Where nothing is kept, a job that was cancelled or has finished was of other data, or has left nothing to lose.
    if newest_kept is None and last is None and (ended is None or ended["state"] in ("CANCELED", "FINISHED")):
        yield Finding("jobs", True, "none has been started; `shardlake jobs run` does")
    elif last and last.left(newest_kept):
        yield Finding("jobs", True, f"{last.how} on purpose; `shardlake jobs run` goes on")
    elif ended and ended["state"] == "CANCELED":
        yield Finding("jobs", True, "cancelled on purpose; `shardlake jobs run` goes on from the newest checkpoint")
    else:
        anew = "Flink, or the whole stack, was started anew"
        cause = Failure.newest(_ask(settings, f"/jobs/{ended['jid']}/exceptions"), FOLDERS) if ended else anew
        words = f"not running, and nobody has stopped them: {cause or 'Flink names no cause'}"
        yield Finding("jobs", False, words, "`shardlake jobs run` takes up at the newest checkpoint.")


def _restarting(settings: Settings, job: dict[str, Any]) -> Finding:
    exceptions, checkpoints = (_ask(settings, f"/jobs/{job['jid']}/{what}") for what in ("exceptions", "checkpoints"))
    if failure := Failure.since_checkpoint(exceptions, checkpoints, FOLDERS):
        words = f"{job['state'].lower()} after a failure: {failure}"
        return Finding("jobs", False, words, f"It goes on by itself once the cause is gone. {MEND}")
    where, name = (", apart from the others", APART) if job["name"].startswith(APART) else ("", NAME)
    return Finding("jobs", True, f"running{where}: {job['name'].removeprefix(name)}")


def _checkpoints(settings: Settings, job: dict[str, Any]) -> Finding:
    interval = _ask(settings, f"/jobs/{job['jid']}/checkpoints/config")["interval"] / 1000
    history = _ask(settings, f"/jobs/{job['jid']}/checkpoints")
    age = time.time() - max(completed_ms(history), job["start-time"]) / 1000
    if age <= max(LATE_INTERVALS * interval, LATE_SECONDS):
        return Finding("checkpoints", True, f"every {interval:g} s, the last {age:.0f} s ago")
    failed = (history.get("latest") or {}).get("failed") or {}
    cause = failed.get("failure_message") or "none has failed either: the tasks are not running, or held up"
    words = f"none has completed for {age:.0f} s, they are due every {interval:g} s: {cause_of(cause)}"
    return Finding("checkpoints", False, words, f"Until one does, nothing new is seen in the lake. {LOG}")


def _ask(settings: Settings, path: str) -> Any:
    answer = requests.get(settings.flink_rest_url + path, timeout=ANSWER_SECONDS)
    answer.raise_for_status()
    return answer.json()
