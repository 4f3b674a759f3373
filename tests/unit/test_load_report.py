"""What a report says, and what it does not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from shardlake.cli.load import show
from shardlake.errors import BadInput
from shardlake.load.document import facts, milliseconds, number
from shardlake.load.page import html
from shardlake.load.report import PAGE_FILE, SUMMARY_FILE, write_capacity, write_report
from shardlake.load.result import SAMPLES_FILE, Act, Result, Sample
from shardlake.load.run_report import of_run
from shardlake.load.scalability import grown
from shardlake.load.summary import markdown, text
from shardlake.load.verdict import judgements, verified
from tests.unit.load_case import a_capacity, a_latency, a_result, a_slope, keep, some_capacities, some_samples

pytestmark = pytest.mark.unit

NASTY = "<script>alert('1')</script> & \"x\" |*_`$\\frac$"
VOID_ELEMENTS = ("meta", "use", "path", "rect", "circle")
MOST_BYTES = 2_000_000


class Page(HTMLParser):
    """Its text, tags and attributes; tags that are not closed in order are an error."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.struck: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID_ELEMENTS or tag == "path":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID_ELEMENTS or tag == "path":
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data
        if self.open[-1:] == ["s"]:
            self.struck.append(data)


def test_on_the_terminal_a_latency_of_nothing_is_no_zero(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    latencies = {"acknowledged": a_latency([1500], unknown=5), "window result": a_latency([], unknown=45)}
    show(replace(a_result(), void="", latencies=latencies), tmp_path)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["window", "result", "0", "45", *["-"] * 5] in rows
    assert ["acknowledged", "1", "5", *["1.5"] * 5] in rows


def told(result: Result, samples: Sequence[Sample] = ()) -> tuple[Page, str]:
    """The page without plots, and the summary."""
    document = of_run(result, samples)
    return Page(html(document, {})), markdown(document)


def written(folder: Path, result: Result, samples: Sequence[Sample]) -> tuple[Page, str]:
    write_report(keep(folder, result, samples))
    return Page((folder / PAGE_FILE).read_text()), (folder / SUMMARY_FILE).read_text()


def test_a_page_asks_nothing_of_anywhere_and_names_each_of_its_parts_once(tmp_path: Path) -> None:
    page, _ = written(tmp_path, a_result(settings={"registry": "http://127.0.0.1:8081"}), some_samples())

    assert "http://127.0.0.1:8081" in page.text
    assert {"script", "link", "img", "iframe", "a", "object"}.isdisjoint(page.tags)
    leads = [value for name, value in page.attributes if name in ("href", "src", "xlink:href", "action", "xmlns")]
    assert leads
    assert all(value.startswith("#") for value in leads)
    assert not [value for _, value in page.attributes if "http" in value]
    assert page.tags.count("svg") == 5

    names = [value for name, value in page.attributes if name == "id"]
    assert len(names) == len(set(names))
    used = {value[1:] for name, value in page.attributes if name == "href"}
    used |= {value[5:-1] for name, value in page.attributes if name == "clip-path"}
    assert used <= set(names)


def test_what_anybody_named_is_text_wherever_it_stands(tmp_path: Path) -> None:
    samples = [
        Sample(at_seconds=float(at), sent=5, lag={NASTY: {NASTY: 4, "_b": 5}}, cpu_seconds={NASTY: 1.0},
               memory_mb={NASTY: 2.0})
        for at in range(1, 9)
    ]  # fmt: skip
    result = a_result(
        command=f"load {NASTY}", settings={NASTY: {NASTY: NASTY}}, versions={NASTY: NASTY}, machine={NASTY: [NASTY]},
        lag=[a_slope(NASTY)], latencies={NASTY: a_latency([1000, 2000], NASTY)}, partial=NASTY, verified=NASTY,
        acts=[Act(at_seconds=1.0, name=NASTY, said=NASTY)], anomalies={NASTY: 1},
    )  # fmt: skip
    page, summary = written(tmp_path, result, samples)

    assert "script" not in page.tags
    assert page.text.count(NASTY) > 15
    assert "_b" in page.text
    assert "<script>" not in summary.replace("\\<script\\>", "").replace(result.command, "")
    rows = [line.replace("\\|", "") for line in summary.splitlines() if line.startswith("| ")]
    assert {row.count("|") for row in rows} <= {3, 4, 5, 6, 8, 10}
    assert max(len(line) for line in summary.splitlines() if "alert" in line) < 600


def test_the_verdict_comes_first() -> None:
    page, summary = told(a_result())

    title = "Schedule kept, lag holds, verify: holds — load of 2,000 events a second for 120 s"
    assert page.text.strip().startswith(title)
    assert summary.startswith(f"# {title}\n\n- good: schedule kept\n- good: lag holds\n- good: verify: holds\n")
    assert not [value for name, value in page.attributes if name == "class" and "banner" in value]


def test_a_summary_has_the_figures_settings_and_the_exact_command() -> None:
    result = a_result(latencies={"consumed": a_latency([1_500] * 98 + [40_000, 90_000], "the end of the call", 3)})
    _, summary = told(result)

    assert "| consumed | 100 | 3 | 1.50 | 1.50 | 40.0 | 90.0 | 90.0 | the end of the call |" in summary
    assert "| traffic | 3.20 | -0.90 to 7.30 | 0.16 % | 420 | 910 | holds |" in summary
    assert "| consumers | 2 | 15.0 | 56.0 | 500 |" in summary
    assert "| traffic | 180,000 | 21.5 |" in summary
    assert "| 2 | 80.0 | restart_broker (down 1) | answers again after 2.1 s |" in summary
    assert "| scenario.rate | 2000 |" in summary
    assert "| load.before | 0.41 |" in summary
    assert "| kafka | 4.4.0 |" in summary
    assert f"```\n{result.command}\n```" in summary
    assert "| unknown | 2 |" in summary


@pytest.mark.parametrize("is_said", [True, False])
def test_a_void_run_has_its_latencies_struck_out_and_says_why(is_said: bool) -> None:
    whole = a_result()
    assert whole.schedule
    why = "1,711 of 2,000 events a second were sent."
    late = replace(whole.schedule, kept=False, why=why)
    result = replace(whole, void=why[:-1]) if is_said else replace(whole, schedule=late)
    page, summary = told(result)

    said = f"The latencies of this run are void: {why}"
    p99 = milliseconds(result.latencies["consumed"].p99_ms)
    assert said in page.text
    assert f"> **Void.** {said}" in summary
    assert p99 in page.struck
    assert f"~~{p99}~~" in summary
    assert summary.startswith("# Void: schedule")
    # That the schedule slipped is no latency: it counts.
    assert milliseconds(late.slip.p99_ms) not in page.struck
    assert not told(whole)[0].struck


def test_a_partial_run_says_so_before_its_figures() -> None:
    page, summary = told(a_result(partial="it was interrupted after 71 s"), some_samples(71))

    said = "This run is not whole: it was interrupted after 71 s."
    assert page.text.index(said) < page.text.index("Load offered")
    assert summary.index(said) < summary.index("## Load offered")
    assert summary.startswith("# Partial: schedule kept")


def test_a_run_that_knows_nothing_is_reported_all_the_same(tmp_path: Path) -> None:
    bare = Result(command="shardlake load", began="", seconds=0.0, warm_up_seconds=0.0, partial="no broker")
    write_report(keep(tmp_path, bare))
    (tmp_path / SAMPLES_FILE).unlink()
    write_report(tmp_path)

    page = Page((tmp_path / PAGE_FILE).read_text())
    assert "schedule unknown" in page.text
    assert "There are none." in page.text
    assert "svg" not in page.tags


def test_latencies_without_values_have_no_percentiles() -> None:
    nothing = replace(a_latency([], "nothing came", unknown=9), p50_ms=float("nan"))
    _, summary = told(a_result(latencies={"consumed": nothing}))

    assert "| consumed | 0 | 9 | - | - | - | - | - | nothing came |" in summary


def test_raw_samples_are_in_the_page() -> None:
    samples = [
        Sample(at_seconds=1.004, sent=10, lag={"g": {"t-0": 3}}, cpu_seconds={"kafka": 0.25}, memory_mb={}),
        Sample(at_seconds=2.0, sent=11, lag={"g": {"t-0": 4, "t-1": 5}}, cpu_seconds={}, memory_mb={"kafka": 512.04}),
    ]
    page, _ = told(a_result(), samples)

    assert "seconds,sent,lag g t-0,lag g t-1,cpu kafka,memory kafka\n1,10,3,,0.25,\n2,11,4,5,,512\n" in f"{page.text}\n"
    assert "Here are all 2" in page.text


def test_an_hour_of_many_shards_is_thinned_out_and_says_so(tmp_path: Path) -> None:
    samples = some_samples(3600, ("archive", "traffic"), 48)
    page, _ = written(tmp_path, a_result(seconds=3600.0), samples)

    assert (tmp_path / PAGE_FILE).stat().st_size < MOST_BYTES
    assert "3,600 seconds were sampled; samples.jsonl has them, line by line." in page.text
    assert "Here is one in 3 of the 3,600" in page.text
    raw = page.text[page.text.index("seconds,sent,") :].split()
    assert [line.partition(",")[0] for line in raw if line[0].isdigit() and line.count(",") > 99] == [
        str(at) for at in range(1, 3601, 3)
    ]
    assert "Each point is the highest of" in page.text


@pytest.mark.parametrize(
    ("conclusions", "expected"),
    [
        (["holds", "holds"], ("lag holds", "good")),
        (["holds", "undecided"], ("lag is undecided: g1", "unsure")),
        (["undecided", "grows"], ("lag grows: g1", "bad")),
        ([], ("lag unknown", "unsure")),
    ],
)
def test_lag_is_judged_by_the_worst_group(conclusions: list[str], expected: tuple[str, str]) -> None:
    slopes = [a_slope(f"g{place}", conclusion) for place, conclusion in enumerate(conclusions)]
    judgement = judgements(a_result(lag=slopes))[1]

    assert (str(judgement), judgement.state) == expected


@pytest.mark.parametrize(
    ("conclusions", "said", "state"),
    [
        (["holds", "holds"], "holds", "good"),
        (["holds", "inconclusive"], "inconclusive", "unsure"),
        (["violated", "holds", "not checked"], "violated", "bad"),
        ([], "not checked", "unsure"),
    ],
)
def test_the_worst_conclusion_of_verify_counts(conclusions: list[str], said: str, state: str) -> None:
    assert (verified(conclusions).said, verified(conclusions).state) == (said, state)


def test_scalability_is_beside_the_smallest_count_of_the_same_name() -> None:
    found = grown([a_capacity(4, 6300.0), a_capacity(2, 4200.0), a_capacity(1, 9.0, kind="jobs")])

    line = found["consumers", "traffic"]
    assert [(one.capacity.count, one.times, one.ideal, one.share) for one in line] == [
        (2, 1.0, 4200.0, 1.0),
        (4, 1.5, 8400.0, 0.75),
    ]
    assert [one.share for one in found["jobs", "traffic"]] == [1.0]
    nothing_holds = grown([a_capacity(1, 0.0), a_capacity(2, 50.0)])["consumers", "traffic"]
    assert [number(one.share) for one in nothing_holds] == ["-", "-"]


def test_a_search_is_reported_with_each_probe(tmp_path: Path) -> None:
    some_capacities().write(tmp_path)
    write_capacity(tmp_path)

    page, summary = Page((tmp_path / PAGE_FILE).read_text()), (tmp_path / SUMMARY_FILE).read_text()
    assert summary.startswith("# Rates: all confirmed; verify: holds — capacity of ")
    assert "| consumers | traffic | 4 | 6,300 | 6,300 | 6,615 | 3.00 | 75 % | 5 of 5 | 180.0 | lag | holds |" in summary
    assert "| 2 | 6,615 | 6,615 | 1.10 | 61.25 | 55.50 to 67.00 | 2.91 % | grows |" in summary
    assert "| 3 | 12,600 | 8,820 | 812.0 | - | - | - | not offered |" in summary
    assert page.tags.count("svg") == 1
    assert page.tags.count("details") == 9
    assert all(value.startswith("#") for name, value in page.attributes if name == "href")


def test_a_search_that_is_not_whole_or_not_confirmed_says_so(tmp_path: Path) -> None:
    some = [a_capacity(1, 10.0, confirmed=3), a_capacity(2, 20.0, bounds=(20.0, float("inf")), verified="violated")]
    some_capacities(partial="it was interrupted", found=some).write(tmp_path)
    write_capacity(tmp_path)

    summary = (tmp_path / SUMMARY_FILE).read_text()
    assert summary.startswith("# Partial: rates: 1 of 2 not confirmed by all repeats; verify: violated")
    assert "> **Partial.** This search is not whole: it was interrupted." in summary
    assert "| consumers | traffic | 2 | 20.0 | 20.0 | - |" in summary
    some_capacities(found=[]).write(tmp_path)
    write_capacity(tmp_path)
    assert "No rate was found." in (tmp_path / SUMMARY_FILE).read_text()


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    for write in (write_report, write_capacity):
        with pytest.raises(BadInput, match="holds no"):
            write(tmp_path)


def test_facts_are_flat_and_lists_are_one() -> None:
    found = facts("Settings", {"a": {"b": {"c": 1.5}, "none": None}, "list": ["ä", 2], "empty": {}})

    assert found.tables[0].rows == (("a.b.c", "1.5"), ("a.none", "null"), ("list", '["ä", 2]'), ("empty", "{}"))


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.004, "0.00"), (9.994, "9.99"), (12.34, "12.3"), (12_345.6, "12,346"), (float("nan"), "-")],
)
def test_milliseconds_have_some_three_digits(value: float, shown: str) -> None:
    assert milliseconds(value) == shown


def test_a_number_that_rounds_to_nothing_has_no_sign() -> None:
    assert [number(-0.001, 2), number(-0.01, 2), number(None)] == ["0.00", "-0.01", "-"]


def test_markdown_shows_just_these_characters() -> None:
    assert text("a_b _c_ x|y\n<b> `&amp;`") == "a_b \\_c\\_ x\\|y \\<b\\> \\`&amp;amp;\\`"


def test_what_draws_is_loaded_only_to_write() -> None:
    program = (
        "import sys; import shardlake.cli.main, shardlake.load.report, shardlake.load.compare, "
        "shardlake.load.comparison_report, shardlake.cli.load_tables; "
        "sys.exit(any(name in sys.modules for name in ('matplotlib', 'hdrh')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
