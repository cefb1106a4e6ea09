import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCHEMA = [sys.executable, "-m", "apex_opt", "schema"]
CATALOG = [sys.executable, "-m", "apex_opt", "catalog", "models"]


@pytest.mark.parametrize("command", [SCHEMA, CATALOG])
def test_a_reader_that_leaves_ends_the_command_silently(command):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize("command", [SCHEMA, CATALOG])
def test_a_full_disk_is_no_bug_of_ours(command):
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False, text=True)
    assert done.stderr == "error: the output cannot be written: No space left on device\n"
    assert done.returncode == 2


def test_without_a_stdout_nothing_is_done_in_vain():
    done = subprocess.run(
        ["sh", "-c", '"$0" "$@" >&-', *SCHEMA], stderr=subprocess.PIPE, check=False, text=True
    )
    assert done.stderr == "error: stdout is closed; send it to a file, or to /dev/null\n"
    assert done.returncode == 2
