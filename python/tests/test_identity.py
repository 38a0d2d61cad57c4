from __future__ import annotations

import copy
import pickle
from contextlib import closing

import pytest

from hostile import HostileService, Relay
from live import TRUST_DOMAIN, LiveServer
from trustwarden import AgentIdentity, DeniedError, TrustWardenError, transport
from trustwarden.contact import ServerAddress
from trustwarden.server import connect_server
from trustwarden.spiffe import parse_trust_domain

READ = ["read:transactions"]


def code_of(failed: pytest.ExceptionInfo[TrustWardenError]) -> str:
    return failed.value.code


def test_the_line_of_the_founding_essay_works_as_written(live: LiveServer) -> None:
    ticket = live.ticket("essay", ["read:transactions", "write:ledger", "write:reports"])
    with AgentIdentity.create(name="essay", ticket=ticket) as orchestrator:
        agent = AgentIdentity.create(
            name="payment-processor",
            scope=["read:transactions", "write:ledger"],
            ttl="1h",
            parent=orchestrator.id,
        )
        with agent:
            assert agent.id.startswith("spiffe://acme.test/team/finance/payment-processor/inst-")
            assert agent.scope == ("read:transactions", "write:ledger")
            assert agent.chain[-2:] == (orchestrator.agent_id, agent.agent_id)
            assert agent.name == "payment-processor"
            assert agent.expires_at > 0


def test_the_ticket_comes_from_the_environment(live: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUSTWARDEN_TICKET", live.ticket("from-environment", READ))
    with AgentIdentity.create(name="from-environment") as agent:
        assert agent.scope == ("read:transactions",)


def test_without_a_ticket_there_is_no_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRUSTWARDEN_TICKET", raising=False)
    with pytest.raises(TrustWardenError) as failed:
        AgentIdentity.create(name="nobody")
    assert code_of(failed) == "ticket_missing"


@pytest.mark.parametrize("text", ["tw1.", "tw1.!!", "twg1.e30", "tw1.e30", "x" * 200_000])
def test_a_text_that_is_no_ticket_is_refused(text: str) -> None:
    with pytest.raises(TrustWardenError) as failed:
        AgentIdentity.create(name="nobody", ticket=text)
    assert code_of(failed) == "ticket_invalid"


def test_a_ticket_for_something_else_is_refused_before_it_is_used(live: LiveServer) -> None:
    ticket = live.ticket("another", READ)
    with pytest.raises(TrustWardenError) as failed:
        AgentIdentity.create(name="mine", ticket=ticket)
    assert (code_of(failed), failed.value.details) == ("ticket_mismatch", {"field": "name"})
    with pytest.raises(TrustWardenError) as failed:
        AgentIdentity.create(name="another", scope=["write:ledger"], ticket=ticket)
    assert failed.value.details == {"field": "scope"}
    AgentIdentity.create(name="another", scope=READ, ttl="1h", ticket=ticket).close()


def test_a_ticket_is_good_once(live: LiveServer) -> None:
    ticket = live.ticket("once", READ)
    AgentIdentity.create(name="once", ticket=ticket).close()
    with pytest.raises(TrustWardenError) as failed:
        AgentIdentity.create(name="once", ticket=ticket)
    assert code_of(failed) == "principal_refused"


def test_a_child_outside_of_its_parent_is_refused_with_a_counterexample(orchestrator: AgentIdentity) -> None:
    with pytest.raises(TrustWardenError) as failed:
        orchestrator.spawn(name="rogue", scope=["read:transactions", "delete:transactions"])
    assert code_of(failed) == "scope_not_subset"
    assert failed.value.counterexample == "delete:transactions"


def test_a_child_gets_no_scope_by_silence(orchestrator: AgentIdentity) -> None:
    with pytest.raises(TrustWardenError) as failed:
        AgentIdentity.create(name="silent", parent=orchestrator)
    assert code_of(failed) == "scope_malformed"


def test_a_lifetime_beyond_the_parents_is_cut_and_says_so(orchestrator: AgentIdentity) -> None:
    with orchestrator.spawn(name="long", scope=READ, ttl="7d") as child:
        assert child.ttl_shortened
        assert child.expires_at <= orchestrator.expires_at


@pytest.mark.parametrize("parent", ["spiffe://acme.test/team/finance/nobody/inst-1", "orchestrator", ""])
def test_a_text_is_no_parent_unless_its_key_is_here(parent: str) -> None:
    with pytest.raises(TrustWardenError) as failed:
        AgentIdentity.create(name="orphan", scope=READ, parent=parent)
    assert code_of(failed) == "parent_proof_missing"


def test_a_closed_identity_is_nobodys_parent_and_acts_no_more(live: LiveServer) -> None:
    agent = AgentIdentity.create(name="closed", ticket=live.ticket("closed", READ))
    agent.close()
    agent.close()
    with pytest.raises(TrustWardenError) as failed:
        AgentIdentity.create(name="orphan", scope=READ, parent=agent.id)
    assert code_of(failed) == "parent_proof_missing"
    with pytest.raises(TrustWardenError) as failed:
        agent.spawn(name="orphan", scope=READ)
    assert code_of(failed) == "identity_closed"


def test_a_child_in_another_process_gets_its_grant_by_text(orchestrator: AgentIdentity) -> None:
    request = AgentIdentity.request(name="remote", scope=READ, ttl="10m")
    with closing(request.complete(orchestrator.grant(request.text))) as child:
        assert child.scope == ("read:transactions",)
        assert child.chain[-2] == orchestrator.agent_id
    with pytest.raises(TrustWardenError) as failed:
        orchestrator.grant("twr1.e30")
    assert code_of(failed) == "request_malformed"


def test_a_grant_is_for_the_key_that_asked(orchestrator: AgentIdentity) -> None:
    mine = AgentIdentity.request(name="mine", scope=READ)
    thief = AgentIdentity.request(name="mine", scope=READ)
    with pytest.raises(TrustWardenError) as failed:
        thief.complete(orchestrator.grant(mine.text))
    assert code_of(failed) == "principal_refused"


def test_each_connection_of_first_contact_is_proven_before_anything_is_sent_on_it(
    live: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first connection is not used again, and the roots are not the pinned ones: the successions come on another.
    monkeypatch.setattr(transport, "_IDLE_SECONDS", -1.0)
    with closing(HostileService(live, "impostor")) as impostor, closing(Relay(live.url, impostor.url)) as relay:
        impostor.raw = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
        address = ServerAddress(relay.url, parse_trust_domain(TRUST_DOMAIN), "A" * 43)
        with pytest.raises(TrustWardenError) as failed:
            connect_server(address)
        assert impostor.requests == []
    assert code_of(failed) == "server_untrusted"


def test_a_server_that_the_ticket_does_not_pin_gets_nothing(live: LiveServer) -> None:
    ticket = live.ticket("pinned", READ, authorities_sha256="A" * 43)
    with pytest.raises(TrustWardenError) as failed:
        AgentIdentity.create(name="pinned", ticket=ticket)
    assert (code_of(failed), failed.value.details) == ("server_untrusted", {"reason": "pin"})


def test_a_renewal_brings_a_new_key_and_the_same_identity(orchestrator: AgentIdentity) -> None:
    before = orchestrator.id
    orchestrator.renew()
    assert orchestrator.id == before
    with orchestrator.act("write:reports", "file://reports/q3") as action:
        assert action.receipt.allow


def test_a_revoked_identity_and_its_children_are_over(live: LiveServer) -> None:
    parent = AgentIdentity.create(name="doomed", ticket=live.ticket("doomed", ["read:transactions", "write:ledger"]))
    child = parent.spawn(name="doomed-child", scope=READ)
    answer = parent.revoke("done for today")
    assert answer.instances == 2
    with pytest.raises(TrustWardenError) as failed, child.act("read:transactions", "postgres://db/transactions"):
        pytest.fail("a revoked agent acted")
    assert code_of(failed) == "principal_refused"
    with pytest.raises(TrustWardenError) as failed, parent.act("read:transactions", "postgres://db/transactions"):
        pytest.fail("a revoked agent acted")
    assert code_of(failed) == "identity_closed"
    child.close()


def test_nobody_revokes_a_stranger(live: LiveServer, orchestrator: AgentIdentity) -> None:
    with AgentIdentity.create(name="stranger", ticket=live.ticket("stranger", READ)) as stranger:
        with pytest.raises(TrustWardenError) as failed:
            stranger.revoke("jealousy", child=orchestrator)
        assert isinstance(failed.value, DeniedError)


def test_a_jwt_is_for_one_audience(orchestrator: AgentIdentity) -> None:
    assert orchestrator.jwt("https://api.example").count(".") == 2


def test_an_identity_shows_its_id_and_is_neither_copied_nor_pickled(orchestrator: AgentIdentity) -> None:
    assert repr(orchestrator) == f"AgentIdentity({orchestrator.id})"
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            attempt(orchestrator)


def test_an_agent_signs_its_card_and_believes_those_of_its_trust_domain(orchestrator: AgentIdentity) -> None:
    card = orchestrator.sign_agent_card({"name": "desk", "version": "1.0", "skills": [{"id": "ask"}]})
    assert orchestrator.verify_agent_card(card) == orchestrator.id
    with pytest.raises(TrustWardenError, match="signature_invalid"):
        orchestrator.verify_agent_card({**card, "name": "till"})
    with pytest.raises(TrustWardenError, match="agent_card_malformed"):
        orchestrator.sign_agent_card({"name": "desk", "url": "https://desk.test"})
