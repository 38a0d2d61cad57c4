"""The guides as their readers meet them: the blocks in their order, in one terminal, at a server of their own.

A folder's test file names its guides and inherits the test.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from live import ROOT, TRUST_DOMAIN, WARDEN, Program

BLOCK = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a reader's terminal, with a running server."""
    # A socket's path has an end that a test's own directory may pass.
    with tempfile.TemporaryDirectory(prefix="tw-") as home:
        data, config = Path(home) / "data", Path(home) / "config"
        places = ["--data", str(data), "--config-dir", str(config), "--trust-domain", TRUST_DOMAIN]
        quiet = ["--port", "0", "--stop-port", "0", "--no-node", "--log-level", "error"]
        server = Program([WARDEN, "up", *places, *quiet])
        commands = tmp_path / "bin"
        commands.mkdir()
        for name, line in (("warden", f'node "{WARDEN}"'), ("python", f'"{sys.executable}"')):
            (commands / name).write_text(f'#!/bin/sh\nexec {line} "$@"\n')
            (commands / name).chmod(0o755)
        yield {
            **os.environ,
            "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
            "TRUSTWARDEN_DATA_DIR": str(data),
            "TRUSTWARDEN_CONFIG_DIR": str(config),
        }
        server.close()


def expect_blocks_do_what_they_say(page: str, folder: str, asks: str, reader: dict[str, str], tmp_path: Path) -> None:
    """Runs a page; `asks` is the name of the one that was refused."""
    text = (ROOT / f"docs/guides/{page}.md").read_text()
    example = ROOT / "examples/python" / folder
    blocks = [match.groups() for match in BLOCK.finditer(text)]
    programs = [block for language, _, block in blocks if language == "python"]
    assert programs == [(example / name).read_text() for name in ("agent.py", "clerk.py")]
    [before] = [block for language, _, block in blocks if language == "console"]
    # What a reader has to have before the first command that is run here.
    assert f"/python[{page.removeprefix('python-')}]" in before
    for name in ("model.py", "records.py"):
        assert f"/examples/python/{folder}/{name}" in before
    work = tmp_path / "work"
    work.mkdir()
    for name in ("agent.py", "clerk.py", "model.py", "records.py"):
        (work / name).write_text((example / name).read_text())
    script = "set -e\n" + "".join(block for language, _, block in blocks if language == "sh")
    ran = subprocess.run(["sh", "-c", script], cwd=work, env=reader, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "It was good." in ran.stdout
    assert asks in ran.stdout
    assert "read:file:reports/q3" in ran.stdout
    assert "delete:file:reports/q3" in ran.stdout
    # Of the MCP server's tool: the one record that the scope names, and the other one denied.
    assert "Record 7 is paid." in ran.stdout
    assert "success" in _line_of(ran.stdout, "read:record:7")
    assert "denied" in _line_of(ran.stdout, "read:record:8")
    assert "alice" in ran.stdout


def _line_of(shown: str, action: str) -> str:
    return next((line for line in shown.splitlines() if action in line), "")
