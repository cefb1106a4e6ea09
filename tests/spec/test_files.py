"""Files that others wrote: only regular, small, UTF-8 ones are read, and nothing is waited for."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from apex_opt.spec.files import UnreadableError, read_text


def why(path: Path | str, most: int = 2**20) -> tuple[str, int | None]:
    """Return why a file is not read, and the line."""
    with pytest.raises(UnreadableError) as caught:
        read_text(Path(path), most)
    return str(caught.value), caught.value.line


def test_a_text_is_read_without_its_byte_order_mark(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbf\xc3\xa9\r\n")
    assert read_text(tmp_path / "a", 100) == "é\r\n"


def test_a_link_to_a_file_is_the_file(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "b").symlink_to("a")
    assert read_text(tmp_path / "b", 100) == "x"


def test_a_file_is_read_up_to_the_last_byte_that_is_allowed(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"x" * 2**20)
    assert len(read_text(tmp_path / "a", 2**20)) == 2**20
    (tmp_path / "a").write_bytes(b"x" * (2**20 + 1))
    assert why(tmp_path / "a") == ("larger than 1 MiB, this cannot be the right file", None)


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    assert why(tmp_path) == ("a folder, not a file", None)
    assert why(tmp_path / "pipe") == ("a pipe, not a regular file", None)
    assert why(os.devnull) == ("a device, not a regular file", None)


def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        assert why("s") == ("no such device or address", None)


def test_what_does_not_exist_is_refused(tmp_path: Path):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").write_bytes(b"")
    assert why(tmp_path / "none") == ("no such file", None)
    assert why(tmp_path / "loop") == ("too many levels of symbolic links", None)
    assert why(tmp_path / "file" / "below") == ("not a directory", None)
    assert why(tmp_path / ("x" * 300)) == ("file name too long", None)
    assert why("a\0b") == ("no such file: its name has a NUL character", None)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_a_file_without_permission_is_refused(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "a").chmod(0)
    assert why(tmp_path / "a") == ("permission denied", None)


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"a\n\xe9", ("not UTF-8 (byte 0xe9); save the file as UTF-8", 2)),
        ("a\n".encode("utf-16"), ("not UTF-8 (byte 0xff); save the file as UTF-8", 1)),
        (b"a\n\n\0", ("a NUL character; this is no text file", 3)),
    ],
)
def test_what_is_no_text_is_refused_with_its_line(
    tmp_path: Path, data: bytes, fault: tuple[str, int]
):
    (tmp_path / "a").write_bytes(data)
    assert why(tmp_path / "a") == fault
