"""A drawing as SVG that stands in a page: its text is text, its colours are the page's, it is the same each time."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from io import StringIO
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator
from matplotlib.typing import RcKeyType

from shardlake.load.palette import COLOURS, light

WIDTH_INCHES = 9.0
STYLE: dict[RcKeyType, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": light("axis"),
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.labelcolor": light("quiet"),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": light("ink"),
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "figure.facecolor": "none",
    "font.size": 8.5,
    "grid.color": light("grid"),
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.labelcolor": light("quiet"),
    "lines.linewidth": 1.5,
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "svg.hashsalt": "shardlake",
    "text.color": light("quiet"),
    # Names are anybody's: a $ in one is no formula.
    "text.parse_math": False,
    "xtick.color": light("axis"),
    "xtick.labelcolor": light("quiet"),
    "ytick.color": light("axis"),
    "ytick.labelcolor": light("quiet"),
}
MOST_POINTS = 24_000
"""Of all lines of a drawing together."""

Numbers = np.ndarray[tuple[int], np.dtype[np.float64]]
Marks = Sequence[tuple[str, Line2D | Patch]]

_VARIABLES = {shade: f"var(--{name})" for name, (shade, _) in COLOURS.items()}
_COLOUR = re.compile("|".join(_VARIABLES))
_PATH = re.compile(r'(?<=\bd=")[^"]*')
_LONG = re.compile(r"(\.\d\d)\d+")
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Plot:
    """SVG, and what is to be said below it."""

    svg: str
    caption: str


@contextmanager
def style() -> Iterator[None]:
    """Within it a Figure is made and drawn; afterwards matplotlib is as it was."""
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        # A letter that the font has not is the browser's to find.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        yield


def svg(figure: Figure, name: str, said: str) -> str:
    """To be put into a page where no other drawing has this name; `said` is for those who do not see it."""
    file = StringIO()
    figure.savefig(file, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    _, _, found = file.getvalue().partition("<svg ")
    found = re.sub(r"<!--.*?-->|<style.*?</style>", "", found, flags=re.DOTALL)
    head, _, rest = found.partition(">")
    box = re.search(r'viewBox="[^"]*"', head)
    rest = re.sub(r"<[^>]*>", lambda tag: _tag(tag[0], name), rest)
    return f'<svg {box[0] if box else ""} role="img" aria-label="{escape(said)}">{rest.strip()}'


def _tag(tag: str, name: str) -> str:
    tag = _PATH.sub(lambda path: _SPACE.sub(" ", _LONG.sub(r"\1", path[0])).strip(), tag)
    tag = _COLOUR.sub(lambda shade: _VARIABLES[shade[0]], tag)
    tag = tag.replace(' id="', f' id="{name}-').replace("url(#", f"url(#{name}-")
    return tag.replace('xlink:href="#', f'href="#{name}-')


def thin(values: Numbers, step: int, *, highest: bool) -> Numbers:
    """One for each `step` of them: the highest, so that no peak is lost, or the mean."""
    if step == 1 or not len(values):
        return values
    places = np.arange(0, len(values), step)
    if highest:
        return np.asarray(np.fmax.reduceat(values, places), float)
    sizes = np.diff([*places, len(values)])
    return np.asarray(np.add.reduceat(values, places) / sizes, float)


def step_for(samples: int, lines: int) -> int:
    """How many samples are one point, so that a drawing with so many lines is not too large."""
    most = max(100, min(600, MOST_POINTS // max(1, lines)))
    return -(-samples // most) or 1


def numbers_with_commas(axes: Axes) -> None:
    """On the y axis, few of them, from 0 to a little above the highest."""
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.set_ylim(0, 1.12 * axes.dataLim.y1 if axes.dataLim.y1 > 0 else 1)


def legend_beside(axes: Axes, marks: Marks) -> None:
    """To the right, where it hides nothing; none for a single mark."""
    if len(marks) > 1:
        # A name that begins with _ has no place in a legend of matplotlib's.
        labels = [f"\u200b{name}" if name.startswith("_") else name for name, _ in marks]
        axes.legend([mark for _, mark in marks], labels, loc="upper left", bbox_to_anchor=(1.0, 1.03))
