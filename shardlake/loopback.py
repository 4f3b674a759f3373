"""This machine's own servers are asked directly, whatever proxy the environment names."""

from __future__ import annotations

import os

HOSTS = ("127.0.0.1", "localhost", "::1")
VARIABLES = ("no_proxy", "NO_PROXY")
"""Clients read either, and some of them the first one that is set."""


def ask_directly() -> None:
    """Add this machine's names to those for which no proxy is used, here and in processes that are started later."""
    named = [host.strip() for variable in VARIABLES for host in os.environ.get(variable, "").split(",")]
    hosts = ",".join(dict.fromkeys([*filter(None, named), *HOSTS]))
    for variable in VARIABLES:
        os.environ[variable] = hosts
