"""A report as HTML: one file that asks nothing of anywhere, for light and dark, without a script."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

from shardlake.load.document import Document, Section, Table
from shardlake.load.palette import css

if TYPE_CHECKING:
    from shardlake.load.drawing import Plot

STYLE = """
body{margin:0 auto;max-width:64rem;padding:1.5rem 1.25rem 4rem;background:var(--surface);color:var(--ink);
font:15px/1.5 system-ui,sans-serif}
h1{font-size:1.35rem;line-height:1.3;margin:0 0 .75rem}
h2{font-size:1.05rem;margin:2.25rem 0 .5rem}
p{margin:.4rem 0;color:var(--quiet);max-width:50rem}
.judgements{display:flex;flex-wrap:wrap;gap:.5rem;margin:.75rem 0}
.judgement{border:1px solid var(--axis);border-radius:1rem;padding:.1rem .75rem}
.judgement::before{content:"";display:inline-block;width:.6rem;height:.6rem;margin-right:.5rem;border-radius:50%;
background:var(--unsure)}
.judgement.good::before{background:var(--good)}
.judgement.bad::before{background:var(--bad)}
.banner{border-left:.3rem solid var(--bad);background:var(--grid);color:var(--ink);padding:.6rem .9rem;margin:.75rem 0}
.table{overflow-x:auto;margin:.75rem 0}
table{border-collapse:collapse;font-size:.88rem}
th,td{padding:.25rem .75rem .25rem 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--grid)}
th{color:var(--quiet);font-weight:600;vertical-align:bottom}
td{overflow-wrap:break-word;max-width:34rem}
.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
th.number{white-space:normal}
figure{margin:1rem 0}
figcaption{font-size:.85rem;color:var(--quiet)}
svg{display:block;width:100%;height:auto}
svg *{stroke-linejoin:round;stroke-linecap:butt}
pre{background:var(--grid);padding:.75rem;overflow:auto;max-height:28rem;font-size:.82rem}
pre.code{white-space:pre-wrap;overflow-wrap:anywhere}
details{margin:1.5rem 0}
details+details{margin-top:-.75rem}
summary{cursor:pointer}
summary h2{display:inline-block;margin:0}
""".replace("\n", "")
NOTHING_ELSE = "default-src 'none'; style-src 'unsafe-inline'"
"""What a browser may load for it."""


def html(document: Document, plots: Mapping[str, Plot]) -> str:
    """All of it, as one page."""
    title = escape(document.title)
    judgements = "".join(
        f'<span class="judgement {escape(one.state)}">{escape(str(one))}</span>' for one in document.judgements
    )
    banners = "".join(
        f'<div class="banner" role="alert"><strong>{escape(one.word)}.</strong> {escape(one.said)}</div>'
        for one in document.banners
    )
    sections = "\n".join(_section(one, plots) for one in document.sections)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{NOTHING_ELSE}">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>{title}</title>
<style>{css()}{STYLE}</style></head>
<body>
<header><h1>{title}</h1>
<div class="judgements">{judgements}</div>
{banners}</header>
{sections}
</body></html>
"""


def _section(section: Section, plots: Mapping[str, Plot]) -> str:
    head = f"<h2>{escape(section.title)}</h2>"
    parts = [
        *(f"<p>{escape(words)}</p>" for words in section.words),
        *(_figure(plots[name]) for name in section.plots if name in plots),
        *map(_table, section.tables),
    ]
    if section.code:
        parts.append(f'<pre class="code">{escape(section.code)}</pre>')
    if section.raw:
        parts.append(f"<pre>{escape(section.raw)}</pre>")
    body = "\n".join(parts)
    if section.folded:
        return f"<details><summary>{head}</summary>\n{body}\n</details>"
    return f"<section>{head}\n{body}\n</section>"


def _figure(plot: Plot) -> str:
    # It is matplotlib's own XML, with names escaped by it.
    return f"<figure>{plot.svg}<figcaption>{escape(plot.caption)}</figcaption></figure>"


def _table(table: Table) -> str:
    heads = "".join(f"<th{_class(table, place)}>{escape(name)}</th>" for place, name in enumerate(table.columns))
    rows = "\n".join(
        f"<tr>{''.join(_cell(table, place, text) for place, text in enumerate(row))}</tr>" for row in table.rows
    )
    return f'<div class="table"><table><thead><tr>{heads}</tr></thead>\n<tbody>{rows}</tbody></table></div>'


def _cell(table: Table, place: int, text: str) -> str:
    shown = escape(text)
    if table.struck and not table.holds_words(place):
        shown = f"<s>{shown}</s>"
    return f"<td{_class(table, place)}>{shown}</td>"


def _class(table: Table, place: int) -> str:
    return "" if table.holds_words(place) else ' class="number"'
