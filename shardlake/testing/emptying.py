"""Takes everything out of a running stack that tests put in: the same servers serve the next test, as if new."""

from __future__ import annotations

import os
import signal
import time

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from shardlake import groups, topics
from shardlake.avro.registry import Registry
from shardlake.errors import Unavailable
from shardlake.flink.cluster import Cluster
from shardlake.kafka_login import client
from shardlake.settings import Settings
from shardlake.stack.stack import Stack
from shardlake.storage import is_remote, remove

PATIENCE_SECONDS = 120
POLL_SECONDS = 0.05


def empty(stack: Stack, settings: Settings) -> None:
    """Bring back the servers that a test killed or stopped; cancel the jobs; delete groups, topics, schemas, the lake
    and the jobs' state. Files of the state folder, as logs, stay.

    Raises Unavailable where a server does not come back, or a group's members do not leave.
    """
    _all_servers_again(stack)
    if "jobmanager" in stack.servers:
        _cancel_jobs(Cluster(settings.flink_rest_url))
    admin = AdminClient(client(settings.kafka_bootstrap_servers))
    _delete_groups(admin)
    servers = settings.kafka_bootstrap_servers
    topics.delete(servers, [name for name in topics.names(servers) if not name.startswith("__")])
    Registry(settings.schema_registry_url).forget()
    for folder in (settings.lake, settings.jobs):
        remove(folder)
        if not is_remote(folder):
            folder.mkdir(parents=True)


def _all_servers_again(stack: Stack) -> None:
    for name, server in stack.servers.items():
        if server.exit_code() is None:
            os.kill(server.pid, signal.SIGCONT)
        else:
            stack.restart(name)
    deadline = time.monotonic() + PATIENCE_SECONDS
    for name, server in stack.servers.items():
        while not server.is_ready():
            if time.monotonic() > deadline:
                raise Unavailable(f"The {name} has not come back. Its log ends:\n{server.log_tail()}")
            time.sleep(POLL_SECONDS)


def _cancel_jobs(cluster: Cluster) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while left := [job for job in cluster.jobs() if job.is_running]:
        for job in left:
            cluster.cancel(job.job_id)
        if time.monotonic() > deadline:
            raise Unavailable(f"The jobs are not cancelled: {left}.")
        time.sleep(POLL_SECONDS)


def _delete_groups(admin: AdminClient) -> None:
    """Delete all groups. A group goes only when the session of its last member, who may have been killed, has ended."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while left := groups.names(admin):
        for future in admin.delete_consumer_groups(left).values():
            try:
                future.result()
            except KafkaException as error:
                if time.monotonic() > deadline:
                    raise Unavailable(f"Groups are not deleted: {error.args[0].str()}.") from error
        time.sleep(POLL_SECONDS)
