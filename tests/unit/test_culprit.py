"""Whose fault a failure is: the job that is named must be the one without which the others go on."""

from __future__ import annotations

import pytest

from shardlake.flink.culprit import culprit, job_of
from shardlake.flink.failure import Failure

pytestmark = pytest.mark.unit

JOBS = ("archive", "error_alerts", "service_health", "sessions")
BY_NULL = "org.apache.flink.table.api.TableRuntimeException: Column 'coupons' is NOT NULL"
BY_KEY = "KeyError: 'host-2'"


@pytest.mark.parametrize(
    ("cause", "modules", "served", "expected"),
    [
        # The code of a job, which runs in one task with what others need.
        (BY_KEY, ("sessions",), JOBS, "sessions"),
        (BY_KEY, ("sessions",), (), "sessions"),
        # The code of a job that another job uses: the task that failed is the other's.
        (BY_KEY, ("service_health", "error_alerts"), ("error_alerts",), "error_alerts"),
        (BY_KEY, ("service_health",), ("error_alerts",), "error_alerts"),
        # Code that no running job has.
        (BY_KEY, ("another",), ("sessions",), "sessions"),
        (BY_KEY, ("another",), ("archive", "sessions"), None),
        (BY_KEY, ("another",), (), None),
        # A value, in the task of one job, of two, of none that is known.
        (BY_NULL, (), ("sessions",), "sessions"),
        ("java.lang.ArithmeticException: / by zero", (), ("error_alerts",), "error_alerts"),
        (BY_NULL, (), ("sessions", "service_health"), None),
        (BY_NULL, (), (), None),
        # Servers and the machine: nobody is left out for these.
        ("org.apache.kafka.common.errors.TimeoutException: Topic alerts not present", (), ("error_alerts",), None),
        ("java.io.IOException: No space left on device", (), ("sessions",), None),
        ("java.lang.NullPointerException", (), ("sessions",), None),
        ("ConnectionRefusedError: [Errno 111] Connection refused", ("sessions",), ("sessions",), None),
        ("requests.exceptions.ConnectTimeout: a service", ("sessions",), ("sessions",), None),
        ("urllib3.exceptions.MaxRetryError: HTTPConnectionPool", ("sessions",), ("sessions",), None),
        ("MemoryError", ("sessions",), ("sessions",), None),
    ],
)
def test_a_failure_is_of_the_job_whose_code_or_data_raised_it(
    cause: str, modules: tuple[str, ...], served: tuple[str, ...], expected: str | None
) -> None:
    assert job_of(Failure(cause, "", (), modules), JOBS, served) == expected


def test_three_failures_in_a_row_of_one_job_are_no_accident() -> None:
    of_sessions = Failure(BY_KEY, "", (), ("sessions",))
    at_another = Failure("KeyError: 'host-3'", "", (), ("sessions",))
    by_server = Failure("java.net.ConnectException: Connection refused", "", ())
    of_alerts = Failure(BY_KEY, "", (), ("error_alerts",))

    def found(*failures: Failure) -> str | None:
        return culprit(failures, JOBS, lambda _: JOBS)

    assert found(of_sessions, at_another, of_sessions) == "sessions"
    assert found(of_sessions, of_sessions, of_sessions, by_server) == "sessions"
    assert found(of_sessions, of_sessions) is None
    assert found(of_sessions, by_server, of_sessions) is None
    assert found(of_sessions, of_alerts, of_sessions) is None
    assert found() is None
