"""Endpoints and folders: environment over the running local stack over defaults.

`shardlake up` writes where its servers are to a file; every other command reads it, so that nothing needs to be
passed on. An environment variable wins, and so the same commands work against servers that are somewhere else.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from shardlake import compose
from shardlake.errors import BadInput, Unavailable
from shardlake.storage import S3, Folder, open_folder

STACK_FILE = "stack.json"
DEFAULT_PORT_BASE = 9090
SECRET = {"s3_secret_key", "s3_session_token"}
"""What of the settings is told to nobody: each process reads these for itself."""


def local_state_folder(pipeline: Path | None = None) -> Path:
    """Where the local stack leaves its addresses: SHARDLAKE_STATE, or `.shardlake` in the pipeline's folder."""
    return Path(os.environ.get("SHARDLAKE_STATE") or (pipeline or Path.cwd()) / ".shardlake").resolve()


def state_folder(pipeline: Path | None = None) -> Path:
    """Where commands keep what they know of the servers that are meant: for containers it is a folder of their own, so
    that none takes the local stack's for theirs."""
    local = local_state_folder(pipeline)
    return local / "compose" if compose.is_wanted() else local


def cache_folder() -> Path:
    """Where downloads are kept between clones: SHARDLAKE_CACHE, or `shardlake` in the user's cache folder."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("SHARDLAKE_CACHE") or base / "shardlake")


def running_stack(state: Path) -> dict[str, Any]:
    """What the stack that was started last says of itself, {} where there is none."""
    try:
        found: dict[str, Any] = json.loads((state / STACK_FILE).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return found


class _StackFile(PydanticBaseSettingsSource):
    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        if compose.is_wanted():
            return {**compose.settings(Path(os.environ.get("SHARDLAKE_PIPELINE", "")))}
        values: dict[str, Any] = running_stack(state_folder()).get("settings", {})
        return values


class _StackS3(_StackFile):
    """The running stack's own S3 and its keys: with others, which the environment may hold for another one, nobody
    would be let in. Not where the environment names another lake."""

    def __call__(self) -> dict[str, Any]:
        if os.environ.get("LAKE_URL"):
            return {}
        own = super().__call__()
        return {str(Settings.model_fields[name].alias): value for name, value in own.items() if name.startswith("s3_")}


class Settings(BaseSettings):
    """Where everything is. Each field's environment variable is its alias."""

    model_config = SettingsConfigDict(populate_by_name=True, extra="ignore", frozen=True)

    kafka_bootstrap_servers: str = Field("127.0.0.1:9092", alias="KAFKA_BOOTSTRAP_SERVERS")
    schema_registry_url: str = Field("http://127.0.0.1:9094/apis/ccompat/v7", alias="SCHEMA_REGISTRY_URL")
    flink_rest_url: str = Field("http://127.0.0.1:9096", alias="FLINK_REST_URL")
    lake_url: str = Field("", alias="LAKE_URL", description="A folder, file:// or s3:// URL.")
    jobs_folder: str = Field("", alias="SHARDLAKE_JOBS", description="Checkpoints and savepoints: as LAKE_URL.")
    s3_endpoint: str = Field("", alias="AWS_ENDPOINT_URL", description="Of an S3 that is not Amazon's.")
    s3_region: str = Field("", alias="AWS_REGION")
    s3_access_key: str = Field("", alias="AWS_ACCESS_KEY_ID")
    s3_secret_key: SecretStr = Field(SecretStr(""), alias="AWS_SECRET_ACCESS_KEY")
    s3_session_token: SecretStr = Field(SecretStr(""), alias="AWS_SESSION_TOKEN")
    delivery_seconds: float = Field(
        120, alias="SHARDLAKE_DELIVERY_SECONDS", ge=1, description="How long `produce` tries to send an event."
    )
    jobs_kafka: str = Field("", alias="SHARDLAKE_JOBS_KAFKA", description="Brokers, as the jobs reach them.")
    jobs_registry: str = Field("", alias="SHARDLAKE_JOBS_REGISTRY", description="The registry, as the jobs reach it.")
    parallelism: int = Field(2, alias="SHARDLAKE_PARALLELISM", ge=1, description="Of the Flink application.")
    checkpoint_seconds: float = Field(
        5, alias="SHARDLAKE_CHECKPOINT_SECONDS", gt=0, description="How often the lake gets new files."
    )

    idle_seconds: float = Field(
        30, alias="SHARDLAKE_IDLE_SECONDS", gt=0, description="A partition silent for so long holds back no window."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then environment, then the running stack, whose own S3 comes before the environment's."""
        return init_settings, _StackS3(settings_cls), env_settings, _StackFile(settings_cls)

    @classmethod
    def read(cls, **values: Any) -> Settings:
        """Settings from all sources. Raises BadInput naming the variable that is wrong."""
        try:
            return cls(**values)
        except ValidationError as error:
            first = error.errors()[0]
            msg = f"The setting {first['loc'][0]} is wrong: {first['msg']}."
            raise BadInput(msg, "See `docs/settings.md`.") from error

    def must_name_a_broker(self) -> None:
        """Raise Unavailable where neither a running stack nor the environment says to whom records may be sent."""
        if "kafka_bootstrap_servers" not in self.model_fields_set:
            msg = "No broker is known: no stack is running here and KAFKA_BOOTSTRAP_SERVERS is not set."
            raise Unavailable(msg, "Run `shardlake up`, or set KAFKA_BOOTSTRAP_SERVERS.")

    @property
    def s3(self) -> S3:
        """How S3 is reached, where the lake or the jobs' state is there."""
        secret, token = self.s3_secret_key.get_secret_value(), self.s3_session_token.get_secret_value()
        return S3(self.s3_endpoint, self.s3_region, self.s3_access_key, secret, token)

    @property
    def lake(self) -> Folder:
        """The lake's folder. Raises BadInput where none is named."""
        if not self.lake_url:
            msg = "No lake is known: no stack is running here and LAKE_URL is not set."
            raise BadInput(msg, "Run `shardlake up`, or set LAKE_URL to the lake's folder.")
        return open_folder(self.lake_url, self.s3)

    @property
    def jobs(self) -> Folder:
        """The folder of checkpoints, savepoints, plans, and of how the jobs ended last. Raises BadInput where none is
        named."""
        if not self.jobs_folder:
            msg = "No folder for the jobs' state is known: no stack is running here and SHARDLAKE_JOBS is not set."
            raise BadInput(msg, "Run `shardlake up`, or set SHARDLAKE_JOBS to a folder.")
        return open_folder(self.jobs_folder, self.s3)
