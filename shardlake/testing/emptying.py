"""Takes everything out of a running stack that tests put in: the same servers serve the next test, as if new."""

from __future__ import annotations

import os
import signal

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from shardlake import groups, topics
from shardlake.avro.registry import Registry
from shardlake.errors import Unavailable
from shardlake.flink.cluster import Cluster
from shardlake.kafka_login import client
from shardlake.patience import Patience
from shardlake.settings import Settings
from shardlake.stack.stack import Stack
from shardlake.storage import is_remote, remove

DEAD_MEMBER_SECONDS = 180.0
"""A killed member's session, and a rebalance that waits for it, pass without any sign of it."""


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
    for folder, mode in ((settings.lake, 0o777), (settings.jobs, 0o700)):  # as `up` makes them: the lake is for others
        remove(folder)
        if not is_remote(folder):
            folder.mkdir(mode, parents=True)


def _all_servers_again(stack: Stack) -> None:
    for name, server in stack.servers.items():
        if server.exit_code() is None:
            os.kill(server.pid, signal.SIGCONT)
        else:
            stack.restart(name)
    for name in stack.servers:
        stack.await_ready(name)


def _cancel_jobs(cluster: Cluster) -> None:
    for job in cluster.jobs():
        if job.is_running:
            cluster.cancel(job.job_id)
            cluster.await_ended(job.job_id)


def _delete_groups(admin: AdminClient) -> None:
    """Delete all groups. A group goes only when the session of its last member, who may have been killed, has ended."""
    patience, why = Patience(still_seconds=DEAD_MEMBER_SECONDS), ""
    while left := groups.names(admin):
        for future in admin.delete_consumer_groups(left).values():
            try:
                future.result()
            except KafkaException as error:
                why = str(error.args[0].str())
        if not patience.goes_on("the groups' last members to leave", *left):
            raise Unavailable(f"The groups {', '.join(left)} are not deleted: {why or 'the broker lists them still'}.")
