"""The key with which PII is hashed into the lake: from the environment, a file, or made once and kept with the data.

Only the task manager gets it. A key in a file is read whenever the jobs start, and so it is rotated without starting
the stack anew; what is in the lake tells by the key's id with which it was hashed.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from shardlake.durable import OWNER_ALONE, write_durably
from shardlake.errors import BadInput

KEY = "SHARDLAKE_PII_KEY"
KEY_FILE = "SHARDLAKE_PII_KEY_FILE"
KEY_ID = re.compile(r"\.[0-9a-f]{8}")
"""What `rotate` puts behind the name of an older key's file."""
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


def hasher(key: str) -> Callable[[str], str]:
    """From a value to what `"pii": "hash"` leaves of it in the lake, as the jobs' own Mask.java does."""
    prefix, secret = f"{key_id(key)}:", key.encode()
    return lambda value: prefix + hmac.digest(secret, value.encode(), "sha256").hex()[:32]


def hashed(key: str, value: str) -> str:
    """One value, hashed."""
    return hasher(key)(value)


def known_keys(environment: Mapping[str, str], stack: Mapping[str, Any]) -> list[str]:
    """The keys that the lake may be hashed with: the present one, then those that `rotate` left beside its file.

    `stack` is what the running stack says of itself. [] where the key was given to another process alone. Raises
    BadInput where a file cannot be read.
    """
    file = stack.get("pii_key_file") if stack else environment.get(KEY_FILE)
    if not file:
        return [_checked(environment[KEY], KEY)] if environment.get(KEY) else []
    path = Path(file).resolve()
    older = [one for one in sorted(path.parent.glob(f"{path.name}.*")) if KEY_ID.fullmatch(one.suffix)]
    return list(dict.fromkeys(read(one) for one in [path, *older]))


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
    """For its owner alone, and never half: a lost key is lost for every hash that was made with it."""
    write_durably(path, key, OWNER_ALONE)
