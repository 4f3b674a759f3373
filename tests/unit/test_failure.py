"""Flink's account of an exception, in one line that names the cause and whose it is."""

from __future__ import annotations

import pytest

from shardlake.flink.failure import Failure, cause_of

pytestmark = pytest.mark.unit

FOLDERS = ("flink_jobs", "producers")
PYTHON = """java.lang.Exception: Could not perform checkpoint 4 for operator Source: KafkaSource (1/2)#3.
\tat org.apache.flink.streaming.runtime.tasks.StreamTask.triggerCheckpointAsyncInMailbox(StreamTask.java:1378)
Caused by: java.lang.RuntimeException: Error received from SDK harness: Traceback (most recent call last):
  File "/usr/lib/python3.11/site-packages/pyflink/fn_execution/table/operations.py", line 114, in process_element
    return self.func(value)
           ^^^^^^^^^^^^^^^^
  File "<string>", line 1, in <lambda>
  File "/pipeline/flink_jobs/risk.py", line 6, in coupon_length
    return float(len(coupon))
                 ^^^^^^^^^^^
TypeError: object of type 'NoneType' has no len()

\tat java.base/java.util.concurrent.CompletableFuture.reportGet(Unknown Source)
\t... 7 more
"""
JAVA = """org.apache.flink.util.FlinkException: Global failure
\tat org.apache.flink.runtime.Task.run(Task.java:579)
Caused by: org.apache.flink.table.api.TableRuntimeException: Column 'coupons' is NOT NULL
\tat org.apache.flink.table.runtime.operators.sink.constraint.Enforcer.process(Enforcer.java:10)
\t... 3 more
"""
TASK = (
    "Source: KafkaSource-default_catalog.decoded.orders -> closed-until -> (Calc[2] -> PythonCalc[3] -> "
    "risk[4]: Writer -> risk[4]: Committer, Calc[6] -> orders.dlq[7]: Writer -> orders.dlq[7]: Committer) (1/2)"
)


def test_an_exception_of_a_python_function_is_named_with_the_line_of_the_pipeline() -> None:
    found = Failure.of({"stacktrace": PYTHON, "taskName": TASK}, FOLDERS)
    assert str(found) == "TypeError: object of type 'NoneType' has no len() (flink_jobs/risk.py, line 6)"
    assert found.behind == ("risk", "orders.dlq")


def test_any_other_exception_is_named_with_what_the_task_writes() -> None:
    found = Failure.of(
        {"stacktrace": JAVA, "taskName": "Window[1] -> strict[2]: Writer -> strict[2]: Committer"}, FOLDERS
    )
    cause = "org.apache.flink.table.api.TableRuntimeException: Column 'coupons' is NOT NULL"
    assert str(found) == f"{cause} (in the task that writes strict)"
    assert str(Failure.of({"stacktrace": JAVA, "taskName": None}, FOLDERS)) == cause


@pytest.mark.parametrize(("completed_ms", "is_failing"), [(None, True), (7, True), (8, False), (9, False)])
def test_a_failure_counts_until_a_checkpoint_has_followed(completed_ms: int | None, is_failing: bool) -> None:
    entries = [{"timestamp": 4, "stacktrace": "older"}, {"timestamp": 8, "stacktrace": "a.b.Error: newest"}]
    latest = {"completed": None if completed_ms is None else {"latest_ack_timestamp": completed_ms}}
    found = Failure.since_checkpoint({"exceptionHistory": {"entries": entries}}, {"latest": latest}, FOLDERS)
    assert (str(found) if found else None) == ("a.b.Error: newest" if is_failing else None)


def test_a_job_that_has_never_failed_has_no_failure() -> None:
    assert Failure.since_checkpoint({}, {"latest": None}, FOLDERS) is None
    assert Failure.newest({"exceptionHistory": {"entries": []}}, FOLDERS) is None


@pytest.mark.parametrize(
    ("stacktrace", "cause"),
    [
        ("", ""),
        ("java.lang.Error: one\n\tat a.b(c.java)", "java.lang.Error: one"),
        ("x\nCaused by: y: " + "z" * 1000, "y: " + "z" * 497),
        (
            'Error: Traceback (most recent call last):\n  File "a", line 1\n',
            "Error: Traceback (most recent call last):",
        ),
    ],
)
def test_a_cause_is_the_innermost_line(stacktrace: str, cause: str) -> None:
    assert cause_of(stacktrace) == cause
