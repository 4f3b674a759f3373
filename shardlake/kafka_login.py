"""How our Kafka clients reach a cluster that wants more than an address: by a file of librdkafka's settings.

SHARDLAKE_KAFKA_CONFIG names it: lines `name=value`, as `security.protocol=SASL_SSL`. A client's own settings win, so
that none of what keeps records safe can be taken away there. `sasl.mechanism=AWS_MSK_IAM`, which librdkafka does not
know, is a login to Amazon MSK by IAM with the credentials that AWS's tools find.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from shardlake.errors import BadInput

VARIABLE = "SHARDLAKE_KAFKA_CONFIG"
IAM = "AWS_MSK_IAM"
NEEDED = "security.protocol, sasl.mechanism, sasl.username, sasl.password, ssl.ca.location"


def client(bootstrap_servers: str, **settings: Any) -> dict[str, Any]:
    """The settings of a client: those of the file, the brokers, and its own (`_` for `.` in names), which win.

    Raises BadInput where the file cannot be read, or a line of it is no setting.
    """
    own = {name.replace("_", "."): value for name, value in settings.items()}
    return {**_login(os.environ.get(VARIABLE, "")), "bootstrap.servers": bootstrap_servers, "log_level": 0, **own}


@lru_cache
def _login(file: str) -> dict[str, Any]:
    if not file:
        return {}
    try:
        lines = Path(file).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise BadInput(f"The file {file} that {VARIABLE} names cannot be read: {reason}.") from error
    settings: dict[str, Any] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = (part.strip() for part in line.partition("="))
        if not equals or not re.fullmatch(r"[a-z][a-z0-9._]*", name):
            # Without the line: it may hold a password.
            raise BadInput(f"Line {number} of {file} is not NAME=VALUE.", f"Its names are librdkafka's: {NEEDED}, …")
        if re.fullmatch(r"<.*>", value):
            raise BadInput(f"{name} in {file} still has its placeholder.", "Put the real value there.")
        settings[name] = value
    if settings.get("sasl.mechanism", settings.get("sasl.mechanisms")) == IAM:
        settings.pop("sasl.mechanisms", None)
        settings |= {"sasl.mechanism": "OAUTHBEARER", "oauth_cb": _iam_token()}
    return settings


def _iam_token() -> Callable[[str | None], tuple[str, float]]:
    """What librdkafka asks for a token, and until when it holds, in seconds since 1970."""
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if not region:
        raise BadInput(f"A login by {IAM} needs the cluster's region.", "Set AWS_REGION.")
    try:
        from aws_msk_iam_sasl_signer import MSKAuthTokenProvider
    except ImportError as error:
        msg = f"A login by {IAM} needs a package that is not installed."
        raise BadInput(msg, "Run `pip install aws-msk-iam-sasl-signer-python`, or log in by SCRAM.") from error

    def token(_: str | None) -> tuple[str, float]:
        text, expiry_ms = MSKAuthTokenProvider.generate_auth_token(region)
        return text, expiry_ms / 1000

    return token
