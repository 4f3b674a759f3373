"""`shardlake setup|lock`: what the servers are made of."""

from __future__ import annotations

from shardlake.cli.output import err


def setup() -> None:
    """Install the servers: jars, our own jar, class-data archives. Other commands do it where it is missing."""
    installed()
    err.print("set-up is complete")


def installed() -> None:
    """Do the set-up where it is missing, saying what takes long."""
    from shardlake.install import layout
    from shardlake.install import setup as installation

    installation.install(lambda line: err.print(f"set-up: {line}"))
    if not any(layout.ARCHIVES.iterdir()):
        from shardlake.stack.stack import train

        err.print("set-up: the servers' class-data archives (once, about 15 s)")
        train()


def lock() -> None:
    """Resolve versions.toml into jars.lock.toml anew, for whoever changes a version."""
    from shardlake.install import jars

    jars.lock()
    err.print(f"{len(jars.pinned())} jars pinned in {jars.LOCK.name}")
