"""Beginning anew on purpose: what the jobs wrote is put aside, so that nothing is there twice when it is written
again."""

from __future__ import annotations

from datetime import UTC, datetime

from shardlake import topic_ids
from shardlake.errors import BadInput, ShardlakeError
from shardlake.flink import apart
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings
from shardlake.storage import Folder, is_remote, move, remove
from shardlake.topic_ids import made_anew, of_table

STATE = ("checkpoints", "savepoints", "plans", apart.FOLDER)
FILES = ("last.json", topic_ids.FILE)


def rewind(pipeline: Pipeline, settings: Settings) -> Folder:
    """Put the lake's tables aside, empty the topics that the jobs write, forget their state and offsets.

    Gives the folder that holds what was put aside.

    Raises ShardlakeError while the jobs run, BadInput where a topic no longer holds what the lake does: then writing it
    again would lose.
    """
    from shardlake.flink.cluster import Cluster
    from shardlake.flink.tables import group_of
    from shardlake.groups import forget
    from shardlake.lake.accounting import rows_by_partition
    from shardlake.lake.tables import must_be_in_place
    from shardlake.lake.uploads import abort, leftovers
    from shardlake.provision import provision
    from shardlake.topics import delete, offsets, topic_id

    must_be_in_place(settings.lake)
    cluster = Cluster(settings.flink_rest_url)
    if cluster.running() or cluster.apart():
        raise ShardlakeError("The jobs are running.", "Stop them first: `shardlake jobs stop`.")
    noted = topic_ids.read(settings.jobs / topic_ids.FILE)
    for topic in pipeline.sources:
        # What the lake holds of another topic of this name is not in this one, whatever its offsets.
        if any(made_anew(noted, {topic.name: topic_id(settings.kafka_bootstrap_servers, topic.name)})):
            continue
        rows = rows_by_partition(settings.lake, str(topic.lake_table))
        for partition, (first, _) in offsets(settings.kafka_bootstrap_servers, topic.name).items():
            held = rows.get((topic.name, partition))
            if held and held.min_offset < first:
                msg = f"{topic.name}-{partition} begins at offset {first}, the lake's rows at {held.min_offset}."
                raise BadInput(msg, "Retention has taken what came before: the lake is all that is left of it.")
    aside = settings.lake / f".rewound-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    for topic in pipeline.topics.values():
        if topic.lake_table and (settings.lake / topic.lake_table).exists():
            move(settings.lake / topic.lake_table, aside / topic.lake_table)
    for table in {topic.lake_table for topic in pipeline.sources if topic.lake_table}:
        of_table(settings.lake, table).unlink(missing_ok=True)
    if is_remote(settings.lake):
        # Nobody can complete these any more.
        for one in leftovers(settings.lake):
            abort(settings.lake, one)
    groups = [group_of(None), *map(group_of, apart.names(settings.jobs))]
    for name in STATE:
        remove(settings.jobs / name)
    for name in FILES:
        (settings.jobs / name).unlink(missing_ok=True)
    # Who asks how far the jobs are would hear of what they had read before, until they commit.
    for group in groups:
        forget(settings.kafka_bootstrap_servers, group)
    written = [topic.name for topic in pipeline.on_broker if topic not in pipeline.sources]
    delete(settings.kafka_bootstrap_servers, written)
    provision(pipeline, settings)
    return aside
