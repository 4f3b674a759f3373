"""Folders on this machine or in S3, by one kind of path: the lake, and what the jobs keep.

A path in S3 (`UPath`) has those methods of `pathlib.Path` that are used here; what differs is in the functions below.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, Any, TypeAlias

from typing_extensions import TypeIs

from shardlake.durable import make_folder, sync_folder, write_durably
from shardlake.errors import BadInput, Unavailable

if TYPE_CHECKING:
    from upath import UPath

Folder: TypeAlias = "Path | UPath"
"""A folder, or a file, of either kind."""

ERROR_LINE = re.compile(r"\w[\w.]*(Error|Exception|Timeout)\b")
S3_ERRNOS = frozenset({errno.EIO, errno.EREMOTEIO})
"""As s3fs translates a server's errors."""
PROBE = ".ready"
CONNECT_SECONDS = 3
ANSWER_SECONDS = 10
ATTEMPTS = 3
"""A server that is away is said to be after a few seconds: whoever asks can ask again."""


VARIABLES = (
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
)


@dataclass(frozen=True, slots=True)
class S3:
    """How S3 is reached. Without an endpoint it is Amazon's; without keys those that Amazon's clients find by
    themselves are used."""

    endpoint: str = ""
    region: str = ""
    access_key: str = ""
    secret_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> S3 | None:
        """The one that an environment names as the lake's or the jobs' home, None where it names none."""
        if not any(environment.get(name, "").startswith(("s3:", "s3a:")) for name in ("LAKE_URL", "SHARDLAKE_JOBS")):
            return None
        return cls(*(environment.get(name, "") for name in VARIABLES))

    def environment(self) -> dict[str, str]:
        """What Amazon's clients, and so Flink, read."""
        return {name: value for name, value in zip(VARIABLES, astuple(self), strict=True) if value}

    def flink_settings(self) -> dict[str, str]:
        """As Flink's configuration has it, without the keys: that is on Flink's web page, and in its log."""
        found = {"s3.endpoint.region": self.region} if self.region else {}
        if self.endpoint:
            # Elsewhere than at Amazon a bucket has no host name of its own.
            found |= {"s3.endpoint": self.endpoint, "s3.path.style.access": "true"}
        # With its 20 the jobs hang for half a minute after an S3 that was away is back; it has retries above these,
        # and the jobs start again.
        return found | {"s3.attempts.maximum": "3"}

    def options(self) -> dict[str, Any]:
        """As `s3fs` takes them."""
        given = {
            "endpoint_url": self.endpoint,
            "key": self.access_key,
            "secret": self.secret_key,
            "token": self.session_token,
            "client_kwargs": {"region_name": self.region} if self.region else {},
        }
        return {
            **{name: value for name, value in given.items() if value},
            # Others write what is listed here.
            "use_listings_cache": False,
            "config_kwargs": {
                "connect_timeout": CONNECT_SECONDS,
                "read_timeout": ANSWER_SECONDS,
                "retries": {"max_attempts": 0},  # s3fs itself tries again
            },
        }


def open_folder(url: str, s3: S3) -> Folder:
    """The folder that a path or a URL (file://, s3://) names; nothing is asked of a server yet.

    Raises BadInput for any other kind of URL, or one without a bucket.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme == "file":
        return Path(rest if separator else url).absolute()
    if scheme not in ("s3", "s3a"):
        raise BadInput(
            f"{url} is of no kind that is known: {scheme}://.", "Give a folder's path, or s3://BUCKET/PREFIX."
        )
    if not rest.partition("/")[0]:
        raise BadInput(f"{url} names no bucket.", "Give s3://BUCKET/PREFIX.")
    from upath import UPath

    found: UPath = UPath(f"s3://{rest.rstrip('/')}", **s3.options())
    found.fs.retries = ATTEMPTS
    if not hasattr(found.fs, "listed"):  # one file system stands behind all paths with the same options
        found.fs.listed = {}
    return found


def is_remote(folder: Folder) -> TypeIs[UPath]:
    """Whether it is in S3."""
    return not isinstance(folder, Path)


def as_url(folder: Folder) -> str:
    """As Flink takes it."""
    return str(folder) if is_remote(folder) else f"file://{folder}"


def bucket(folder: UPath) -> str:
    """The bucket that a folder in S3 is in."""
    return str(folder).removeprefix("s3://").partition("/")[0]


def check(folder: Folder) -> None:
    """Raises Unavailable or BadInput, with what to do, where S3 does not answer, refuses the keys or lacks the bucket.

    A folder of this machine is not looked at.
    """
    if is_remote(folder):
        with explained(folder):
            folder.fs.call_s3("head_bucket", Bucket=bucket(folder))


def make_bucket(s3: S3, name: str) -> bool:
    """Make it where it is missing, and see that it takes an object and gives it back: SeaweedFS answers before it can.

    False where nobody answers yet, or the server is not ready to.
    """
    folder = open_folder(f"s3://{name}", s3)
    assert is_remote(folder)
    try:
        with explained(folder):
            if not folder.fs.exists(name):
                folder.fs.mkdir(name)
            folder.fs.pipe_file(f"{name}/{PROBE}", b"ready")
            is_ready = bool(folder.fs.cat_file(f"{name}/{PROBE}") == b"ready")
            folder.fs.rm_file(f"{name}/{PROBE}")
            return is_ready
    except (BadInput, Unavailable):
        return False


@contextmanager
def explained(folder: UPath) -> Iterator[None]:
    """Says of what S3 answers what it means and what to do."""
    from botocore.exceptions import BotoCoreError, NoCredentialsError

    where = folder.fs.endpoint_url or "Amazon S3"
    try:
        yield
    except FileNotFoundError as error:
        msg = f"There is no bucket {bucket(folder)} at {where}."
        raise BadInput(msg, "Make it, or set LAKE_URL and SHARDLAKE_JOBS to one that is there.") from error
    except (PermissionError, NoCredentialsError) as error:
        msg = f"{where} does not let these keys into the bucket {bucket(folder)}: {error}"
        raise BadInput(
            msg, "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to keys that may read and write it."
        ) from error
    except (BotoCoreError, OSError) as error:
        msg = f"S3 does not answer at {where}: {' '.join(str(error).split())[:300]}"
        raise Unavailable(
            msg, "Start it (`shardlake status` tells of the local one), or set AWS_ENDPOINT_URL."
        ) from error


def failure(error: Exception) -> Unavailable | None:
    """What an error means that S3 gave in the middle of something; None where it is not S3's.

    DuckDB makes of an exception in Python one of its own, and keeps no more of it than its traceback as text.
    """
    words = str(error)
    if words.startswith("Traceback") and "s3fs" in words:
        named = [line for line in words.splitlines() if ERROR_LINE.match(line)]
        words = named[-1] if named else words.splitlines()[-1]
    elif not (type(error).__module__.startswith("botocore.") or getattr(error, "errno", 0) in S3_ERRNOS):
        return None
    return Unavailable(
        f"S3 failed in the middle of it: {' '.join(words.split())[:300]}",
        "Run it again when S3 is well; `shardlake doctor` tells of it.",
    )


@dataclass(frozen=True, slots=True)
class File:
    """A file below a folder, as it was listed. S3 tells whole seconds."""

    path: Folder
    size_bytes: int
    modified_ns: int


def find(folder: Folder, pattern: str) -> list[File]:
    """The files below a folder whose names match, sorted; [] where there is no such folder.

    In S3 one listing of everything below it, in pages of a thousand: it has no folders to go down into.
    """
    if is_remote(folder):
        listed = sorted(folder.fs.find(folder.path, detail=True).items())
        top = len(folder.path.rstrip("/")) + 1
        # Whoever reads them need not ask for their sizes again.
        folder.fs.listed.update(listed)
        return [
            File(folder / name[top:], entry["size"], int(entry["LastModified"].timestamp()) * 10**9)
            for name, entry in listed
            # Where there is nothing, s3fs may give the folder itself.
            if entry["type"] == "file" and fnmatchcase(name.rsplit("/", 1)[1], pattern)
        ]
    found = []
    # Folders and files may go while they are listed, which Path.rglob does not bear.
    for parent, _, names in os.walk(folder, onerror=_raise_unless_gone):
        for name in names:
            if not fnmatchcase(name, pattern):
                continue
            path = Path(parent, name)
            with suppress(FileNotFoundError):
                status = path.stat()
                if S_ISREG(status.st_mode):
                    found.append(File(path, status.st_size, status.st_mtime_ns))
    return sorted(found, key=lambda file: file.path)


def _raise_unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


def beside(folder: Folder, url: str) -> Folder:
    """The path that a path or URL names, reached as `folder` is where both are in S3."""
    if is_remote(folder) and url.startswith("s3://"):
        found: UPath = type(folder)(url, **folder.storage_options)
        return found
    return open_folder(url.removeprefix("file:") if not url.startswith("file://") else url, S3())


def write_whole(file: Folder, text: str) -> None:
    """Written and on the disk, or as it was before, and never half. The folder is made where it is missing."""
    if is_remote(file):
        file.write_text(text)  # an object is put as a whole
        return
    make_folder(file.parent)
    write_durably(file, text)


def move(folder: Folder, target: Folder) -> None:
    """Another name for a folder and all that is in it, on the disk when this returns. In S3 each object is copied,
    then removed."""
    if is_remote(folder) and is_remote(target):
        names = folder.fs.find(folder.path)
        folder.fs.copy(names, [target.path + name[len(folder.path) :] for name in names])
        folder.fs.rm(names)
    elif not is_remote(folder) and not is_remote(target):
        make_folder(target.parent)
        folder.rename(target)
        sync_folder(target.parent)
        sync_folder(folder.parent)


def remove(folder: Folder) -> None:
    """A folder with all that is in it, or nothing where there is none."""
    import shutil

    if not is_remote(folder):
        shutil.rmtree(folder, ignore_errors=True)
    elif folder.fs.exists(folder.path):
        folder.fs.rm(folder.path, recursive=True)
