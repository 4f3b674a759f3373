"""Endpoints and folders: environment over the running local stack over defaults.

`shardlake up` writes where its servers are to a file; every other command reads it, so that nothing needs to be
passed on. An environment variable wins, and so the same commands work against servers that are somewhere else.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from shardlake import compose, registry_login
from shardlake.errors import BadInput, Unavailable
from shardlake.folders import running_stack, state_folder
from shardlake.storage import S3, Folder, open_folder

WITHOUT_LOGIN = ("flink_rest_url", "lake_url", "jobs_folder", "s3_endpoint")
"""The URLs that are printed as they are."""
SECRET = {"s3_secret_key", "s3_session_token"}
"""What of the settings is told to nobody: each process reads these for itself."""


def _of_stack() -> dict[str, Any]:
    """Return the settings of the stack that is meant, by the names of their fields; {} where no stack runs."""
    if compose.is_wanted():
        return {**compose.settings(Path(os.environ.get("SHARDLAKE_PIPELINE", "")))}
    settings: dict[str, Any] = running_stack(state_folder()).get("settings", {})
    return settings


class Settings(BaseModel):
    """Where everything is. Each field's environment variable is its alias."""

    model_config = ConfigDict(populate_by_name=True, extra="ignore", frozen=True)

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
    def read(cls, **values: Any) -> Settings:
        """Merge `values`, the environment and the running stack's settings; the first that has a setting wins.

        The running stack's own S3 wins over the environment, whose keys may be those of another S3, unless the
        environment names another lake. Raises BadInput with the name of the variable that is wrong.
        """
        registry_login.take_out_of_urls()
        stack = _of_stack()
        variables = {name: str(field.alias) for name, field in cls.model_fields.items()}
        environment = {name: os.environ[variable] for name, variable in variables.items() if variable in os.environ}
        s3 = {} if os.environ.get("LAKE_URL") else {name: value for name, value in stack.items() if name[:3] == "s3_"}
        try:
            found = cls(**{**stack, **environment, **s3, **values})
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0])
            msg = f"The setting {variables.get(name, name)} is wrong: {first['msg']}."
            raise BadInput(msg, "See `docs/settings.md`.") from error
        for name in WITHOUT_LOGIN:
            if registry_login.has_userinfo(getattr(found, name)):
                msg = f"{cls.model_fields[name].alias} names a user or a password, which would be printed."
                raise BadInput(msg, "Take them out: no server is logged in to by that URL. See `docs/settings.md`.")
        return found

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
