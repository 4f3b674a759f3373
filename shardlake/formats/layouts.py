"""The layout that an application's logging is configured with, as a format of its lines.

    %d{ISO8601} %-5p [%t] %c: %m%n                        log4j, logback, log4j2
    %(asctime)s %(levelname)s %(name)s: %(message)s       Python's logging, also with `{` or `$`

A directive that a layout's library does not have is refused. A directive whose value no field has is an attribute.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from shardlake.errors import BadInput
from shardlake.formats import growth, times
from shardlake.formats.format_file import Format

OF_PYTHON = re.compile(
    r"%\((?P<percent>\w+)\)[-+ #0]*(?:\d+|\*)?(?:\.\d+)?[a-zA-Z]|\{(?P<brace>\w+)[^}]*\}|\$\{?(?P<dollar>\w+)\}?"
)
OF_LOG4J = re.compile(r"%(?P<pad>-?\d*(?:\.-?\d+)?)(?P<name>[a-zA-Z]+|%)(?P<options>(?:\{(?:[^{}]|\{[^{}]*\})*\})*)")
GROUP = re.compile(r"%-?[\d.]*[a-zA-Z]*\((?P<inner>(?:[^()\\]|\\.)*)\)(?:\{[^{}]*\})*")
"""Colours and paddings around a part: `%clr(…){faint}`, `%highlight(…)`, `%-20(…)`."""
PLACEHOLDER = re.compile(r"\$\{[^{}:]*:-?((?:[^{}]|\{[^{}]*\})*)\}")
"""Spring's `${LOG_LEVEL_PATTERN:-%5p}`, of which the default is taken."""
OPTION = re.compile(r"\{((?:[^{}]|\{[^{}]*\})*)\}")

LEVEL, TIME = "level", "time"
PYTHON = {
    "asctime": TIME, "levelname": LEVEL, "name": "logger", "message": "message", "thread": "thread_id",
    "threadName": "thread", "process": "pid", "processName": "process", "module": "module", "funcName": "function",
    "filename": "file", "pathname": "path_of_file", "lineno": "code_line", "msecs": "milliseconds",
    "relativeCreated": "elapsed_ms", "created": TIME, "levelno": "level_number", "taskName": "task",
}  # fmt: skip
LOG4J = {
    **dict.fromkeys(["d", "date"], TIME), **dict.fromkeys(["p", "level", "le"], LEVEL),
    **dict.fromkeys(["t", "tn", "thread", "threadName"], "thread"), **dict.fromkeys(["c", "logger", "lo"], "logger"),
    **dict.fromkeys(["C", "class"], "class"), **dict.fromkeys(["m", "msg", "message"], "message"),
    **dict.fromkeys(["F", "file"], "file"), **dict.fromkeys(["L", "line"], "code_line"),
    **dict.fromkeys(["M", "method"], "function"), **dict.fromkeys(["l", "location", "caller"], "location"),
    **dict.fromkeys(["r", "relative"], "elapsed_ms"), **dict.fromkeys(["pid", "processId"], "pid"),
    **dict.fromkeys(["x", "NDC"], "context"), **dict.fromkeys(["tid", "T", "threadId"], "thread_id"),
    **dict.fromkeys(["sn", "sequenceNumber", "lsn"], "sequence"), "marker": "marker",
    "markerSimpleName": "marker",
    **dict.fromkeys(["property", "contextName", "cn"], "context_name"), "u": "uuid", "uuid": "uuid",
}  # fmt: skip
CONTEXT = frozenset({"X", "mdc", "MDC"})
NOTHING = frozenset({"n", "ex", "exception", "throwable", "xEx", "xThrowable", "xException", "rEx", "rThrowable", "wEx",
                     "wex", "nopex", "nopexception", "rootException"})  # fmt: skip
"""What ends a line, or is on lines of its own behind it."""
NAMED_TIMES = {
    "": "%Y-%m-%d %H:%M:%S%f", "DEFAULT": "%Y-%m-%d %H:%M:%S%f", "ISO8601": "iso", "ABSOLUTE": "%H:%M:%S%f",
    "DATE": "%d %b %Y %H:%M:%S%f", "COMPACT": "%Y%m%d%H%M%S%f", "UNIX": "%s",
}  # fmt: skip
JAVA = re.compile(r"y+|M+|d+|H+|m+|s+|S+|E+|[zZXxV]+|'[^']*'|.", re.DOTALL)
IDENTIFIERS = {"traceId": "trace_id", "trace_id": "trace_id", "spanId": "span_id", "span_id": "span_id",
               "X-B3-TraceId": "trace_id", "X-B3-SpanId": "span_id", "dd.trace_id": "trace_id"}  # fmt: skip


WORDS = frozenset({"logger", "class", "pid", "code_line", "elapsed_ms", "thread_id", "sequence", "function", "module",
                   "trace_id", "span_id", "level_number", "milliseconds", "uuid"})  # fmt: skip
"""Values without spaces."""
WORD, LAZY, ANYTHING, PADDING = r"\S*?", ".*?", ".*", r"\ *+"


@dataclass(frozen=True, slots=True)
class Directive:
    """A part of a layout that a line has a value for."""

    name: str
    is_padded: bool = False


@dataclass(slots=True)
class Read:
    """A layout's parts, and the layouts of its times."""

    parts: list[str | Directive]
    layouts: list[str]


def format_of(layout: str, level_words: str) -> Format:
    """The format of lines that are written with a layout. `level_words` is a pattern of the usual levels.

    Raises BadInput naming the directive that is none, and where a line could be read in more than one way.
    """
    is_python = "%(" in layout or ("{" in layout and "%" not in layout)
    read = _of_python(layout) if is_python else _of_log4j(layout)
    if not any(isinstance(part, Directive) for part in read.parts):
        msg = f"The layout {layout!r} has no directive."
        raise BadInput(msg, "Give the string that logging is configured with, as '%d{ISO8601} %-5p [%t] %c: %m%n'.")
    layouts = tuple(dict.fromkeys(read.layouts)) or (times.ISO,)
    places = {TIME: times.pattern(layouts), LEVEL: level_words}
    try:
        parts = tuple(_patterns(read.parts, places, _loose))
        growth.check("".join(parts))
    except BadInput:
        parts = tuple(_patterns(read.parts, places, _strict))
        growth.check("".join(parts))
    return Format("layout", layout, parts, parts, layouts)


def _patterns(parts: list[str | Directive], places: dict[str, str], free: Callable[[str, str], str]) -> Iterator[str]:
    used: Counter[str] = Counter()
    last = max(place for place, part in enumerate(parts) if isinstance(part, Directive))
    for place, part in enumerate(parts):
        if isinstance(part, str):
            yield _text(part, is_beside_padding=any(_is_padded(one) for one in parts[max(place - 1, 0) : place + 2]))
            continue
        after = next((one for one in parts[place + 1 :] if isinstance(one, str)), "")
        used[part.name] += 1
        name = part.name if used[part.name] == 1 else f"{part.name}_{used[part.name]}"
        pattern = places.get(part.name) or (ANYTHING if place == last else free(part.name, after))
        if part.is_padded and pattern == LAZY:
            pattern = "(?:.*?[^ ])?"  # else the spaces behind it could be its own or its padding
        yield f"{PADDING if part.is_padded else ''}(?P<{name}>{pattern})"
        if part.is_padded and not after.startswith(" "):
            yield PADDING


def _is_padded(part: str | Directive) -> bool:
    return isinstance(part, Directive) and part.is_padded


def _text(text: str, *, is_beside_padding: bool) -> str:
    """A layout's own text. Beside a padded value its spaces may be more."""
    escaped = re.escape(text)
    return re.sub(r"(?:\\ )+", r"\\ ++", escaped) if is_beside_padding else escaped


def _loose(name: str, _: str) -> str:
    """Any letters, up to where the rest of the layout fits."""
    return WORD if name in WORDS else LAZY


def _strict(name: str, after: str) -> str:
    """Any letters but the one that follows in the layout."""
    if not after:
        return WORD if name in WORDS else ANYTHING
    return rf"[^{chr(92) + 's' if name in WORDS else ''}{re.escape(after[0])}]*"


def _of_python(layout: str) -> Read:
    read, end = Read([], []), 0
    for match in OF_PYTHON.finditer(layout):
        name = match["percent"] or match["brace"] or match["dollar"]
        if name not in PYTHON:
            msg = f"The layout's {match[0]} is no attribute of Python's log records."
            raise BadInput(msg, f"There is: {', '.join(PYTHON)}.")
        if name in ("asctime", "created"):
            read.layouts.append("%s" if name == "created" else times.ISO)
        is_padded = bool(re.search(r"\d+[a-zA-Z]$|[<>^]\d+|:\d+", match[0])) and name != "msecs"
        read.parts += [layout[end : match.start()], Directive(PYTHON[name], is_padded)]
        end = match.end()
    read.parts.append(layout[end:])
    return _without_empty(read)


def _of_log4j(layout: str) -> Read:
    while True:
        plain = GROUP.sub(lambda match: match["inner"], PLACEHOLDER.sub(r"\1", layout))
        if plain == layout:
            break
        layout = plain
    read, end = Read([], []), 0
    for match in OF_LOG4J.finditer(layout):
        read.parts.append(layout[end : match.start()])
        end = match.end()
        options = OPTION.findall(match["options"])
        name = match["name"]
        if name == "%":
            read.parts.append("%" + match["options"])
        elif name in CONTEXT:
            key = options[0].partition(":-")[0] if options else "context"
            read.parts.append(Directive(IDENTIFIERS.get(key, re.sub(r"\W", "_", key))))
        elif name not in NOTHING:
            directive = (
                name
                if name in LOG4J
                else next((one for one in sorted(LOG4J, key=len, reverse=True) if name.startswith(one)), "")
            )
            if not directive:
                msg = f"The layout's {match[0]} is no conversion of log4j or logback."
                raise BadInput(msg, f"There is: {', '.join(sorted({*LOG4J, *CONTEXT, *NOTHING}))}.")
            if LOG4J[directive] == TIME:
                read.layouts.append(_java_time(options[0] if options else ""))
            read.parts += [Directive(LOG4J[directive], bool(match["pad"])), name[len(directive) :]]
    read.parts.append(layout[end:])
    return _without_empty(read)


def _without_empty(read: Read) -> Read:
    joined: list[str | Directive] = []
    for part in read.parts:
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        elif part:
            joined.append(part)
    if joined and isinstance(joined[-1], str):
        joined[-1] = joined[-1].rstrip()
    read.parts = [part for part in joined if part]
    return read


def _java_time(pattern: str) -> str:
    """A pattern of Java's dates in the words of `strptime`."""
    if pattern in NAMED_TIMES:
        return NAMED_TIMES[pattern]
    if pattern.startswith("ISO8601"):
        return times.ISO
    words = {"M": {1: "%m", 2: "%m", 3: "%b"}, "y": {2: "%y"}}
    found = ""
    for piece in JAVA.findall(pattern):
        letter, size = piece[0], len(piece)
        if letter == "S":
            found = found.removesuffix(found[-1:]) if found[-1:] in ".,:" else found
            found += "%f"
        elif letter in "zZXxV":
            found = found.removesuffix(" ") + "%z"
        elif letter in "yMdHmsE":
            word = {"y": "%Y", "M": "%m", "d": "%d", "H": "%H", "m": "%M", "s": "%S", "E": "%a"}[letter]
            found += words.get(letter, {}).get(size, word)
        elif letter == "'":
            found += piece[1:-1] or "'"
        elif letter.isalpha():
            msg = f"The layout's time {pattern!r} has a letter that is not known: {letter}."
            raise BadInput(msg, "There is: y M d H m s S E z Z X, and ISO8601, ABSOLUTE, DATE.")
        else:
            found += piece.replace("%", "%%")
    return found
