"""`inpaintzoo app` through the command line."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from inpaintzoo.commands import main

pytest.importorskip("uvicorn", reason="needs the extra app")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--host", "0.0.0.0"], "--host 0.0.0.0 is every address"),
        (["--host", "no.such.host.invalid"], "no.such.host.invalid cannot be listened at"),
        (["--segmenter", "sma"], "--segmenter must be maskrcnn, pointrend or sam, got 'sma'"),
        (["--model", "missing.safetensors"], "missing.safetensors"),
    ],
)
def test_what_cannot_be_started(options, words, capsys):
    assert main(["app", *options]) == 1
    said = capsys.readouterr().err
    assert said.startswith("inpaintzoo app: error: ") and words in said and said.count("\n") == 1


def test_a_port_that_cannot_be(capsys):
    assert main(["app", "--port", "99999"]) == 2
    assert "--port" in capsys.readouterr().err


def test_a_port_in_use(capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["app", "--port", str(port)]) == 1
    assert f"port {port} of 127.0.0.1 is in use; give another --port" in capsys.readouterr().err


def test_without_the_extra(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "uvicorn" else object())
    assert main(["app"]) == 1
    assert 'the page needs uvicorn: pip install "inpaintzoo[app]"' in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends processes without asking them")
def test_it_serves_and_takes_the_uploads_with_it(tmp_path):
    command = [sys.executable, "-m", "inpaintzoo", "app", "--port", "0", "--device", "cpu"]  # a process, to be ended
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as server:
        try:
            address = server.stdout.readline().split()[0]
            with urllib.request.urlopen(f"{address}/models") as answer:
                assert b"shiftmap" in answer.read()
            (folder,) = Path(tmp_path).glob("inpaintzoo-app-*")
            server.send_signal(signal.SIGTERM)
            assert server.wait(20) == 130
        finally:
            server.kill()
        assert not folder.exists()
        assert server.stderr.read() == "inpaintzoo app: stopped\n"
