"""What needs no server: time limits, a server's end told from its log, and how full a disk is."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from shardlake.doctor import jobs, machine
from shardlake.doctor.data import _difference, _schema
from shardlake.doctor.finding import Check, Finding, examine
from shardlake.errors import Unavailable
from shardlake.flink.apart import LeftOut, keep, note
from shardlake.flink.inserts import APART, NAME
from shardlake.flink.submit import Start
from shardlake.settings import Settings
from shardlake.stack.ended import why_ended

pytestmark = pytest.mark.unit

FULL = "java.io.IOException: No space left on device"


def test_a_check_that_hangs_fails_or_refuses_hides_none_of_the_others() -> None:
    def fine() -> Iterator[Finding]:
        yield Finding("fine", True, "here")

    def hangs() -> Iterator[Finding]:
        threading.Event().wait()
        yield Finding("hangs", True, "never")

    def refuses() -> Iterator[Finding]:
        yield Finding("refuses", True, "dropped")
        raise Unavailable("It is down.", "Start it.")

    def fails() -> Iterator[Finding]:
        yield Finding("fails", bool(1 / 0), "")

    checks = [Check(one.__name__, one) for one in (hangs, fine, refuses, fails)]
    found = examine(checks, limit_seconds=0.2)
    assert [(one.check, one.ok) for one in found] == [
        ("hangs", False), ("fine", True), ("refuses", False), ("fails", False),
    ]  # fmt: skip
    assert found[0].found == "no answer within 0 s"
    assert (found[2].found, found[2].fix) == ("It is down.", "Start it.")
    assert "ZeroDivisionError" in found[3].found
    assert all(one.fix for one in found if not one.ok)


@pytest.mark.parametrize(
    ("exit_code", "log", "words", "fix"),
    [
        (1, ["x ERROR a", "x ERROR b", "x INFO c"], "exit code 1; the last error in its log: x ERROR b", "down"),
        (1, ["x ERROR a", FULL, "x ERROR Shutdown broker"], "exit code 1: No space left on device", "Free some space"),
        (None, [FULL], "it has ended: No space left on device", "Free some space"),
        (-9, [FULL], "ended by SIGKILL; the last error in its log", "down"),
        (0, ["x INFO a"], "exit code 0; its log names no error", "down"),
        (1, [FULL, *["x INFO later"] * 9000], "exit code 1; its log names no error", "down"),
    ],
)  # fmt: skip
def test_why_a_server_has_ended_is_told_from_its_exit_code_and_log(
    tmp_path: Path, exit_code: int | None, log: list[str], words: str, fix: str
) -> None:
    path = tmp_path / "kafka.log"
    path.write_text("\n".join(log))
    cause, hint = why_ended(exit_code, path)
    assert words in cause
    assert fix in hint


def test_a_server_without_a_log_has_ended_too(tmp_path: Path) -> None:
    assert "its log names no error" in why_ended(2, tmp_path / "missing.log")[0]


@pytest.mark.parametrize(
    ("free", "inodes", "ok", "words"),
    [
        (1.5e9, 9, True, "1.50 GB free"),
        (0.9e9, 9, False, "nearly full: 0.90 GB free"),
        (1e6, 9, False, "full: no space left"),
        (1.5e9, 0, False, "full: no inode left"),
    ],
)
def test_a_disk_is_full_nearly_full_or_all_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: float, inodes: int, ok: bool, words: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_files=9, f_favail=inodes))
    found = machine.space_of("disk of the lake", tmp_path)
    assert (found.ok, words in found.found, str(tmp_path) in found.found) == (ok, True, True)
    assert found.fix


@pytest.mark.parametrize(
    ("states", "ok"),
    [([], True), (["CANCELED"], True), (["FAILED", "FINISHED"], True), (["FINISHED", "FAILED"], False)],
)
def test_jobs_that_left_nothing_are_amiss_only_where_the_last_one_failed(
    states: list[str], ok: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = [{"name": NAME, "jid": "a", "state": state, "start-time": at} for at, state in enumerate(states)]
    answers = {"/jobs/overview": {"jobs": known}, "/jobs/a/exceptions": {"exceptionHistory": {"entries": []}}}
    monkeypatch.setattr(jobs, "_ask", lambda _, path: answers[path])
    (found,) = jobs.jobs(Settings.read(jobs_folder=str(tmp_path)))
    assert (found.check, found.ok) == ("jobs", ok)
    assert ("nobody has stopped them" in found.found) is not ok


def test_a_job_that_was_left_out_is_amiss_until_it_was_taken_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings.read(jobs_folder=str(tmp_path))
    running = {"name": f"{NAME}archive", "jid": "a", "state": "RUNNING", "start-time": time.time() * 1000}
    apart = {**running, "name": f"{APART}risk", "jid": "b"}
    known = [running]
    answers: dict[str, object] = {"/jobs/overview": {"jobs": known}}
    for job_id in "ab":
        answers[f"/jobs/{job_id}/exceptions"] = answers[f"/jobs/{job_id}/checkpoints"] = {}
        answers[f"/jobs/{job_id}/checkpoints/config"] = {"interval": 5000}
    monkeypatch.setattr(jobs, "_ask", lambda _, path: answers[path])
    one = LeftOut("risk", {}, "2026-11-30T20:00:00Z", "KeyError: 'a' (flink_jobs/risk.py, line 6)", Start(), ())
    keep(settings, one)
    others, checkpoints, found = jobs.jobs(settings)
    assert (others.ok, others.found, checkpoints.ok) == (True, "running: archive", True)
    assert (found.ok, found.found) == (False, f"left out: {one}")
    assert "`shardlake jobs take-up risk`" in found.fix

    note(settings, replace(one, is_taken_up=True))
    (*_, ended) = jobs.jobs(settings)
    assert (ended.ok, "is not running, and nobody has stopped it" in ended.found) == (False, True)
    known.append(apart)
    (*_, taken_up, own_checkpoints) = jobs.jobs(settings)
    assert (taken_up.ok, taken_up.found) == (True, "running, apart from the others: risk")
    assert own_checkpoints.ok


@pytest.mark.parametrize("text", ['"string"', '["null", "int"]', '{"type": "enum", "symbols": []}', "7"])
def test_a_registered_schema_that_is_no_record_is_said_to_be_none(text: str) -> None:
    assert _difference(_schema(text), {"fields": [{"name": "a"}]}) == ": it is no record"


def test_fields_that_differ_in_the_registry_are_named() -> None:
    registered = {"type": "record", "fields": [{"name": "a"}, {"name": "b", "type": "int"}, {"name": "same"}]}
    folder = {"type": "record", "fields": [{"name": "b", "type": "long"}, {"name": "same"}, {"name": "c"}]}
    assert _difference(_schema(json.dumps(registered)), folder) == " in a, b, c"
    assert _difference(_schema("[" * 100_000), folder) == ": it is no record"
