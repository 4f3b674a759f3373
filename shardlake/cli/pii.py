"""`shardlake pii key|hash|rotate`: the key with which PII is hashed into the lake."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from shardlake.cli.output import err, out, styled
from shardlake.errors import BadInput, Unavailable
from shardlake.folders import running_stack, state_folder

app = typer.Typer(no_args_is_help=True, help="The key with which PII is hashed into the lake.")


@app.command()
def key() -> None:
    """The key's id, which stands before each hash in the lake, and the key's file. Never the key."""
    from shardlake import pii

    path = _file()
    out.print(f"{pii.key_id(pii.read(path))}  {path}")


@app.command("hash")
def hash_values(
    key_file: Annotated[Path | None, typer.Option(help="An older key's file. Default: the present key's.")] = None,
) -> None:
    """Hash values, the lines of standard input, as the lake has them: to find a person's rows."""
    from shardlake import pii

    secret = pii.read(key_file or _file())
    for line in sys.stdin:
        out.print(pii.hashed(secret, line.rstrip("\n")))


@app.command()
def rotate() -> None:
    """Put a new key into the key's file. The jobs hash with it from their next start."""
    from shardlake import pii

    old, new, kept = pii.rotate(_file())
    err.print(styled("rotated", "bold green"), f"from {old} to {new}; the old key is kept in {kept}")
    err.print("The jobs take the new one when they start next: `shardlake jobs stop`, then `shardlake jobs run`.")
    err.print("Delete the old one when no value may be looked up in older rows any more.")


def _file() -> Path:
    """The file that the stack's task manager reads, else the one that the environment names."""
    from shardlake import pii

    found = running_stack(state_folder())
    path = found.get("pii_key_file") if found else os.environ.get(pii.KEY_FILE)
    if path:
        return Path(path)
    if found or os.environ.get(pii.KEY):
        msg = f"The key was given in {pii.KEY}, and is in no file."
        raise BadInput(msg, f"Put it into a file, name that with {pii.KEY_FILE}, and start the stack again.")
    msg = "No stack is running here, so there is no key to speak of."
    raise Unavailable(msg, f"Start one with `shardlake up`, or name the key's file with {pii.KEY_FILE}.")
