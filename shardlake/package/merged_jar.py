"""Several jars as one: files of services put together, licences kept, the same bytes for the same jars."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can hold."""

SERVICES = "META-INF/services/"
LICENCE = re.compile(
    r"(META-INF/)?[^/]*(LICEN[CS]E|NOTICE|DEPENDENCIES|COPYING)[^/]*|META-INF/licen[cs]es?/.+", re.IGNORECASE
)
LEFT_OUT = re.compile(
    # Signatures and indexes are of one jar; module descriptors say what its class path does not; poms are for builds.
    r"META-INF/[^/]+\.(SF|RSA|DSA|EC)|META-INF/(MANIFEST\.MF|INDEX\.LIST)|(META-INF/versions/\d+/)?module-info\.class"
    r"|META-INF/maven/.+"
)
MANIFEST = b"Manifest-Version: 1.0\r\nMulti-Release: true\r\n\r\n"


def entry(name: str, *, compressed: bool = True) -> zipfile.ZipInfo:
    """An entry whose bytes depend on its name and content alone."""
    info = zipfile.ZipInfo(name, EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    info.external_attr = 0o644 << 16
    return info


def merge(jars: Sequence[Path], out: Path) -> None:
    """Write one jar of all. Of a file that several have the first is taken; each one's licences are kept under
    META-INF/licenses, in a folder of its name."""
    files: dict[str, bytes] = {}
    services: dict[str, list[str]] = {}
    for jar in jars:
        with zipfile.ZipFile(jar) as archive:
            for info in archive.infolist():
                name = info.filename
                if info.is_dir() or LEFT_OUT.fullmatch(name):
                    continue
                if name.startswith(SERVICES):
                    providers = services.setdefault(name, [])
                    providers += [one for one in _providers(archive.read(info)) if one not in providers]
                elif LICENCE.fullmatch(name) and not name.endswith(".class"):
                    files[f"META-INF/licenses/{jar.stem}/{name.removeprefix('META-INF/')}"] = archive.read(info)
                elif name not in files:
                    files[name] = archive.read(info)
    files |= {name: "".join(f"{one}\n" for one in providers).encode() for name, providers in services.items()}
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(entry("META-INF/MANIFEST.MF"), MANIFEST)  # readers look for it first
        for name in sorted(files):
            archive.writestr(entry(name), files[name])


def _providers(content: bytes) -> list[str]:
    lines = (line.split("#")[0].strip() for line in content.decode().splitlines())
    return [line for line in lines if line]
