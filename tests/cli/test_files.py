"""Commands write new and complete files in the format that the suffix names, or fail with a message."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from swanlab_mcp.cli.main import main
from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.present.new_file import open_new
from tests.cli.test_command import environ

EXPORT = ["--demo", "export", "local/digits-mlp/lr-0.1"]
PLOT = ["--demo", "call", "plot_metrics", "project=digits-mlp", "exp_cuids=lr-0.1", "keys=val/acc"]


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main([*words])
    assert isinstance(ended.value.code, int)
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    return ended.value.code, shown.err


@pytest.mark.parametrize(
    ("name", "start"), [("p.json", "{"), ("p.csv", "key,step,"), ("P.JSON", "{"), ("p", "key,step,")]
)
def test_suffix_determines_the_format(name: str, start: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, *EXPORT, "--keys", "val/acc", "-o", name)[0] == 0
    assert Path(name).read_text("utf-8").startswith(start)
    assert sorted(path.name for path in Path().iterdir()) == [name]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            [*EXPORT, "-o", "x.txt"],
            "The suffix of x.txt is not a known format. Use one of: .csv, .json, .parquet, .log.",
        ),
        ([*EXPORT, "-o", "x.parquet", "--format", "csv"], "--format csv does not match the suffix of x.parquet."),
        ([*PLOT, "-o", "p.jpg"], "p.jpg has the suffix of another format. Use one of: .png."),
        ([*PLOT, "-o", "p.html"], "p.html has the suffix of another format. Use one of: .bmp, .gif"),
        (["--demo", "report", "digits-mlp", "-o", "r.pdf"], "r.pdf has the suffix of another format."),
        (["--demo", "report", "digits-mlp", "-o", "no/folder.html"], "the folder no does not exist"),
        ([*EXPORT, "-o", "n" * 300 + ".csv"], "cannot be written (File name too long)"),
        ([*PLOT, "-o", "n" * 300 + ".png"], "cannot be written (File name too long)"),
        (["--demo", "report", "digits-mlp", "-o", "n" * 300 + ".html"], "cannot be written (File name too long)"),
    ],
)
def test_unwritable_name_is_refused(words: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, shown = run(capsys, *words)
    assert code in (1, 2)
    assert expected in shown
    assert list(Path().iterdir()) == []


def test_existing_file_is_refused_before_any_read(
    host: str, capsys: pytest.CaptureFixture[str], state: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWANLAB_API_KEY", "test-key")
    for words in (
        ["report", "project1", "-o", "r.html"],
        ["export", "x", "-o", "r.html", "--format", "csv"],
        [*PLOT[1:], "-o", "r.png"],
    ):
        Path(words[words.index("-o") + 1]).write_text("mine", encoding="utf-8")
        code, shown = run(capsys, "--host", host, *words)
        assert code in (1, 2)
        assert "already exists and was not overwritten" in shown or "does not match" in shown
    assert not state.calls
    assert {path.read_text("utf-8") for path in Path().iterdir()} == {"mine"}


def test_file_created_in_the_meantime_is_kept() -> None:
    path = Path("x.csv")
    whole = open_new(path, is_text=True)
    whole.__enter__().write("ours")
    path.write_text("theirs", encoding="utf-8")
    with pytest.raises(InvalidArgument, match="cannot be written"):
        whole.__exit__(None, None, None)
    assert path.read_text("utf-8") == "theirs"
    assert list(Path().iterdir()) == [path]


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
def test_full_disk_ends_with_a_message() -> None:
    command = [sys.executable, "-m", "swanlab_mcp", *EXPORT]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*command, "-o", "-"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=environ(),
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert "Standard output cannot be written: No space left on device." in done.stderr
    assert "Traceback" not in done.stderr
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); "
        f"from swanlab_mcp.cli.main import main; main({[*EXPORT, '-o', 'x.csv']})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environ(), timeout=60, check=False
    )
    assert done.returncode == 1
    assert "x.csv cannot be written (File too large)" in done.stderr
    assert list(Path().iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX resource limits")
@pytest.mark.parametrize("name", ["x.html", "x.png"])
def test_failed_report_or_picture_leaves_no_partial_file(name: str) -> None:
    plot = ["call", "plot_metrics", "project=digits-mlp", "exp_cuids=lr-0.1", "keys=val/loss"]
    words = ["--demo", *(["report", "local/digits-mlp"] if name == "x.html" else plot), "-o", name]
    code = (
        "import resource\n"
        "from swanlab_mcp.cli.main import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        f"main({words})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environ(), timeout=60, check=False
    )
    assert done.returncode == 1, done.stderr
    assert f"{name} cannot be written (File too large)" in done.stderr
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "[" * 100_000 + "]" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000]
)
def test_deep_json_on_the_command_line_ends_with_a_message(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--demo", "call", "find_experiments", "project=digits-mlp", f"filters={text}"])
    assert ended.value.code not in (0, None)
    output = capsys.readouterr().err
    assert 0 < len(output) < 1000
    assert "Traceback" not in output
    assert "nternal error" not in output


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_signal_during_a_report_leaves_no_partial_file(name: str) -> None:
    code = (
        "import signal, os, sys\n"
        "from swanlab_mcp.cli.main import main\n"
        "from swanlab_mcp.present import report\n"
        "async def stop(*_, **__): os.kill(os.getpid(), getattr(signal, sys.argv[1])); return ''\n"
        "report.write_report = stop\n"
        "main(['--demo', 'report', 'local/digits-mlp', '-o', 'x.html'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, name], capture_output=True, text=True, env=environ(), timeout=60, check=False
    )
    assert done.returncode == 128 + getattr(signal, name), done.stderr
    assert f"Stopped by {name}; no file was left incomplete." in done.stderr
    assert list(Path().iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_signal_ends_with_a_message_and_leaves_no_partial_file(name: str) -> None:
    code = (
        "import signal, os, sys, io\n"
        "from swanlab_mcp.present import export\n"
        "from swanlab_mcp.cli.main import main\n"
        "export._WRITERS['csv'] = lambda *_: iter([os.kill(os.getpid(), getattr(signal, sys.argv[1]))])\n"
        f"main({[*EXPORT, '-o', 'x.csv']})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, name], capture_output=True, text=True, env=environ(), timeout=60, check=False
    )
    assert done.returncode == 128 + getattr(signal, name)
    assert f"Stopped by {name}; no file was left incomplete." in done.stderr
    assert "Traceback" not in done.stderr
    assert list(Path().iterdir()) == []


def test_terminal_gets_no_control_characters() -> None:
    main_end, terminal = os.openpty()
    code = (
        "import sys; from swanlab_mcp.present import export; "
        "file = export._open(None, '-', is_text=True).__enter__(); file.write('\\x1b[31mred\\n'); sys.stdout.flush()"
    )
    subprocess.run([sys.executable, "-c", code], stdout=terminal, env=environ(), timeout=60, check=True)
    os.close(terminal)
    assert os.read(main_end, 1000) == b"\\x1b[31mred\r\n"
    os.close(main_end)
