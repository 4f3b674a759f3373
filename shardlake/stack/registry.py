"""The schema registry: Apicurio, speaking Confluent's API, refusing schemas that old readers could not read."""

from __future__ import annotations

import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path

from shardlake.install import layout
from shardlake.stack.java import SHORT_LIVED, java
from shardlake.stack.ports import HOST, Ports
from shardlake.stack.server import ANSWER_SECONDS, ServerPlan

ENVIRONMENT = {
    "APICURIO_STORAGE_KIND": "sql",
    "APICURIO_STORAGE_SQL_KIND": "h2",
    # It checks nothing by default.
    "APICURIO_RULES_GLOBAL_COMPATIBILITY": "BACKWARD",
    "APICURIO_RULES_GLOBAL_VALIDITY": "FULL",
    "QUARKUS_LOG_CONSOLE_COLOR": "false",
    # Pages of port 8888 may ask it by default. With no origin named, its own alone may.
    "QUARKUS_HTTP_CORS_ORIGINS": "",
}
"""Of the registry, wherever it runs."""
JVM_OPTIONS = [*SHORT_LIVED, "-Djava.util.logging.manager=org.jboss.logmanager.LogManager"]


def registry(folder: Path, ports: Ports, *, train: bool = False) -> ServerPlan:
    """A registry that keeps its schemas in an H2 database in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    url = registry_url(ports)
    environment = {
        **ENVIRONMENT,
        "QUARKUS_HTTP_HOST": HOST,
        "QUARKUS_HTTP_PORT": str(ports.registry),
        # Otherwise it listens on 0.0.0.0:9000.
        "QUARKUS_MANAGEMENT_HOST": HOST,
        "QUARKUS_MANAGEMENT_PORT": str(ports.registry_management),
        "APICURIO_DATASOURCE_URL": f"jdbc:h2:file:{folder / 'registry'}",
    }
    return ServerPlan(
        name="registry",
        command=[
            *java("registry", folder, heap_mb=256, options=JVM_OPTIONS, train=train),
            "-jar",
            str(layout.REGISTRY / "quarkus-run.jar"),
        ],
        address=url,
        ready=lambda: answers(f"{url}/subjects"),
        environment=environment,
    )


def registry_url(ports: Ports) -> str:
    """The base of Confluent's API."""
    return f"http://{HOST}:{ports.registry}/apis/ccompat/v7"


def answers(url: str) -> bool:
    """Whether a GET gets a 200 within ANSWER_SECONDS."""
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_SECONDS) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError, HTTPException):
        return False
