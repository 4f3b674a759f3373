"""The key with which PII is hashed into the lake: from the environment, a file, or made once and kept with the data.

Only the task manager gets it. A key in a file is read whenever the jobs start, and so it is rotated without starting
the stack anew; what is in the lake tells by the key's id with which it was hashed.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from shardlake.errors import BadInput

KEY = "SHARDLAKE_PII_KEY"
KEY_FILE = "SHARDLAKE_PII_KEY_FILE"
MIN_BYTES = 16
"""Shorter ones can be found by trying, and then every address too."""


def taskmanager_environment(data: Path, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables that tell the task manager its key; in a stack's data folder a key is made where none is given.

    Raises BadInput where two keys are given, or one that is too short or cannot be read.
    """
    if environment.get(KEY) and environment.get(KEY_FILE):
        raise BadInput(
            f"Both {KEY} and {KEY_FILE} are set.", "Set one: which key the lake is hashed with must be plain."
        )
    if environment.get(KEY):
        _checked(environment[KEY], KEY)
        return {KEY: environment[KEY]}
    if environment.get(KEY_FILE):
        path = Path(environment[KEY_FILE]).resolve()
    else:
        path = data / "pii.key"
        if not path.exists():
            _write(path, secrets.token_hex(32))
    read(path)
    return {KEY_FILE: str(path)}


def without_key(environment: Mapping[str, str]) -> dict[str, str]:
    """What every other process may know."""
    return {name: value for name, value in environment.items() if name not in (KEY, KEY_FILE)}


def read(path: Path) -> str:
    """The key in a file, without white space around it. Raises BadInput where there is none, or it is too short."""
    try:
        return _checked(path.read_text().strip(), str(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        msg = f"The PII key cannot be read from {path}: {reason}."
        raise BadInput(msg, f"{KEY_FILE} names a file that holds the key, as text.") from None


def key_id(key: str) -> str:
    """What stands before each hash in the lake: the first 32 bits of SHA-256 over the key, in hex."""
    return hashlib.sha256(key.encode()).hexdigest()[:8]


def hashed(key: str, value: str) -> str:
    """A value as `"pii": "hash"` leaves it in the lake, as the jobs' own Mask.java does."""
    return f"{key_id(key)}:{hmac.new(key.encode(), value.encode(), hashlib.sha256).hexdigest()[:32]}"


def rotate(path: Path) -> tuple[str, str, Path]:
    """Put a new key into the file; the ids of the old and the new one, and where the old one is kept.

    The old one stays readable beside it, because with it alone an address can be found in older rows.
    """
    path = path.resolve()
    old, new = read(path), secrets.token_hex(32)
    kept = path.with_name(f"{path.name}.{key_id(old)}")
    _write(kept, old)
    _write(path, new)
    return key_id(old), key_id(new), kept


def _checked(key: str, source: str) -> str:
    if len(key.encode()) < MIN_BYTES:
        msg = f"The PII key in {source} has {len(key.encode())} bytes; it needs {MIN_BYTES}."
        raise BadInput(msg, "Make one: `openssl rand -hex 32`. A short one is guessed, and with it every address.")
    return key


def _write(path: Path, key: str) -> None:
    """For its owner alone, and never half."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    new.write_text(key)
    new.replace(path)
