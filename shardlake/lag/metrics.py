"""What the lag exporter exports. Two families have the names that dashboards know, the third is ours.

kafka_consumergroup_*, kafka_topic_*    danielqsj's kafka_exporter; Amazon MSK's open monitoring has the same
kafka_consumergroup_group_*             kafka-lag-exporter: the family that has seconds
shardlake_*                             what neither has
"""

from __future__ import annotations

from shardlake.metric import Kind, Metric

PLACE = ("topic", "partition")
GROUP = ("consumergroup",)
GROUP_PLACE = ("consumergroup", *PLACE)
NAMED = ("cluster_name", "group")
NAMED_PLACE = (*NAMED, *PLACE, "member_host", "consumer_id", "client_id")
SHARD = ("group", *PLACE)


def _gauge(name: str, words: str, labels: tuple[str, ...] = ()) -> Metric:
    return Metric(name, Kind.GAUGE, words, labels)


UP = _gauge("shardlake_lag_up", "Whether the broker answered this scrape; where not, there is no other series of it.")
COLLECT_SECONDS = _gauge("shardlake_lag_collect_seconds", "How long this scrape's asking and reading took.")

BROKERS = _gauge("kafka_brokers", "Brokers that are there.")
PARTITIONS = _gauge("kafka_topic_partitions", "Partitions of a topic.", ("topic",))
END = _gauge(
    "kafka_topic_partition_current_offset", "One past the last record that may be read, read committed.", PLACE
)
FIRST = _gauge("kafka_topic_partition_oldest_offset", "The first record that is still there.", PLACE)
UNDER_REPLICATED = _gauge(
    "kafka_topic_partition_under_replicated_partition", "1 where fewer brokers are in sync than should be.", PLACE
)
MEMBERS = _gauge("kafka_consumergroup_members", "Members of a group.", GROUP)
COMMITTED = _gauge("kafka_consumergroup_current_offset", "The committed offset.", GROUP_PLACE)
LAG = _gauge("kafka_consumergroup_lag", "Records behind; -1 where nothing is committed.", GROUP_PLACE)
LAG_SUM = _gauge(
    "kafka_consumergroup_lag_sum", "Records behind in all partitions in which something is committed.",
    ("consumergroup", "topic"),
)  # fmt: skip

NAMED_LAG = _gauge("kafka_consumergroup_group_lag", "Records behind; -1 where nothing is committed.", NAMED_PLACE)
NAMED_SECONDS = _gauge(
    "kafka_consumergroup_group_lag_seconds",
    "Iterator age: how long the first record that waits has been waiting. Absent where unknown, -1 where nothing is "
    "committed.",
    NAMED_PLACE,
)
MAX_LAG = _gauge("kafka_consumergroup_group_max_lag", "Records behind, of the shard that has most.", NAMED)
MAX_SECONDS = _gauge("kafka_consumergroup_group_max_lag_seconds", "The highest iterator age of a group.", NAMED)
SUM_LAG = _gauge("kafka_consumergroup_group_sum_lag", "Records behind in all shards of a group.", NAMED)
TOPIC_SUM_LAG = _gauge(
    "kafka_consumergroup_group_topic_sum_lag", "Records behind in all shards of a topic.", (*NAMED, "topic")
)
STATE = _gauge("kafka_consumergroup_group_state", "1 for the state that the group is in.", (*NAMED, "state"))

MEASURED = _gauge(
    "shardlake_iterator_age_measured_seconds",
    "Iterator age by the time of the record itself, which was read: its arrival, where the topic is so configured.",
    SHARD,
)
MEASURED_AGE = _gauge(
    "shardlake_iterator_age_measured_age_seconds", "How long ago that held: 0 if it is so now.", SHARD
)
INTERPOLATED = _gauge(
    "shardlake_iterator_age_interpolated_seconds",
    "Iterator age by the end offsets of samples around its arrival.",
    SHARD,
)
INTERPOLATED_AGE = _gauge(
    "shardlake_iterator_age_interpolated_age_seconds", "How long ago the newest sample was taken.", SHARD
)
DIFFERENCE = _gauge(
    "shardlake_iterator_age_difference_seconds", "Interpolated less measured, where both are of the same record.", SHARD
)
DRAIN = _gauge(
    "shardlake_time_to_drain_seconds",
    "Until nothing waits, at the rates of the last minute; +Inf where the lag does not get less.",
    SHARD,
)
HELD_BACK = _gauge(
    "shardlake_held_back_records",
    "Offsets behind an open transaction, which the group may not read yet and which are no part of its lag; only where "
    "there are some.",
    SHARD,
)
OPEN_SECONDS = _gauge(
    "shardlake_open_transaction_seconds", "How long the transaction has been open that holds records back.", SHARD
)
RETENTION_RISK = _gauge(
    "shardlake_retention_risk_ratio", "Iterator age / the topic's retention time: at 1 records go unread.", SHARD
)
STATUS = _gauge("shardlake_shard_status", "1 for the status that the shard has: docs/use.md.", (*SHARD, "status"))
HOT = _gauge(
    "shardlake_hot_shard_ratio", "Lag of a hot shard / mean lag of the topic's others; only where one is hot.", SHARD
)
