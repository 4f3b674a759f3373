"""One short sitting with every kind of fault, held to account."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import psutil
import pytest

from shardlake.faults.history import read
from shardlake.faults.kinds import KINDS
from shardlake.faults.sitting import deck
from shardlake.testing.stack import free_port_base
from tests.support import PATIENCE_SECONDS, ROOT, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


# The others are the same servers killed one by one, and jobs that are stopped: `make faults`, and tests of their own.
CHOSEN = tuple(kind for kind in KINDS if kind not in ("kill-taskmanager", "kill-jobmanager", "stop-jobs"))
SECONDS = 110
"""No fault begins later: on a busy machine not all fit."""


def faults(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "shardlake", "--pipeline", str(ROOT), "faults", *arguments]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SHARDLAKE_CHECKPOINT_SECONDS": "2"}
    return subprocess.run(faults(*arguments), capture_output=True, text=True, env=environment, check=False)


def total(ends: dict[str, int]) -> int:
    return sum(ends.values())


def processes_of(folder: Path) -> list[psutil.Process]:
    return [p for p in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(p.info["cmdline"] or [])]


def test_nothing_is_lost_or_doubled_by_any_fault(tmp_path: Path) -> None:
    out = tmp_path / "out"
    only = [word for kind in CHOSEN for word in ("--only", kind)]
    bounds = ["--each-once", "--seconds", str(SECONDS), "--port-base", str(free_port_base())]
    done = run("--run", str(out), *only, *bounds)
    assert done.returncode == 0, done.stdout + done.stderr
    history = read(out / "001")
    skipped = {entry["kind"] for entry in history if entry["what"] == "skipped"}
    assert skipped <= {"full-lake", "full-checkpoints"}
    by_what: dict[str, list[dict[str, Any]]] = {}
    for entry in history:
        by_what.setdefault(entry["what"], []).append(entry)
    assert [entry["seconds"] for entry in history] == sorted(entry["seconds"] for entry in history)

    # Each fault once, as many as fit, in the middle of a checkpoint, and over before the next.
    happened = [(entry["what"], entry["kind"]) for entry in history if "number" in entry]
    kinds = [entry["kind"] for entry in by_what["injecting"]]
    possible = tuple(kind for kind in CHOSEN if kind not in skipped)
    assert kinds == [kind.name for kind in islice(deck(possible, "1 001"), len(kinds))]
    steps = ("injecting", "injected", "healed", "recovered")
    assert happened == [(what, kind) for kind in kinds for what in steps]
    states = {entry["kind"]: entry["checkpoint"] for entry in by_what["injected"]}
    assert {state["state"] for state in states.values()} <= {"in flight", "completed before"}
    assert sum(state["state"] == "in flight" for state in states.values()) >= len(states) - 2
    became = {entry["kind"]: entry["checkpoint"] for entry in by_what["recovered"]}
    for kind, expected in {"kill-jobmanager-taskmanager": "aborted", "kill-registry": "completed"}.items():
        assert became.get(kind, expected) == expected

    # Under load, all the time.
    ends = [total(entry["ends"]) for entry in history if entry.get("ends")]
    assert ends == sorted(ends)
    assert all(entry["rate"] >= 1000 for entry in by_what["injecting"])
    for before, after in zip(by_what["injecting"], by_what["recovered"], strict=True):
        assert total(after["ends"]) >= total(after["healed_ends"]) >= total(before["ends"])
        assert total(after["ends"]) > total(before["ends"])
        assert after["fault_seconds"] >= after["heal_seconds"] > 0

    (verdict,) = by_what["verdict"]
    assert verdict["verdict"] == "holds"
    assert verdict["records"] == total(verdict["ends"]) > ends[-2] - 1
    assert len(verdict["ledgers"]) == 2 + 2 * ("kill-producer" in kinds) + ("poison-burst" in kinds)
    assert all(len(ledger["sha256"]) == 64 for ledger in verdict["ledgers"])
    acknowledged, unknown = (sum(ledger[name] for ledger in verdict["ledgers"]) for name in ("acknowledged", "unknown"))
    assert acknowledged <= verdict["records"] <= acknowledged + unknown
    assert by_what["ended"][0]["holds"] is True
    # What is large is gone, and so is every process.
    assert {path.name for path in (out / "001").iterdir()} == {
        "history.jsonl", "run.json", "verdict.json", "visible.txt",
    }  # fmt: skip
    assert not processes_of(out)
    seen = [line.split(" ", 1) for line in (out / "001" / "visible.txt").read_text().splitlines()]
    assert len({path for _, path in seen}) == len(seen) > 20
    assert all(int(size) > 0 for size, _ in seen)

    found = json.loads(run("report", str(out), "--json").stdout)
    assert (found["sittings"], found["unfinished"], found["verdicts"]) == (1, 0, {"holds": 1})
    assert {kind["kind"]: kind["faults"] for kind in found["kinds"]} == dict.fromkeys(kinds, 1)


def test_an_interrupted_sitting_keeps_its_history_and_leaves_no_process(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = faults("--run", str(out), "--only", "pause-taskmanager", "--port-base", str(free_port_base()))
    sitting = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_for(lambda: [e for e in read(out / "001") if e["what"] == "injected"], "a fault")
    sitting.send_signal(signal.SIGINT)
    output = sitting.communicate(timeout=PATIENCE_SECONDS)[0]
    assert sitting.returncode == 130, output
    assert not processes_of(out)
    told = [entry["what"] for entry in read(out / "001")]
    assert told[:3] == ["began", "injecting", "injected"]
    assert "ended" not in told
    assert "1 sitting, 1 of them unfinished, 1 fault" in run("report", str(out)).stdout


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        ([], 2, "A sitting needs a folder"),
        (["--run", "README.md"], 2, "README.md is no folder"),
        (["--run", "nowhere", "--only", "kill-zookeeper"], 2, "There are: kill-taskmanager"),
        (["report", "nowhere"], 2, "There are no sittings in nowhere"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    arguments: list[str], exit_code: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    done = run(*arguments)
    assert done.returncode == exit_code
    assert words in done.stderr
    assert not (ROOT / "nowhere").exists()
