"""Names in a folder that all users share: what is in the way is neither used nor removed, and stops no end."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from shardlake.errors import Unavailable
from shardlake.stack import sockets
from shardlake.stack.server import Server, ServerPlan

pytestmark = pytest.mark.unit

OTHER_UID = 65_534


def bound(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder whose path is short, as a socket's must be."""
    monkeypatch.chdir(tmp_path)
    return Path("one.sock")


def plan(path: Path, program: str = "import time; time.sleep(60)") -> ServerPlan:
    return ServerPlan("s3", [sys.executable, "-c", program], "", ready=lambda: True, sockets=(path,))


def test_a_socket_of_ours_that_is_left_is_no_hindrance_and_is_removed(place: Path) -> None:
    bound(place)
    sockets.check([place])
    sockets.remove([place])
    assert not place.exists()
    sockets.check([place])


def test_a_folder_a_file_and_a_link_are_in_the_way_and_stay(place: Path) -> None:
    def link() -> None:
        place.symlink_to("nowhere")

    makers: list[Callable[[], None]] = [place.mkdir, place.touch, link]
    for make in makers:
        make()
        with pytest.raises(Unavailable, match=r"one\.sock is in the way"):
            Server(plan(place), Path("log"))
        sockets.remove([place])
        assert os.path.lexists(place)
        if place.is_dir():
            place.rmdir()
        else:
            place.unlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a socket to another user")
def test_a_socket_of_another_user_is_in_the_way_and_stays(place: Path) -> None:
    bound(place)
    os.chown(place, OTHER_UID, OTHER_UID)
    with pytest.raises(Unavailable, match="another user's"):
        sockets.check([place])
    sockets.remove([place])
    assert place.exists()


def test_a_server_ends_and_is_tidied_up_with_a_folder_in_the_way_of_its_socket(place: Path) -> None:
    server = Server(plan(place), Path("log"))
    place.mkdir()
    with pytest.raises(Unavailable, match="in the way"):
        server.is_ready()
    server.terminate()
    server.wait()
    server.kill()
    assert server.exit_code() is not None
    assert place.is_dir()
