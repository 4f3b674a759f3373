"""Where the servers of `docker compose up` are: the ports of docker/compose.yaml, moved by .env or the environment.

On this machine they are on 127.0.0.1; within the containers' network, where the jobs run, they have names.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values

from shardlake.errors import BadInput

STACK = "SHARDLAKE_STACK"
"""The environment's name for which stack commands are for: `local`, or `compose`."""
PROJECT = "COMPOSE_PROJECT_NAME"
DEFAULTS = {
    "KAFKA_1_PORT": "19092",
    "KAFKA_2_PORT": "19093",
    "KAFKA_3_PORT": "19094",
    "REGISTRY_PORT": "19095",
    "FLINK_PORT": "19096",
    "S3_PORT": "19097",
    "LAG_PORT": "19098",
    "AWS_ACCESS_KEY_ID": "shardlake",
    "AWS_SECRET_ACCESS_KEY": "shardlake-local",
    PROJECT: "shardlake",
}
"""As docker/compose.yaml has them; a test holds the two together."""
BROKERS = ("kafka-1", "kafka-2", "kafka-3")


def is_wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether commands are for the containers."""
    return environment.get(STACK) == "compose"


def refuse(command: str) -> None:
    """Raises BadInput, which names a command instead, where commands are for the containers and this one is about
    servers that it starts itself."""
    if is_wanted():
        raise BadInput("Docker itself starts and stops the containers, and keeps their logs.", f"Use `{command}`.")


def variables(folder: Path, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What the containers were told, as docker compose finds it: the environment, else `.env` in the folder."""
    written = {name: value for name, value in dotenv_values(folder / ".env").items() if value}
    return {name: environment.get(name) or written.get(name) or default for name, default in DEFAULTS.items()}


def settings(folder: Path, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What `Settings` needs to find the containers whose compose.yaml is in the folder."""
    told = variables(folder, environment)
    return {
        "kafka_bootstrap_servers": ",".join(f"127.0.0.1:{told[f'KAFKA_{number}_PORT']}" for number in (1, 2, 3)),
        "schema_registry_url": f"http://127.0.0.1:{told['REGISTRY_PORT']}/apis/ccompat/v7",
        "flink_rest_url": f"http://127.0.0.1:{told['FLINK_PORT']}",
        "lake_url": "s3://shardlake/lake",
        "jobs_folder": "s3://shardlake/jobs",
        "s3_endpoint": f"http://127.0.0.1:{told['S3_PORT']}",
        "s3_region": "us-east-1",
        "s3_access_key": told["AWS_ACCESS_KEY_ID"],
        "s3_secret_key": told["AWS_SECRET_ACCESS_KEY"],
        "jobs_kafka": ",".join(f"{broker}:29092" for broker in BROKERS),
        "jobs_registry": "http://registry:8080/apis/ccompat/v7",
    }
