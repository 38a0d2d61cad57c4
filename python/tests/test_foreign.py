"""A workload of a federated trust domain: its issuer's Workload API at one end, our server and service at the other."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from live import TRUST_DOMAIN, LiveServer, Program
from trustwarden import AgentIdentity, TrustWardenError, WorkloadApiClient, WorkloadX509Svid, create_workload_api_client
from trustwarden._bytes import encode_base64
from trustwarden._crypto import format_p256_jwk
from trustwarden.dsse import issue_envelope
from trustwarden.keys import InstanceKey
from trustwarden.runtime import format_ulid

WORKLOAD = "spiffe://ours.test/team/pay"
PARTNER = "ours.test"
_numbers = count()


class Partner:
    """Another trust domain with a Workload API, federated with our server."""

    def __init__(self, live: LiveServer) -> None:
        self._live = live
        self._program = Program(["test/support/workload-endpoint.ts"])
        self.client: WorkloadApiClient = create_workload_api_client(socket=self._program.ready["socket"])
        self.federate()

    def federate(self) -> None:
        (root,) = self.client.fetch_x509_bundles()[PARTNER].x509_authorities  # pyright: ignore[reportArgumentType]
        key = {**format_p256_jwk(root.public_key), "use": "x509-svid", "x5c": [encode_base64(root.der)]}
        bundle = json.dumps({"keys": [key], "spiffe_sequence": 1, "spiffe_refresh_hint": 300})
        self._live.admin("POST", "/v1/federations", {"trust_domain": PARTNER, "endpoint": None, "bundle": bundle})

    def register(self) -> str:
        """The owner's word for the workload, as the workload gets it."""
        now, live = int(time.time()), self._live
        entry = {
            "v": 1,
            "kind": "foreign",
            "jti": format_ulid(),
            "aud": f"spiffe://{TRUST_DOMAIN}",
            "iat": now,
            "exp": now + 3600,
            "owner": live.owner_id,
            "path": "partners",
            "name": f"worker-{next(_numbers)}",
            "scope": ["read:transactions"],
            "spiffe_id": WORKLOAD,
        }
        envelope = issue_envelope("entry", entry, live.owner_key.sign, live.keyid)
        return str(live.owner("/v1/foreign-agents", {"registration": envelope})["value"])

    def svid(self) -> WorkloadX509Svid:
        """The class SVID, which is the workload's name for good."""
        (found,) = (svid for svid in self.client.fetch_x509().svids if svid.spiffe_id == WORKLOAD)
        return found

    def close(self) -> None:
        self._live.admin("POST", f"/v1/federations/{PARTNER}/removal", {})
        self._program.close()


@pytest.fixture(scope="module")
def partner(live: LiveServer) -> Iterator[Partner]:
    made = Partner(live)
    yield made
    made.close()


def code_of(registration: str, svid: object) -> str:
    with pytest.raises(TrustWardenError) as refused:
        AgentIdentity.from_svid(registration=registration, svid=lambda: svid)  # pyright: ignore[reportArgumentType]
    return refused.value.code


def test_a_foreign_workload_acts_visits_renews_and_is_stopped(live: LiveServer, finance: str, partner: Partner) -> None:
    with AgentIdentity.from_svid(registration=partner.register(), svid=partner.svid) as agent:
        assert (agent.id, agent.scope) == (WORKLOAD, ("read:transactions",))
        assert agent.chain == (f"owner:{live.owner_id}", agent.agent_id)
        assert agent.fetch(f"{finance}/transactions").status_code == 200
        with agent.act("read:transactions", "db://rows") as action:
            assert action.receipt.allow
        agent.renew()
        assert agent.fetch(f"{finance}/transactions").status_code == 200
        with pytest.raises(TrustWardenError, match="principal_refused"):
            agent.jwt("https://api.test")
        with pytest.raises(TrustWardenError, match="grant_invalid"):
            agent.spawn(name="child", scope=["read:transactions"])
        live.owner("/v1/revocations", {"target": {"kind": "agent", "id": agent.agent_id}, "reason": ""})
        assert agent.fetch(f"{finance}/transactions").status_code == 401


def test_another_workloads_svid_a_key_of_another_kind_and_a_text_that_is_none_are_refused(
    live: LiveServer, partner: Partner
) -> None:
    registration, svid = partner.register(), partner.svid()
    (instance, *_) = partner.client.fetch_x509().svids
    assert code_of(registration, instance) == "svid_mismatch"
    assert code_of(registration, replace(svid, private_key=InstanceKey().lend_to_tls())) == "svid_mismatch"
    assert code_of(registration, replace(svid, private_key=ec.generate_private_key(ec.SECP384R1()))) == (
        "svid_key_refused"
    )
    assert code_of("twf1.", svid) == "entry_invalid"
    assert code_of(registration[:-8], svid) == "entry_invalid"
