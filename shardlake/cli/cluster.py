"""The Flink of some settings, with its processes in sight where they are on this machine."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from shardlake.folders import running_stack, state_folder
from shardlake.process import running_pid
from shardlake.settings import Settings

if TYPE_CHECKING:
    from shardlake.flink.cluster import Cluster

MANAGERS = ("jobmanager", "taskmanager")


def cluster_of(settings: Settings) -> Cluster:
    """Its REST API; who waits there sees whether the managers of a stack of ours, and their Python workers, work."""
    from shardlake.flink.cluster import Cluster
    from shardlake.patience import Patience, in_sight
    from shardlake.progress import Work, of_processes

    if not _pids(settings):
        return Cluster(settings.flink_rest_url)
    return Cluster(
        settings.flink_rest_url,
        servers=Work(lambda: of_processes(_pids(settings))).count,
        patience=partial(Patience, stretched=in_sight),
    )


def _pids(settings: Settings) -> list[int]:
    found = running_stack(state_folder())
    if not found or found["settings"].get("flink_rest_url") != settings.flink_rest_url:
        return []
    managers = (running_pid(server) for name, server in found["servers"].items() if name in MANAGERS)
    return [pid for pid in managers if pid is not None]
