"""Compiling the few classes of Java that Flink leaves no other way for, without a JDK."""

from __future__ import annotations

import subprocess
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from shardlake.errors import ShardlakeError

RELEASE = "17"  # the oldest Java that the jobs run on elsewhere


def build(sources: Path, class_path: Iterable[Path], java: Path, ecj: Path, jar: Path) -> None:
    """Compile every source below `sources` with Eclipse's compiler and pack it, with META-INF, into `jar`.

    Raises ShardlakeError with what the compiler said.
    """
    with tempfile.TemporaryDirectory() as temporary:
        classes = Path(temporary)
        command = [str(java), "-jar", str(ecj), "-source", RELEASE, "-target", RELEASE, "-proc:none", "-nowarn"]
        command += ["-cp", ":".join(map(str, class_path)), "-d", temporary, str(sources)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            msg = f"The Java classes do not compile:\n{(done.stderr or done.stdout)[-3000:]}"
            raise ShardlakeError(msg)
        with zipfile.ZipFile(jar, "w", zipfile.ZIP_DEFLATED) as archive:
            for root, pattern in ((classes, "*.class"), (sources, "META-INF/**/*")):
                for path in sorted(p for p in root.rglob(pattern) if p.is_file()):
                    archive.write(path, path.relative_to(root))
