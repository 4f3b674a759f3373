"""Data that an older version of this project has left, made by that version itself."""
