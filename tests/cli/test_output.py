import os
import threading
from pathlib import Path

import pytest

from apex_opt.cli.output import check, folder, write, write_bytes
from apex_opt.errors import CallError


def failing():
    yield b"the first half"
    raise OSError(28, "No space left on device")


def test_text_ends_with_one_end_of_line(tmp_path, capsys):
    for given in ("a\nb", "a\nb\n"):
        write(given, str(tmp_path / "t"))
        assert (tmp_path / "t").read_bytes() == b"a\nb\n"
        write(given, "-")
        assert capsys.readouterr().out == "a\nb\n"


def test_parts_are_joined(tmp_path, capsysbinary):
    write_bytes(iter([b"\x1f", b"", b"\x8b"]), str(tmp_path / "t"))
    assert (tmp_path / "t").read_bytes() == b"\x1f\x8b"
    write_bytes([b"\x1f", b"\x8b"], "-")
    assert capsysbinary.readouterr().out == b"\x1f\x8b"


def test_a_file_that_cannot_be_completed_stays_as_it_was(tmp_path):
    path = tmp_path / "t"
    path.write_text("before")
    with pytest.raises(CallError) as fault:
        write_bytes(failing(), str(path))
    assert str(fault.value) == f"{path}: cannot be written: No space left on device"
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["t"]


def test_a_bug_leaves_no_half_of_a_file_behind(tmp_path):
    with pytest.raises(ZeroDivisionError):
        write_bytes((b"%d" % (1 // n) for n in (1, 0)), str(tmp_path / "t"))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("target", "why"), [("no/t", "No such file or directory"), ("there", "Is a directory")]
)
def test_a_place_that_takes_no_file_is_refused(target, why, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("there").mkdir()
    with pytest.raises(CallError) as fault:
        write("x", target)
    assert str(fault.value) == f"{target}: cannot be written: {why}"
    assert os.listdir(tmp_path) == ["there"]


def test_a_pipe_is_written_and_stays_a_pipe(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    read = []
    reader = threading.Thread(target=lambda: read.append(Path(path).read_bytes()))
    reader.start()
    write("x", str(path))
    reader.join(10)
    assert read == [b"x\n"]
    assert path.is_fifo()


def test_a_link_stays_a_link_and_its_file_is_written(tmp_path):
    (tmp_path / "file").write_text("before")
    (tmp_path / "link").symlink_to("file")
    write("x", str(tmp_path / "link"))
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "x\n"


def test_a_new_file_has_the_rights_that_others_have(tmp_path):
    write("x", str(tmp_path / "ours"))
    (tmp_path / "theirs").write_text("x")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "theirs").stat().st_mode


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (".", "Is a directory"),
        ("", "Is a directory"),
        ("missing/t", "No such file or directory"),
        ("file/t", "Not a directory"),
    ],
)
def test_what_cannot_be_written_is_told_beforehand(tmp_path, monkeypatch, name, why):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(CallError) as fault:
        check(name)
    assert str(fault.value) == f"{name or '.'}: cannot be written: {why}"


def test_a_folder_that_may_not_be_written_is_told_beforehand(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write everywhere
    with pytest.raises(CallError) as fault:
        check(str(tmp_path / "t"))
    assert str(fault.value) == f"{tmp_path / 't'}: cannot be written: Permission denied"


def test_a_folder_without_a_name_is_refused():
    with pytest.raises(CallError, match=r"^--out: name a folder, such as `plan`$"):
        folder("")


def test_checking_leaves_no_trace(tmp_path):
    for target in ("-", os.devnull, str(tmp_path / "t")):
        check(target)
    assert os.listdir(tmp_path) == []
