"""SQL that anybody may have written reads the tables that it is given, and does nothing else.

DuckDB takes a COPY or an INSERT within the WITH of a SELECT, runs SQL that is handed to it as text, reads any file, and
fetches extensions. So the query's own tree is looked at first; then DuckDB plans it without any file, and runs it with
those of the tables alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import duckdb

from shardlake.errors import BadInput
from shardlake.lake.sql import quoted

CONFIG: dict[str, Any] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "allow_persistent_secrets": False,
}
"""Nothing is fetched or loaded, and the user's own secrets are left alone."""
NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
"""Parts of a tree that are queries. Others write."""
ROWS_OF = frozenset(
    {
        *("range", "generate_series", "unnest", "repeat", "repeat_row", "json_each", "json_tree"),
        *("duckdb_functions", "duckdb_keywords", "duckdb_types", "icu_calendar_names", "pg_timezone_names"),
    }
)
"""Functions in FROM that neither read files nor run SQL nor change a setting."""
ONE_SELECT = "Only one SELECT is run: the lake is written by the jobs alone."


def check(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Raises BadInput where it is not one query, or calls for rows of anything but tables and known functions."""
    try:
        sql.encode()
    except UnicodeEncodeError as error:  # an argument of the command line that is not UTF-8
        msg = f"The query is no text: its character {error.start + 1} is a byte that is not UTF-8."
        raise BadInput(msg, "Write it in UTF-8.") from None
    statements = connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise BadInput(ONE_SELECT)
    try:
        (told,) = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [statements[0].query]).fetchall()[0]
        tree = json.loads(told)
    except RecursionError:
        raise BadInput("The query is nested too deeply.") from None
    if tree["error"]:
        raise BadInput(f"The query cannot be looked at: {tree['error_message']}", ONE_SELECT)
    for part in _parts(tree["statements"]):
        kind = str(part.get("type"))
        if kind.endswith("_NODE") and kind not in NODES:
            raise BadInput(ONE_SELECT)
        if kind == "TABLE_FUNCTION" and (name := str(part["function"]["function_name"]).lower()) not in ROWS_OF:
            msg = f"A query reads the lake's tables alone, and this one calls {name!r} in its FROM."
            raise BadInput(msg, f"There it may call: {', '.join(sorted(ROWS_OF))}.")


def close(connection: duckdb.DuckDBPyConnection, files: Iterable[str] = (), spill: str = "") -> None:
    """From now on it opens these files, writes what memory does not hold into the folder `spill`, changes no setting,
    and takes no variable of this program for a table."""
    listed = ", ".join(map(quoted, files))
    for setting in (
        f"temp_directory = {quoted(spill)}",
        f"allowed_paths = [{listed}]",
        "python_enable_replacements = false",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        connection.execute(f"SET {setting}")


def _parts(tree: Any) -> Iterator[dict[str, Any]]:
    left = [tree]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            yield one
            left += one.values()
        elif isinstance(one, list):
            left += one
