"""Formats of log lines, read from files: from a line's text to its named parts."""
