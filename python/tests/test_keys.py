from __future__ import annotations

import copy
import os
import pickle
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from live import LiveServer
from trustwarden import AgentIdentity, tls
from trustwarden._crypto import is_p256_signature
from trustwarden.keys import InstanceKey


def test_a_key_signs_and_shows_its_thumbprint_only() -> None:
    key = InstanceKey()
    assert is_p256_signature(key.public_key, b"data", key.sign(b"data"))
    assert not is_p256_signature(key.public_key, b"other", key.sign(b"data"))
    assert repr(key) == str(key) == f"InstanceKey({key.thumbprint})"
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            attempt(key)


def test_a_key_reaches_openssl_through_no_file_system(
    orchestrator: AgentIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a file was made")

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    credential = orchestrator._session.holder.current()  # pyright: ignore[reportPrivateUsage]
    context = tls.client_context(credential.key, credential.svid_chain)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3


def test_where_there_are_no_pipes_by_path_the_file_holds_nothing_readable_and_is_gone(
    orchestrator: AgentIdentity, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tls, "_DEV_FD", tmp_path / "absent")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    seen: list[bytes] = []
    load = ssl.SSLContext.load_cert_chain

    def look(self: ssl.SSLContext, certfile: str, keyfile: str, password: bytes) -> None:
        seen.append(Path(keyfile).read_bytes())
        assert Path(keyfile).stat().st_mode & 0o077 == 0
        load(self, certfile, keyfile, password)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", look)
    credential = orchestrator._session.holder.current()  # pyright: ignore[reportPrivateUsage]
    tls.client_context(credential.key, credential.svid_chain)
    assert seen[0].startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert list(tmp_path.iterdir()) == []


def test_no_write_to_a_file_carries_a_readable_key(live: LiveServer, tmp_path: Path) -> None:
    program = """
import os, sys
from trustwarden import AgentIdentity, act
act._DECISION_LASTS_SECONDS = 30.0
with AgentIdentity.create(name="watched", ticket=sys.argv[1]) as agent:
    with agent.act("read:transactions", "db://transactions"):
        pass
"""
    trace = tmp_path / "trace"
    ticket = live.ticket("watched", ["read:transactions"])
    command = ["strace", "-f", "-qq", "-s", "4096", "-e", "trace=write,pwrite64,writev,openat", "-o", str(trace)]
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([*command, sys.executable, "-c", program, ticket], check=True, env=env)
    text = trace.read_text(errors="replace")
    assert "ENCRYPTED PRIVATE KEY" in text
    assert "BEGIN PRIVATE KEY" not in text
    assert "BEGIN EC PRIVATE KEY" not in text
    made = [line for line in text.splitlines() if "openat" in line and "O_CREAT" in line]
    assert made == []


def test_a_key_of_another_certificate_makes_no_context(orchestrator: AgentIdentity) -> None:
    credential = orchestrator._session.holder.current()  # pyright: ignore[reportPrivateUsage]
    other = InstanceKey()
    with pytest.raises(OSError, match=r"."):
        tls.client_context(other, credential.svid_chain)
