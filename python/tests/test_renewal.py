from __future__ import annotations

import threading

import pytest

from live import LiveServer
from trustwarden import AgentIdentity, TrustWardenError, TrustWardenWarning, renewal
from trustwarden.credential import Credential
from trustwarden.renewal import SvidHolder


def credential_of(agent: AgentIdentity) -> Credential:
    return agent._session.holder.current()  # pyright: ignore[reportPrivateUsage]


def test_an_svid_is_renewed_by_itself_under_a_new_key(
    orchestrator: AgentIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = credential_of(orchestrator)
    renewed = threading.Event()

    def renew(current: Credential) -> Credential:
        assert current is first
        orchestrator.renew()
        renewed.set()
        return credential_of(orchestrator)

    monkeypatch.setattr(renewal, "jitter", lambda: 0.0)
    holder = SvidHolder(first, renew, first.expires_at + 1)
    holder.renew_soon(0.0)
    assert renewed.wait(20)
    for _ in range(1000):
        if holder.latest is not first:
            break
        threading.Event().wait(0.01)
    assert holder.latest.key.thumbprint != first.key.thumbprint
    assert holder.latest.svid.id == first.svid.id
    holder.close()


def test_a_failed_renewal_is_told_and_the_svid_at_hand_goes_on(orchestrator: AgentIdentity) -> None:
    first = credential_of(orchestrator)
    has_failed = threading.Event()

    def fail(_: Credential) -> Credential:
        has_failed.set()
        raise TrustWardenError("server_unreachable")

    holder = SvidHolder(first, fail, first.expires_at + 1)
    with pytest.warns(TrustWardenWarning, match="could not be renewed") as told:
        holder.renew_soon(0.0)
        assert has_failed.wait(20)
        for _ in range(1000):
            if told.list:
                break
            threading.Event().wait(0.01)
    assert holder.current() is first
    holder.close()
    with pytest.raises(TrustWardenError) as failed:
        holder.current()
    assert failed.value.code == "identity_closed"


def test_an_svid_that_ended_signs_nothing_more(orchestrator: AgentIdentity, monkeypatch: pytest.MonkeyPatch) -> None:
    first = credential_of(orchestrator)
    holder = SvidHolder(first, lambda current: current, first.expires_at)
    monkeypatch.setattr(renewal, "now_seconds", lambda: first.expires_at)
    with pytest.raises(TrustWardenError) as failed:
        holder.current()
    assert failed.value.code == "identity_expired"


def test_a_renewal_under_way_is_shared(orchestrator: AgentIdentity) -> None:
    first = credential_of(orchestrator)
    calls: list[Credential] = []
    can_end = threading.Event()

    def renew(current: Credential) -> Credential:
        calls.append(current)
        assert can_end.wait(20)
        orchestrator.renew()
        return credential_of(orchestrator)

    holder = SvidHolder(first, renew, first.expires_at)
    workers = [threading.Thread(target=holder.renew) for _ in range(4)]
    for worker in workers:
        worker.start()
    can_end.set()
    for worker in workers:
        worker.join()
    assert 1 <= len(calls) <= 4
    assert len(set(map(id, calls))) == len(calls)
    holder.close()


def test_a_revoked_agent_gets_no_new_svid(live: LiveServer) -> None:
    with AgentIdentity.create(name="over", ticket=live.ticket("over", ["read:transactions"])) as agent:
        live.admin("POST", "/v1/revocations", {"target": {"kind": "instance", "id": agent.instance_id}})
        with pytest.raises(TrustWardenError) as failed:
            agent.renew()
        assert failed.value.code == "principal_refused"
