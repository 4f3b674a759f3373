"""Text of others on a terminal: what would steer it is seen instead."""

from __future__ import annotations

LINE = "\t"
LINES = "\n\t"
"""Control characters that may stay in one line of text, and in several."""


def visible(text: str, keep: str = "") -> str:
    r"""With each control character as its escape, `\x1b`; those in `keep` stay.

    Keys, values, names, log lines and the messages of exceptions may be anybody's. A control character in them could
    move the cursor, set the title or write the clipboard; one for the direction of text makes it look like another.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in keep else repr(one)[1:-1] for one in text)
