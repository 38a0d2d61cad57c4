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
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from live import LiveServer
from trustwarden import AgentIdentity, TrustWardenError, tls
from trustwarden._crypto import is_p256_signature
from trustwarden.enrol import read_ticket
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


def test_no_frame_of_a_failure_holds_what_opens_a_key(orchestrator: AgentIdentity) -> None:
    """What reports crashes copies the variables of every frame, and those of an encrypted key and its passphrase."""
    credential = orchestrator._session.holder.current()  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(OSError, match=r".") as failed:
        tls.client_context(InstanceKey(), credential.svid_chain)
    frames = [entry.frame.f_locals for entry in failed.traceback]
    texts = [value for frame in frames for value in frame.values() if isinstance(value, bytes)]
    sealed = [text for text in texts if b"ENCRYPTED PRIVATE KEY" in text]
    assert sealed, "the frames are those of the failure"
    for text in sealed:
        for secret in texts:
            with pytest.raises(ValueError, match=r"."):
                load_pem_private_key(text, secret[:1023])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_key_signs_in_no_forked_child() -> None:
    key = InstanceKey()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        for attempt in (lambda: key.sign(b"data"), key.lend_to_tls):
            try:
                attempt()
                os.write(writer, b"signed ")
            except TrustWardenError as error:
                os.write(writer, f"{error.code} ".encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        assert stream.read() == "identity_closed identity_closed "
    os.waitpid(child, 0)
    assert key.sign(b"data")


def test_a_held_ticket_is_not_shown(live: LiveServer) -> None:
    held = read_ticket(live.ticket("unseen", ["read:transactions"]))
    assert held.envelope not in repr(held)
    assert "sig" not in repr(held)
