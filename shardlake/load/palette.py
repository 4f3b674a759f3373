"""The colours of reports; plots are drawn in the light ones, which become variables of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

COLOURS: Mapping[str, tuple[str, str]] = {
    "surface": ("#fcfcfb", "#1a1a19"),
    "ink": ("#0b0b0b", "#ffffff"),
    "quiet": ("#52514e", "#c3c2b7"),
    "faint": ("#898781", "#8f8d86"),
    "grid": ("#e1e0d9", "#2c2c2a"),
    "axis": ("#c3c2b7", "#383835"),
    "blue": ("#2a78d6", "#3987e5"),
    "aqua": ("#1baf7a", "#199e70"),
    "yellow": ("#eda100", "#c98500"),
    "green": ("#008300", "#008300"),
    "violet": ("#4a3aa7", "#9085e9"),
    "red": ("#e34948", "#e66767"),
    "magenta": ("#e87ba4", "#d55181"),
    "orange": ("#eb6834", "#d95926"),
    "good": ("#0ca30c", "#0ca30c"),
    "unsure": ("#fab219", "#fab219"),
    "bad": ("#d03b3b", "#d03b3b"),
}
SERIES = ("blue", "aqua", "yellow", "green", "violet", "red", "magenta", "orange")
"""In this order neighbours are told apart, also by those who see few colours."""

ROLES = ("kafka", "registry", "jobmanager", "taskmanager", "s3", "producers", "consumers", "measuring")
LATENCIES = ("acknowledged", "consumed", "window result", "visible in the lake", "schedule slip")


def light(name: str) -> str:
    """As plots are drawn."""
    return COLOURS[name][0]


def of_each(names: Sequence[str], known: Sequence[str] = ()) -> dict[str, str]:
    """A colour each. A known name has the same in every report; those beyond the colours are all faint."""
    order = [*known, *(name for name in names if name not in known)]
    colours = dict(zip(order, map(light, SERIES), strict=False))
    return {name: colours.get(name, light("faint")) for name in names}


def css() -> str:
    """The colours as variables, for light and for dark."""
    shades = ["".join(f"--{name}:{shade[place]};" for name, shade in COLOURS.items()) for place in (0, 1)]
    return f":root{{color-scheme:light dark;{shades[0]}}}@media(prefers-color-scheme:dark){{:root{{{shades[1]}}}}}"
