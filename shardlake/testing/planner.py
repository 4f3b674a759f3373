"""A JVM in which `jobs run` and `jobs finish` plan, kept warm between tests: cold it costs more than all else they do.

PyFlink's client uses the gateway whose port is in PYFLINK_GATEWAY_PORT instead of starting a JVM. A user's command has
no such variable and starts its own, as the tests of `make demo`, of `shardlake up` and in containers do.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from shardlake.child import die_with_parent
from shardlake.errors import Unavailable
from shardlake.flink.submit import CLIENT_JVM, client_environment

PORT = "PYFLINK_GATEWAY_PORT"
HEAP = "-Xmx1g"
"""The JVM keeps what each client made of tables and plans."""


@contextmanager
def warm_planner(log: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Start the JVM, with variables besides those of every client; its gateway's port. It ends with this process.

    Raises Unavailable where the JVM does not start.
    """
    variables = {**client_environment(), "JVM_ARGS": f"{CLIENT_JVM} {HEAP}", **environment}
    with log.open("wb") as file:
        holder = subprocess.Popen(
            [sys.executable, "-m", "shardlake.testing.planner"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file, text=True, env=variables,
            preexec_fn=die_with_parent(),
        )  # fmt: skip
    try:
        assert holder.stdout is not None
        port = holder.stdout.readline().strip()
        if not port:
            raise Unavailable("The planner's JVM does not start.", f"Its log is {log}.")
        yield port
    finally:
        holder.communicate()  # the end of its input is its end


def main() -> None:
    """Start the JVM and a second gateway in it; print that one's port and stay until standard input ends.

    The JVM ends with the first client of its own gateway, which is this process.
    """
    from pyflink.java_gateway import get_gateway

    py4j = get_gateway().jvm.org.apache.flink.api.python.shaded.py4j
    entry_point = get_gateway().jvm.java.util.concurrent.ConcurrentHashMap()
    server = py4j.GatewayServer.GatewayServerBuilder().entryPoint(entry_point).javaPort(0).build()
    server.start(True)
    sys.stdout.write(f"{server.getListeningPort()}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
