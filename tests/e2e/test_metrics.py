"""What Flink, consumers and producers tell Prometheus, against what the broker says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from shardlake.testing.stack import RunningStack, running_stack
from tests.support import Topic, copy_pipeline, event, scrape, wait_for

pytestmark = pytest.mark.e2e

EVENTS = 2_000
RECORDS_IN = "flink_taskmanager_job_task_operator_numRecordsIn"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A stack with some events and a record that is none, in two partitions."""
    folder = copy_pipeline(tmp_path_factory.mktemp("pipeline"), partitions=2)
    with running_stack(folder, tmp_path_factory.mktemp("state")) as stack:
        Topic(stack).send_events([event(number) for number in range(EVENTS)])
        Topic(stack).send([b"not an event"], [b"any"])
        yield stack


def test_flink_tells_of_the_running_job_also_after_a_task_manager_was_killed(told: RunningStack) -> None:
    ports = told.stack.ports
    told.shardlake("jobs", "run", "archive")

    def read() -> bool:
        by_operator: Counter[str] = Counter()
        for labels, value in scrape(ports.flink_taskmanager_metrics).get(RECORDS_IN, {}).items():
            by_operator[dict(labels)["operator_id"]] += int(value)
        return max(by_operator.values(), default=0) == EVENTS + 1

    wait_for(read, 60, "metrics of the job's operators")
    (running,) = scrape(ports.flink_jobmanager_metrics)["flink_jobmanager_numRunningJobs"].values()
    assert running == 1
    told.stack.restart("taskmanager")
    wait_for(lambda: scrape(ports.flink_taskmanager_metrics), 30, "metrics of the new task manager")
