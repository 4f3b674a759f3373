"""`shardlake load`: load on a schedule that does not wait, and the verdict; two runs side by side."""

from __future__ import annotations

import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shardlake import compose
from shardlake.cli.output import add_row, err, new_table, out, print_json
from shardlake.cli.stack import PortBase
from shardlake.errors import BadInput, ShardlakeError
from shardlake.folders import DEFAULT_PORT_BASE, state_folder
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings

if TYPE_CHECKING:
    from shardlake.load.result import Capacities, Result

app = typer.Typer(help="Load on a schedule that does not wait, and the verdict.")


@app.callback(invoke_without_command=True)
def load(
    ctx: typer.Context,
    rate: Annotated[float | None, typer.Option(min=0.001, help="Events a second.")] = None,
    duration: Annotated[float | None, typer.Option(min=1, help="Seconds. Default: 120.")] = None,
    scenario: Annotated[Path | None, typer.Option(help="What happens meanwhile, as YAML: docs/load.md.")] = None,
    report: Annotated[Path | None, typer.Option(help="A new folder for the report and what it is made of.")] = None,
    warm_up: Annotated[
        float | None, typer.Option(min=0, help="Seconds that no figure counts. Default: a quarter, 60 at most.")
    ] = None,
    producers: Annotated[int | None, typer.Option(min=1, max=64, help="Processes that send. Default: 1.")] = None,
    consumer: Annotated[str | None, typer.Option(help="A file of consumers/. Default: the only one.")] = None,
    workers: Annotated[int | None, typer.Option(min=0, max=64, help="Of the consumer; 0: none. Default: 1.")] = None,
    jobs: Annotated[bool | None, typer.Option(help="Whether the Flink application runs. Default: it does.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="The same seed sends the same events.")] = None,
    find_max: Annotated[
        bool, typer.Option("--find-max", help="Search for the highest rate that holds, on fresh stacks.")
    ] = False,
    only: Annotated[
        list[str] | None, typer.Option(help="--find-max for consumers, jobs or producers alone; consumers=1,4.")
    ] = None,
    port_base: PortBase = DEFAULT_PORT_BASE,
    json: Annotated[bool, typer.Option("--json", help="The result as JSON.")] = False,
) -> None:
    """Offer load to the running stack, measure from the intended times, and verify. Exit code 0 only if the schedule
    was kept, lag holds and nothing was lost."""
    if ctx.invoked_subcommand:
        return
    from shardlake.load.folder import new_report
    from shardlake.load.scenario_file import make_scenario, read_scenario

    compose.refuse("shardlake --stack local load")
    given = {
        "rate": rate, "duration": duration, "warm_up": warm_up, "producers": producers, "consumer": consumer,
        "workers": workers, "jobs": jobs, "seed": seed,
    }  # fmt: skip
    chosen = {name: value for name, value in given.items() if value is not None}
    if find_max:
        _find_max(ctx.obj.pipeline, scenario, chosen, only or [], report, port_base, as_json=json)
        return
    plan = read_scenario(scenario, chosen) if scenario else make_scenario(**chosen)
    folder = new_report(report)
    result = _run(ctx.obj.pipeline, plan, folder)
    if json:
        print_json({"report": str(folder), **result.as_json()})
    else:
        show(result, folder)
    conclude(result, folder)


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="A run's folder, or one of several runs.")],
    b: Annotated[Path, typer.Argument(help="The same, of what is compared with it.")],
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Two runs side by side: ratios, and whether they are more than what A's own runs differ by."""
    from shardlake.cli.load_tables import comparison_table, differences_table
    from shardlake.load import compare as comparing
    from shardlake.load.comparison_report import as_json, differences, words

    found = comparing.compare(a, b)
    if json:
        print_json(as_json(found))
        return
    out.print(comparison_table(found))
    if differences(found):
        out.print(differences_table(found))
    for line in words(found):
        out.print(line)


def _run(pipeline_folder: Path, plan: Any, folder: Path) -> Result:
    from shardlake.load.folder import leave
    from shardlake.load.report import write_report
    from shardlake.load.run import run
    from shardlake.load.servers import Servers
    from shardlake.load.target import Target

    pipeline, settings, state = Pipeline.load(pipeline_folder), Settings.read(), state_folder()
    try:
        target = Target(
            pipeline=pipeline,
            settings=settings,
            commands=_commands(pipeline, settings, state),
            servers=Servers.of(state, settings),
        )
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        err.print(f"{plan.rate:,.0f} events a second for {plan.duration:g} s; the report goes to {folder}")
        result = run(target, plan, folder, _command_line(), err.print)
    except BaseException:
        leave(folder)
        raise
    write_report(folder)
    return result


def _find_max(
    pipeline_folder: Path,
    scenario: Path | None,
    given: dict[str, Any],
    only: list[str],
    report: Path | None,
    port_base: int,
    *,
    as_json: bool,
) -> None:
    from shardlake.cli.setup import installed
    from shardlake.load.closing import HOLDS
    from shardlake.load.find_max import DEFAULTS, Configuration, find_max
    from shardlake.load.folder import leave, new_report
    from shardlake.load.report import write_capacity
    from shardlake.load.scenario_file import make_scenario, read_scenario

    if wrong := given.keys() - {"rate", "consumer", "seed"}:
        msg = f"--{min(wrong)} says what a search tries by itself."
        raise BadInput(msg, "With --find-max leave it out; --only consumers=1,2 says which counts are tried.")
    configurations = Configuration.read(only)
    base = read_scenario(scenario, given, DEFAULTS) if scenario else make_scenario(**{**DEFAULTS, **given})
    folder = new_report(report)
    installed()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        found = find_max(
            Pipeline.load(pipeline_folder), base, configurations, folder, port_base, _command_line(),
            err.print,
        )  # fmt: skip
    except BaseException:
        leave(folder)
        raise
    write_capacity(folder)
    if as_json:
        print_json({"report": str(folder), **found.as_json()})
    else:
        show_capacities(found, folder)
    if found.partial.startswith("interrupted"):
        err.print(f"{found.partial}; what was found until then is in {folder}, marked as partial")
        sys.exit(130)
    if found.partial:
        raise ShardlakeError(f"The search ended early. {found.partial}", f"What was found before is in {folder}.")
    lost = [f"{one.kind} {one.count}: {one.verified}" for one in found.found if one.verified != HOLDS]
    if lost:
        raise ShardlakeError(f"`verify` does not hold everywhere: {', '.join(lost)}.", f"See {folder}.")


def _command_line() -> str:
    return shlex.join(["shardlake", *sys.argv[1:]])


def show_capacities(found: Capacities, folder: Path) -> None:
    """A row for each configuration."""
    table = new_table(
        "", "count", "holds up to", "does not hold at", "limit", "held again", "µs an event", "", right=slice(1, 4)
    )
    for one in found.found:
        above = f"{one.bounds[1]:,.0f}/s" if one.bounds[1] else ""
        name = one.kind if one.name == one.kind else f"{one.kind} ({one.name})"
        rates = (f"{one.rate:,.0f}/s", above, one.limit)
        again = (f"{one.confirmed} of {one.repeats}", f"{one.cpu_us_per_event:.1f}", one.verified)
        add_row(table, name, str(one.count), *rates, *again)
    out.print(table)
    out.print(f"report: {folder / 'report.html'}", soft_wrap=True)


def _commands(pipeline: Pipeline, settings: Settings, state: Path) -> Any:
    from shardlake.commands import Commands

    logs = state / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    return Commands(pipeline, settings, state, logs)


def show(result: Result, folder: Path) -> None:
    """The figures as tables that line up."""
    from shardlake.load.document import UNKNOWN

    columns = ("from the intended time to", "events", "unknown", "p50 ms", "p90", "p99", "p99.9", "max")
    table = new_table(*columns, right=slice(1, None))
    rows = {} if result.void else result.latencies
    if result.schedule:
        rows = {"offered (slip)": result.schedule.slip, **rows}
    for name, one in rows.items():
        values = (one.p50_ms, one.p90_ms, one.p99_ms, one.p999_ms, one.max_ms)
        shown = [f"{ms:,.1f}" if one.count else UNKNOWN for ms in values]
        add_row(table, name, f"{one.count:,}", f"{one.unknown:,}", *shown)
    out.print(table)
    lags = new_table("lag of", "grows by", "95 % bounds", "of the rate", "mean", "highest", "")
    for slope in result.lag:
        bounds = f"{slope.low:,.0f} to {slope.high:,.0f}"
        add_row(
            lags, slope.group, f"{slope.records_per_second:,.1f}/s", bounds, f"{slope.share:.2%}",
            f"{slope.mean_lag:,.0f}", f"{slope.max_lag:,.0f}", slope.conclusion,
        )  # fmt: skip
    if result.lag:
        out.print(lags)
    usage = new_table("role", "CPU s", "µs an event", "most MB", right=slice(1, None))
    for role in result.usage:
        cost = (f"{role.cpu_seconds:.1f}", f"{role.cpu_us_per_event:.2f}", f"{role.max_memory_mb:,.0f}")
        add_row(usage, role.role, *cost)
    out.print(usage)
    out.print(f"{result.events:,} events, {result.acknowledged:,} acknowledged; verify: {result.verified}")
    out.print(f"report: {folder / 'report.html'}", soft_wrap=True)


def conclude(result: Result, folder: Path) -> None:
    """Exit code 0 only where all holds; 130 where it was interrupted."""
    from shardlake.load.problems import problems

    found = problems(result)
    if result.partial.startswith("interrupted"):
        err.print(f"{result.partial}; what is known until then is in {folder}, marked as partial")
        sys.exit(130)
    if found:
        raise ShardlakeError(" ".join(found), f"The report tells more: {folder / 'report.html'}.")
