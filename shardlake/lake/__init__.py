"""The lake's tables as SQL."""
