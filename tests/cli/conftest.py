import pytest

from apex_opt.cli.app import main


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run `apexopt` in an empty folder and return (exit status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["apexopt", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        shown = capsys.readouterr()
        return left.value.code or 0, shown.out, shown.err

    return call
