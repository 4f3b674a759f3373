"""What a packaged application is told where it runs: runtime properties, as Amazon's service hands them over.

    [{"PropertyGroupId": "shardlake", "PropertyMap": {"KAFKA_BOOTSTRAP_SERVERS": "b-1.…:9098", …}},
     {"PropertyGroupId": "shardlake.kafka", "PropertyMap": {"client.rack": "…"}}]

The first group's names are those of the environment elsewhere; the second's go to Kafka's Java client as they are.
Whoever may look at the application sees all of it: secrets are named here, never given.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shardlake.errors import BadInput
from shardlake.flink.endpoints import Endpoints
from shardlake.pipeline import Pipeline
from shardlake.registry_login import VARIABLE, has_userinfo

FILE = "/etc/flink/application_properties.json"
"""Where the service puts them; SHARDLAKE_PROPERTIES names another file."""

GROUP = "shardlake"
KAFKA_GROUP = "shardlake.kafka"
BROKERS, REGISTRY, LAKE = "KAFKA_BOOTSTRAP_SERVERS", "SCHEMA_REGISTRY_URL", "LAKE_URL"
IDLE, PII_SECRET = "SHARDLAKE_IDLE_SECONDS", "SHARDLAKE_PII_SECRET"
LOGIN, LOGIN_SECRET = "KAFKA_LOGIN", "KAFKA_LOGIN_SECRET"
REQUIRED = (BROKERS, REGISTRY, LAKE)
KNOWN = (*REQUIRED, LOGIN, LOGIN_SECRET, PII_SECRET, IDLE)
IDLE_SECONDS = 30.0
SEE = "See docs/elsewhere.md for what each property is."

LOGINS: dict[str, dict[str, str]] = {
    "none": {},
    "iam": {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "AWS_MSK_IAM",
        "sasl.jaas.config": "software.amazon.msk.auth.iam.IAMLoginModule required;",
        "sasl.client.callback.handler.class": "software.amazon.msk.auth.iam.IAMClientCallbackHandler",
    },
    "scram": {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "config.providers": "secrets",
        "config.providers.secrets.class": "io.shardlake.aws.SecretsConfigProvider",
        "sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required "
        'username="${secrets:{secret}:username}" password="${secrets:{secret}:password}";',
    },
}
"""How the jobs log in to Kafka, as properties of its client. `{secret}` is the name of the secret with the user."""

_PLACEHOLDER = re.compile(r"<[^<>]*>")
_PLAIN_SECRET = re.compile(r'\bpassword\s*=\s*"?(?!"?\$\{)', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Properties:
    """The properties, checked. `pii_secret` names the secret that is the key of the mask, '' where it is the task
    managers' environment that has the key."""

    endpoints: Endpoints
    idle_seconds: float
    pii_secret: str

    @classmethod
    def read(cls, pipeline: Pipeline, environment: Mapping[str, str] = os.environ) -> Properties:
        """From the service's file. Raises BadInput naming the property that is missing, unknown, or not filled in."""
        named = environment.get("SHARDLAKE_PROPERTIES")
        groups = _groups(Path(named or FILE))
        if GROUP not in groups:
            msg = f"There is no property group {GROUP!r}; there are: {', '.join(sorted(groups)) or 'none'}."
            raise BadInput(msg, f"It has to have {', '.join(REQUIRED)}. {SEE}")
        for group in groups:
            if group.startswith(GROUP) and group not in (GROUP, KAFKA_GROUP):
                raise BadInput(f"There is no such property group: {group!r}.", f"There are {GROUP} and {KAFKA_GROUP}.")
        given, kafka = groups[GROUP], groups.get(KAFKA_GROUP, {})
        _check(given, kafka)
        # Only where the service's own file is read is it known that task managers have no environment of the user's.
        if not named and not given.get(PII_SECRET) and _has_pii(pipeline):
            msg = f"The property {PII_SECRET} is missing: without a key PII cannot be masked."
            raise BadInput(msg, "Put the key into Secrets Manager, and name the secret here. " + SEE)
        where = Endpoints(
            given[BROKERS],
            given[REGISTRY].rstrip("/"),
            given[LAKE].rstrip("/"),
            _login(given) | kafka,
            registry_login=bool(environment.get(VARIABLE)),
        )
        return cls(where, _seconds(given), given.get(PII_SECRET, ""))


def _groups(file: Path) -> dict[str, dict[str, str]]:
    try:
        content: list[dict[str, Any]] = json.loads(file.read_text())
        return {group["PropertyGroupId"]: dict(group["PropertyMap"]) for group in content}
    except FileNotFoundError as error:
        msg = f"There are no runtime properties: {file} is not there."
        raise BadInput(msg, f"Give the application a property group {GROUP!r}. {SEE}") from error
    except (json.JSONDecodeError, TypeError, KeyError) as error:
        msg = f"The runtime properties in {file} are not a list of PropertyGroupId and PropertyMap: {error}."
        raise BadInput(msg, SEE) from error


def _check(given: Mapping[str, str], kafka: Mapping[str, str]) -> None:
    for name in REQUIRED:
        if not given.get(name):
            raise BadInput(f"The property {name} is missing in the group {GROUP!r}.", SEE)
    for name, value in given.items():
        if "PII_KEY" in name:
            msg = f"The property {name} would hold the PII key for all to see."
            raise BadInput(msg, f"Put it into Secrets Manager, and name the secret in {PII_SECRET}.")
        if name not in KNOWN:
            raise BadInput(f"The group {GROUP!r} has no property {name}.", f"It has: {', '.join(KNOWN)}.")
        _check_filled(name, value)
    for name, value in kafka.items():
        _check_filled(name, value)
        if (name.endswith("password") and not value.startswith("${")) or _PLAIN_SECRET.search(value):
            msg = f"The property {name} holds a password for all to see."
            raise BadInput(msg, f"Name a secret: {LOGIN}=scram with {LOGIN_SECRET}, or Kafka's ${{provider:path:key}}.")
    for name in (REGISTRY, LAKE):
        if has_userinfo(given[name]):
            msg = f"The property {name} holds a password for all to see."
            raise BadInput(msg, f"Take it out. A registry's login is {VARIABLE} in the managers' environment. {SEE}")
    if "://" not in given[LAKE] or "://" not in given[REGISTRY]:
        name = LAKE if "://" not in given[LAKE] else REGISTRY
        raise BadInput(
            f"The property {name} is {given[name]!r}, which is no URL.", "Give one such as s3://bucket/lake."
        )


def _check_filled(name: str, value: str) -> None:
    if _PLACEHOLDER.search(value):
        raise BadInput(f"The property {name} still has its placeholder: {value!r}.", "Put the real value there.")


def _login(given: Mapping[str, str]) -> dict[str, str]:
    how, secret = given.get(LOGIN, "none"), given.get(LOGIN_SECRET, "")
    if how not in LOGINS:
        raise BadInput(f"The property {LOGIN} is {how!r}.", f"It is one of: {', '.join(LOGINS)}.")
    if how == "scram" and not re.fullmatch(r"[\w/+=.@-]+", secret):
        msg = f"The property {LOGIN_SECRET} is {secret!r}, with {LOGIN}=scram the name of a secret."
        raise BadInput(msg, "Its name, not its ARN: MSK's begin with AmazonMSK_.")
    return {name: value.replace("{secret}", secret) for name, value in LOGINS[how].items()}


def _seconds(given: Mapping[str, str]) -> float:
    text = given.get(IDLE, str(IDLE_SECONDS))
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds < float("inf"):
        raise BadInput(f"The property {IDLE} is {text!r}.", "Give a number of seconds above 0.")
    return seconds


def _has_pii(pipeline: Pipeline) -> bool:
    return any("pii" in field for schema in pipeline.schemas.values() for field in schema["fields"])
