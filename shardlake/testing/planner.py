"""A JVM in which `jobs run` and `jobs finish` plan, kept warm between tests: cold it costs more than all else they do.

A client uses the JVM that SHARDLAKE_PLANNER names instead of starting one: see `flink.gateway`. A user's command has no
such variable and starts its own, as the tests of `make demo`, of `shardlake up` and in containers do.
"""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from shardlake.child import die_with_parent
from shardlake.errors import Unavailable
from shardlake.flink.gateway import guard
from shardlake.flink.submit import CLIENT_JVM, client_environment

HEAP = "-Xmx1g"
"""The JVM keeps what each client made of tables and plans."""


@contextmanager
def warm_planner(log: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Start the JVM, with variables besides those of every client; its address for WARM. It ends with this process.

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
        address = holder.stdout.readline().strip()
        if not address:
            raise Unavailable("The planner's JVM does not start.", f"Its log is {log}.")
        yield address
    finally:
        holder.communicate()  # the end of its input is its end


def main() -> None:
    """Start the JVM and a second gateway in it; print that one's address and stay until standard input ends.

    The JVM ends with the first client of its own gateway, which is this process.
    """
    guard()
    from pyflink.java_gateway import get_gateway

    token = secrets.token_hex(32)
    server = get_gateway().jvm.io.shardlake.flink.GuardedGateway.start(token)
    sys.stdout.write(f"{server.getListeningPort()}:{token}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
