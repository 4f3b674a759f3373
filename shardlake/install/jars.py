"""Jars from Maven without Maven: `versions.toml` names them, `jars.lock.toml` pins each by sha256.

`lock` resolves the one into the other, for whoever changes a version. `fetch` needs no resolution: it takes each pinned
file from the download cache or from Maven, and refuses one whose bytes differ.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from shardlake.errors import ShardlakeError, Unavailable
from shardlake.folders import cache_folder

VERSIONS = Path(__file__).parent.parent / "versions.toml"
LOCK = Path(__file__).parent.parent / "jars.lock.toml"


@dataclass(frozen=True, slots=True)
class Jar:
    """One pinned file and the server (`role`) it belongs to."""

    role: str
    group: str
    artifact: str
    version: str
    packaging: str
    classifier: str
    sha256: str

    @property
    def file_name(self) -> str:
        """The file's name in a Maven repository."""
        classifier = f"-{self.classifier}" if self.classifier else ""
        return f"{self.artifact}-{self.version}{classifier}.{self.packaging}"


def pinned(role: str | None = None) -> list[Jar]:
    """The jars of the lock file, all or one role's."""
    jars = [Jar(**entry) for entry in tomllib.loads(LOCK.read_text())["jar"]]
    return [jar for jar in jars if role in (None, jar.role)]


def fetch(jars: list[Jar], on_each: Callable[[Jar], None]) -> dict[Jar, Path]:
    """Each jar's path in the download cache, downloaded where missing, four at a time.

    Raises Unavailable where a download fails, ShardlakeError where bytes are not the pinned ones.
    """
    maven = _maven()

    def one(jar: Jar) -> Path:
        component = maven.project(jar.group, jar.artifact).at_version(jar.version)
        try:
            path = Path(component.artifact(jar.classifier, jar.packaging).resolve())
        except Exception as error:
            msg = f"{jar.file_name} could not be downloaded: {error}."
            raise Unavailable(msg, "Check the network and run the command again; what has arrived is kept.") from error
        if _sha256(path) != jar.sha256:
            path.unlink()
            msg = f"{jar.file_name} is not the pinned file: its sha256 differs."
            raise ShardlakeError(msg, "It was removed; run the command again. If it differs again, do not use it.")
        on_each(jar)
        return path

    with ThreadPoolExecutor(4) as pool:
        return dict(zip(jars, pool.map(one, jars), strict=True))


def lock() -> None:
    """Resolve versions.toml, download everything and write jars.lock.toml anew."""
    import tomli_w

    roles = tomllib.loads(VERSIONS.read_text())
    entries = [asdict(jar) for role, table in roles.items() for jar in _resolve(role, table)]
    header = "# Written by `shardlake lock` from versions.toml: do not edit.\n\n"
    LOCK.write_text(header + tomli_w.dumps({"jar": entries}))


def _resolve(role: str, table: dict[str, Any]) -> Iterator[Jar]:
    from jgo.env import EnvironmentBuilder, EnvironmentSpec

    maven = _maven()
    builder = EnvironmentBuilder(context=maven)

    def parse(coordinates: list[str]) -> list[Any]:
        found: list[Any] = builder.spec_to_dependencies(EnvironmentSpec(name=role, coordinates=coordinates))
        return found

    wanted = parse(table["alone"]) if "alone" in table else []
    if "with_dependencies" in table:
        inputs, transitive = maven.resolver.resolve(parse(table["with_dependencies"]))
        wanted += [*inputs, *(dep for dep in transitive if dep.scope in (None, "compile", "runtime"))]
    for artifact in (dependency.artifact for dependency in wanted):
        if any(fnmatch(f"{artifact.groupId}:{artifact.artifactId}", pattern) for pattern in table.get("without", ())):
            continue
        digest = _sha256(Path(artifact.resolve()))
        yield Jar(
            role,
            artifact.groupId,
            artifact.artifactId,
            artifact.version,
            artifact.packaging,
            artifact.classifier,
            digest,
        )


def _maven() -> Any:
    from jgo.maven import MavenContext

    return MavenContext(repo_cache=cache_folder() / "m2", timeout=120)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
