"""The lake's files in S3 as DuckDB asks for them.

DuckDB opens a file four times and asks as often for its size and time. What was listed tells these, and a file that is
opened asks for nothing before it is read: each read is one request, and a small file is read by one or two.
"""

from __future__ import annotations

import io
from datetime import datetime
from typing import IO, Any

from fsspec import AbstractFileSystem

from shardlake.storage import Folder, is_remote


class ListedFiles(AbstractFileSystem):  # type: ignore[misc]  # it has no types
    """Reads through another file system for S3, whose `listed` holds what listings told of files."""

    protocol = ("s3", "s3a")
    cachable = False

    def __init__(self, s3: Any) -> None:
        super().__init__()
        self._s3 = s3

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Of a file that was listed, or asked for now."""
        name = str(self._strip_protocol(path))
        if name not in self._s3.listed:
            self._s3.listed[name] = self._s3.info(name)
        found: dict[str, Any] = self._s3.listed[name]
        return found

    def modified(self, path: str) -> datetime:
        """When a file was written."""
        moment: datetime = self.info(path)["LastModified"]
        return moment

    def glob(self, path: str, **_: Any) -> list[str]:
        """The path itself: each file is named."""
        return [str(self._strip_protocol(path))]

    def exists(self, path: str, **_: Any) -> bool:
        """A file that is named is there; where it has gone, reading it fails."""
        return True

    def open(self, path: str, mode: str = "rb", **_: Any) -> io.RawIOBase:
        """For reading alone; nothing is asked of S3 yet."""
        return _Ranges(self._s3, str(self._strip_protocol(path)), self.info(path)["size"])


def open_file(file: Folder) -> IO[bytes]:
    """For reading; in S3 each read is a request."""
    opened: Any = ListedFiles(file.fs).open(str(file)) if is_remote(file) else file.open("rb")
    found: IO[bytes] = opened
    return found


class _Ranges(io.RawIOBase):
    """A file of which each read is a request of its own."""

    def __init__(self, s3: Any, name: str, size: int) -> None:
        self._s3, self._name, self.size, self._at = s3, name, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        found = self.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)

    def read(self, size: int = -1) -> bytes:
        end = self.size if size < 0 else min(self._at + size, self.size)
        if end <= self._at:
            return b""
        found: bytes = self._s3.cat_file(self._name, start=self._at, end=end)
        self._at += len(found)
        return found
