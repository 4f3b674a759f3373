"""What of the engine the jobs need: the modules that they import, and that those import."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import shardlake
from shardlake.pipeline import FOLDERS, Pipeline

ENGINE = Path(shardlake.__file__).parent
ENTRY = ENGINE / "package" / "main.py"
THERE = frozenset({"pyflink", *sys.stdlib_module_names})
"""What every Flink with Python has."""


@dataclass(slots=True)
class Needed:
    """Files by module name, of the engine and of the pipeline. `foreign` are imports of neither, nor of what is there
    anyway, by the file that has them."""

    engine: dict[str, Path] = field(default_factory=dict)
    pipeline: dict[str, Path] = field(default_factory=dict)
    foreign: dict[Path, list[str]] = field(default_factory=dict)


def needed(pipeline: Pipeline) -> Needed:
    """What the entry point and the pipeline's jobs import, wherever in a file the import stands."""
    found = Needed()
    waiting = [ENTRY, *sorted((pipeline.folder / "flink_jobs").glob("*.py"))]
    while waiting:
        file = waiting.pop()
        for name in _imported(file):
            first = name.split(".")[0]
            if first == shardlake.__name__:
                known, path = found.engine, _file(ENGINE.parent, name)
            elif first in FOLDERS:
                known, path = found.pipeline, _file(pipeline.folder, name)
            else:
                if first not in THERE and first not in found.foreign.setdefault(file, []):
                    found.foreign[file].append(first)
                continue
            if path is not None and name not in known:
                known[name] = path
                waiting.append(path)
    found.foreign = {file: sorted(names) for file, names in sorted(found.foreign.items()) if names}
    return found


def _imported(file: Path) -> Iterator[str]:
    """Names that an import statement could mean as a module, with the packages above them."""
    for node in ast.walk(ast.parse(file.read_text(), str(file))):
        if isinstance(node, ast.Import):
            yield from _with_packages(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from _with_packages([node.module, *(f"{node.module}.{alias.name}" for alias in node.names)])


def _with_packages(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        parts = name.split(".")
        yield from (".".join(parts[:count]) for count in range(1, len(parts) + 1))


def _file(root: Path, name: str) -> Path | None:
    path = root.joinpath(*name.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None
