"""How a schema registry that wants a password lets us in: by SCHEMA_REGISTRY_LOGIN, as `user:password`.

A password in a registry's URL is taken out of the environment before anything reads the URL: URLs are printed, they are
in logs, and in the jobs' tables, whose options Flink shows to whoever asks. The login stays in the environment alone,
of clients and of task managers; RegistryLogin.java reads the variable there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from urllib.parse import unquote, urlsplit

from shardlake.errors import BadInput

VARIABLE = "SCHEMA_REGISTRY_LOGIN"
URLS = ("SCHEMA_REGISTRY_URL", "SHARDLAKE_JOBS_REGISTRY")


def take_out_of_urls(environment: MutableMapping[str, str] = os.environ) -> None:
    """Move the user and password of each registry's URL to the variable of its own.

    Raises BadInput, without any of the passwords, where two differ, or one lacks its user or its password.
    """
    for name in URLS:
        before, at, host = environment.get(name, "").rpartition("@")
        scheme, separator, login = before.partition("://")
        if not at or not separator or "/" in login:
            continue
        user, colon, password = login.partition(":")
        given = f"{unquote(user)}:{unquote(password)}"
        if not (user and colon and password):
            raise BadInput(f"{name} names a user without a password, or the reverse.", f"Set {VARIABLE}=user:password.")
        if environment.get(VARIABLE, given) != given:
            msg = f"{name} and {VARIABLE}, or the other registry's URL, have different users or passwords."
            raise BadInput(msg, f"Leave them out of the URLs, and set {VARIABLE}=user:password.")
        environment[VARIABLE] = given
        environment[name] = f"{scheme}://{host}"


def login(environment: Mapping[str, str] = os.environ) -> tuple[str, str] | None:
    """Return the user and the password; None where there are none. Raises BadInput where the variable is wrong."""
    given = environment.get(VARIABLE)
    if not given:
        return None
    user, colon, password = given.partition(":")
    if not (user and colon):
        raise BadInput(f"{VARIABLE} is not user:password.", "A colon stands between the two.")
    return user, password


def of_task_managers(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variable for servers that log in to the registry: the task managers, as the jobs run there."""
    return {VARIABLE: environment[VARIABLE]} if environment.get(VARIABLE) else {}


def without_login(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what every other process may know."""
    return {name: value for name, value in environment.items() if name != VARIABLE}


def has_userinfo(url: str) -> bool:
    """Whether a URL holds a user or a password."""
    return "@" in urlsplit(url).netloc
