"""Faults planted in the product, one for each promise of the README, and the test that must turn red.

    python -m tests.planted.promises            # all, one after the other: about half an hour on two cores
    python -m tests.planted.promises masked     # some, by their names

Each fault is one text of one source file put in another's place, in a copy of the working tree; the test runs there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
COPIED = shutil.ignore_patterns(".git", ".venv", ".shardlake", "__pycache__", ".*_cache")


@dataclass(frozen=True, slots=True)
class Fault:
    """`text` of `file` becomes `planted`; then `test`, in pytest's words, must fail."""

    name: str
    promise: str
    file: str
    text: str
    planted: str
    test: str


E2E, UNIT = "tests/e2e/test_", "tests/unit/test_"
FAULTS = (
    Fault(
        "resumed", "jobs that were stopped go on where they were", "shardlake/flink/resume.py",
        "return Start(resume_from=as_url(state), closed=closed)", "return Start(closed=closed)",
        f"{E2E}jobs.py::test_jobs_stop_resume_survive_a_kill_finish_and_start_anew",
    ),
    Fault(
        "after-finish", "after a finish nothing is written twice", "shardlake/flink/resume.py",
        "(newest and offsets_in(newest, topic)) or next_offsets.get(topic, {})", "{}",
        f"{E2E}jobs.py::test_jobs_stop_resume_survive_a_kill_finish_and_start_anew",
    ),
    Fault(
        "finished", "a finish lets every window fire", "shardlake/flink/cluster.py",
        '{"targetDirectory": folder, "drain": drain}', '{"targetDirectory": folder, "drain": False}',
        f"{E2E}late_and_trace.py::test_each_event_is_in_a_window_or_late_and_the_recount_agrees",
    ),
    Fault(
        "late", "an event after its window is listed as late", "shardlake/flink/job.py",
        "FROM {view} WHERE `{time}` IS NOT NULL AND ({self", "FROM {view} WHERE `{time}` IS NULL AND ({self",
        f"{E2E}late_and_trace.py::test_late_events_are_listed_with_the_window_that_they_missed",
    ),
    Fault(
        "once", "a window that a finish has fired never fires again", "shardlake/flink/job.py",
        "return by_watermark if finished is None", "return by_watermark if finished",
        f"{E2E}sequences.py::test_logs_that_overlap_those_before_a_finish",
    ),
    Fault(
        "bytes", "a dead letter has the bytes as they came", "shardlake/flink/tables.py",
        "SELECT kafka_key, raw_value, {_with_ours", "SELECT kafka_key, kafka_key, {_with_ours",
        f"{E2E}poison.py::test_every_dead_letter_has_the_original_bytes_and_says_where_it_is_from",
    ),
    Fault(
        "vanished", "a bad record never vanishes", "shardlake/flink/tables.py",
        "OR NOT ({_in_time(topic)})", "", f"{E2E}poison.py::test_every_record_is_accounted_for_once_with_no_restart",
    ),
    Fault(
        "masked", "PII is masked in the lake", "shardlake/flink/columns.py",
        '"hash": "MASK({column})"', '"hash": "{column}"',
        "tests/pipeline/test_archive.py::test_an_event_is_archived_with_every_field_and_its_pii_masked",
    ),
    Fault(
        "twice", "verify sees a row that is there twice", "shardlake/lake/kept.py",
        "if kept.rows > 1:", "if kept.rows > 2:", f"{UNIT}verify.py",
    ),
    Fault(
        "sum", "the demo's sum fails where it does not hold", "shardlake/lake/accounting.py",
        "return self.difference == 0 and self.doubled == 0", "return True", f"{UNIT}accounting.py",
    ),
    Fault(
        "in-flight", "a consumer commits nothing past a record in flight", "shardlake/shards/window.py",
        "while opened and opened[0] in done:", "while opened and done:", f"{UNIT}shard_window.py",
    ),
    Fault(
        "lag", "lag is the broker's end less what is committed", "shardlake/position.py",
        "self.lag = max(0, self.end - ", "self.lag = max(0, self.end + 1 - ", f"{UNIT}lag_sampling.py",
    ),
    Fault(
        "loopback", "everything listens on loopback only", "shardlake/stack/kafka.py",
        '"listeners": f"PLAINTEXT://{HOST}:', '"listeners": f"PLAINTEXT://0.0.0.0:',
        f"{E2E}stack.py::test_everything_listens_on_loopback_only",
    ),
    Fault(
        "orphans", "no server outlives its launcher", "shardlake/child.py",
        "_libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)", "pass",
        f"{E2E}stack.py::test_no_server_outlives_its_launcher",
    ),
    Fault(
        "schema", "a schema that old records do not fit is refused", "shardlake/avro/registry.py",
        "return bool(self._ask(ask, subject, _plain(schema)))", "return True",
        f"{E2E}schema.py::test_check_diff_list_and_register",
    ),
    Fault(
        "redriven", "a dead letter is redriven once", "shardlake/redrive/redrive.py",
        "left = [letter for letter in meant if letter.is_left]", "left = list(meant)",
        f"{E2E}dlq.py::test_the_jobs_letters_are_listed_redriven_once_each_and_rows_of_the_lake_where_mended",
    ),
    Fault(
        "doctor", "the doctor names jobs that nobody stopped", "shardlake/doctor/jobs.py",
        'yield Finding("jobs", False, words, "`shardlake jobs run` takes up',
        'yield Finding("jobs", True, words, "`shardlake jobs run` takes up',
        f"{E2E}doctor.py::test_jobs_that_fail_that_are_gone_and_whose_savepoint_is_gone_are_told_with_the_cause",
    ),
    Fault(
        "followed", "a followed line is not lost with its follower", "shardlake/produce/content.py",
        "        self.sent.append(sent)\n        return sent",
        "        self.sent.append(sent)\n        self.settle(sent)\n        return sent",
        f"{E2E}follow.py::test_a_broker_that_is_gone_is_waited_for_also_over_a_kill",
    ),
    Fault(
        "latency", "a load's latencies count from the intended time", "shardlake/load/latencies.py",
        "latency(sent.acknowledged_ns - sent.intended_ns, 0,", "latency(sent.acknowledged_ns - sent.handed_over_ns, 0,",
        f"{UNIT}load_latencies.py::test_latencies_are_counted_from_the_intended_time",
    ),
    Fault(
        "ids", "two equal lines of a log are two events", "producers/log_lines.py",
        'place = f"{line.source}\\0{line.offset_bytes}\\0{text}".encode()',
        'place = f"{line.source}\\0{text}".encode()', f"{UNIT}access_log.py",
    ),
    Fault(
        "ahead", "a log from east of UTC is said at once", "shardlake/produce/events.py",
        "if moment <= self._now + AHEAD:", "if moment > self._now + AHEAD:", f"{UNIT}event_times.py",
    ),
)  # fmt: skip


def plant(fault: Fault, tree: Path) -> None:
    """Put the fault into a copy of the tree. Raises ValueError where its text is not there once."""
    path = tree / fault.file
    source = path.read_text()
    if source.count(fault.text) != 1:
        msg = f"{fault.name}: the text is {source.count(fault.text)} times in {fault.file}: bring the table up to date."
        raise ValueError(msg)
    path.write_text(source.replace(fault.text, fault.planted))


def end_what_is_left(folder: str) -> None:
    """Kill the processes whose command line names the folder: some faults let servers outlive their test."""
    for process in psutil.process_iter(["cmdline"]):
        if any(folder in argument for argument in process.info["cmdline"] or ()):
            with suppress(psutil.NoSuchProcess):
                process.kill()


def turns_red(fault: Fault) -> bool:
    """Plant the fault in a copy of the tree and run its test there; return True where the test fails."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "main"
        shutil.copytree(ROOT, tree, ignore=COPIED)
        plant(fault, tree)
        command = [sys.executable, "-m", "pytest", "-q", "-x", "--no-header", fault.test]
        # Below the folder, so that what a fault leaves running is known by it.
        known = {**os.environ, "PYTHONPATH": str(tree), "TMPDIR": folder, "PYTEST_DEBUG_TEMPROOT": folder}
        try:
            done = subprocess.run(command, cwd=tree, env=known, capture_output=True, text=True, check=False)
        finally:
            end_what_is_left(folder)
        if done.returncode not in (0, 1):
            raise RuntimeError(f"{fault.name}: pytest ended with {done.returncode}:\n{done.stdout[-2000:]}")
        return done.returncode == 1


def main() -> None:
    """Plant each fault and print what came of it; exit code 1 where a test stays green."""
    chosen = [fault for fault in FAULTS if not sys.argv[1:] or fault.name in sys.argv[1:]]
    green = 0
    for fault in chosen:
        is_red = turns_red(fault)
        green += not is_red
        sys.stdout.write(f"{'red' if is_red else 'GREEN':<6} {fault.name:<13} {fault.promise}  ({fault.test})\n")
        sys.stdout.flush()
    sys.exit(green > 0)


if __name__ == "__main__":
    main()
