"""A package holds what the jobs need and no more, and the same input gives the same bytes."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest

from shardlake.package.merged_jar import merge
from shardlake.package.modules import ENGINE, needed
from shardlake.pipeline import Pipeline
from tests.support import ROOT, copy_pipeline

pytestmark = pytest.mark.unit

SERVICE = "META-INF/services/org.example.Factory"


def jar(path: Path, files: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def contents(path: Path) -> dict[str, str]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_what_of_the_engine_is_needed_needs_nothing_but_pyflink() -> None:
    found = needed(Pipeline.load(ROOT))
    assert {"shardlake.flink.packaged", "shardlake.flink.tables", "shardlake.pipeline"} <= found.engine.keys()
    assert not {"shardlake.settings", "shardlake.install", "shardlake.flink.application"} & found.engine.keys()
    assert found.foreign == {}
    assert sum(path.stat().st_size for path in found.engine.values()) < 150_000
    assert all(path.is_relative_to(ENGINE) for path in found.engine.values())


def test_a_jobs_imports_are_followed_and_foreign_ones_named(tmp_path: Path) -> None:
    folder = copy_pipeline(tmp_path / "pipeline", partitions=4)
    (folder / "flink_jobs" / "extra.py").write_text(
        "import json, numpy\n\ndef build(tables):\n    from producers import extra_words\n"
    )
    (folder / "producers" / "extra_words.py").write_text("from shardlake.pii import key_id\nimport polars.series\n")
    found = needed(Pipeline.load(folder))
    assert "shardlake.pii" in found.engine
    assert "producers.extra_words" in found.pipeline
    assert {path.name: names for path, names in found.foreign.items()} == {
        "extra.py": ["numpy"],
        "extra_words.py": ["polars"],
    }


def test_services_are_put_together_and_licences_kept(tmp_path: Path) -> None:
    first = jar(
        tmp_path / "first-1.jar",
        {
            "META-INF/MANIFEST.MF": "Main-Class: a.B",
            "META-INF/SIGNER.SF": "signature",
            "META-INF/LICENSE": "Apache",
            SERVICE: "a.One # the first\na.Both\n",
            "a/One.class": "one",
            "module-info.class": "module",
        },
    )
    second = jar(
        tmp_path / "second-2.jar",
        {
            "META-INF/LICENSE": "BSD",
            "NOTICE.txt": "who made it",
            SERVICE: "a.Both\nb.Two",  # without a line's end
            "a/One.class": "another one",
            "META-INF/maven/b/pom.xml": "<project/>",
            "META-INF/versions/11/b/Two.class": "two of Java 11",
        },
    )
    merge([first, second], tmp_path / "merged.jar")
    merged = contents(tmp_path / "merged.jar")
    manifest = merged.pop("META-INF/MANIFEST.MF")
    assert "Multi-Release: true" in manifest
    assert merged == {
        "META-INF/licenses/first-1/LICENSE": "Apache",
        "META-INF/licenses/second-2/LICENSE": "BSD",
        "META-INF/licenses/second-2/NOTICE.txt": "who made it",
        SERVICE: "a.One\na.Both\nb.Two\n",
        "a/One.class": "one",
        "META-INF/versions/11/b/Two.class": "two of Java 11",
    }


def test_the_same_jars_give_the_same_bytes(tmp_path: Path) -> None:
    one = jar(tmp_path / "one.jar", {"a": "1", "b": "2"})
    other = tmp_path / "elsewhere" / "one.jar"
    other.parent.mkdir()
    shutil.copy(one, other)
    other.touch()
    merge([one], tmp_path / "first.jar")
    merge([other], tmp_path / "second.jar")
    assert (tmp_path / "first.jar").read_bytes() == (tmp_path / "second.jar").read_bytes()
