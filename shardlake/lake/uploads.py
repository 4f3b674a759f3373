"""What writers that were killed leave in S3: uploads that were never completed, and temporary objects.

Flink's sink uploads a file in parts and completes the upload when the checkpoint that closed the file is complete.
Until then nothing is seen of it, and S3 keeps, and charges for, its parts. Whether one is still needed only the jobs'
state can tell: see `shardlake.flink.needed`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shardlake.storage import bucket, explained, find

if TYPE_CHECKING:
    from upath import UPath

TEMPORARY = "_*_tmp_*"
TEMPORARY_NAME = re.compile(r"_.+_tmp_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""As Flink's S3RecoverableMultipartUploadFactory names the last part of a file that is not large enough for one."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """An upload that is open, or, without an id, a temporary object. `name` is what the jobs' state would call it."""

    url: str
    upload_id: str
    name: str
    began_ns: int
    size_bytes: int


def leftovers(folder: UPath) -> list[Leftover]:
    """All below a folder, the oldest first, also those that jobs are at work on. Raises Unavailable or BadInput where
    S3 does not answer or lets nobody in."""
    with explained(folder):
        found = [*_uploads(folder), *_temporary(folder)]
    return sorted(found, key=lambda one: one.began_ns)


def abort(folder: UPath, one: Leftover) -> None:
    """Remove it, with its parts; one that is gone by now is none."""
    key = one.url.removeprefix(f"s3://{bucket(folder)}/")
    with explained(folder):
        try:
            if one.upload_id:
                folder.fs.call_s3("abort_multipart_upload", Bucket=bucket(folder), Key=key, UploadId=one.upload_id)
            else:
                folder.fs.rm_file(one.url)
        except FileNotFoundError:
            return


def _uploads(folder: UPath) -> Iterator[Leftover]:
    home = bucket(folder)
    prefix = str(folder).removeprefix(f"s3://{home}").strip("/")
    after: dict[str, str] = {}
    while True:
        page: dict[str, Any] = folder.fs.call_s3(
            "list_multipart_uploads", Bucket=home, Prefix=f"{prefix}/" if prefix else "", **after
        )
        for upload in page.get("Uploads", []):
            try:
                parts = folder.fs.call_s3("list_parts", Bucket=home, Key=upload["Key"], UploadId=upload["UploadId"])
            except FileNotFoundError:  # it has been completed since
                continue
            size_bytes = sum(part["Size"] for part in parts.get("Parts", []))
            began_ns = int(upload["Initiated"].timestamp()) * 10**9
            url = f"s3://{home}/{upload['Key']}"
            yield Leftover(url, upload["UploadId"], upload["UploadId"], began_ns, size_bytes)
        if not page.get("IsTruncated"):
            return
        after = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}


def _temporary(folder: UPath) -> Iterator[Leftover]:
    for file in find(folder, TEMPORARY):
        if TEMPORARY_NAME.fullmatch(file.path.name):
            yield Leftover(str(file.path), "", file.path.name, file.modified_ns, file.size_bytes)
