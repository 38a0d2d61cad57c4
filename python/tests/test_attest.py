"""`AgentIdentity.attest` against a real server, with evidence fetched from stand-ins that speak as the platforms do."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from live import TRUST_DOMAIN, LiveServer, Program
from trustwarden import (
    AgentIdentity,
    AwsCredentials,
    EvidenceSource,
    Exchange,
    Secret,
    TrustWardenError,
    from_aws_role,
    from_azure_identity,
    from_azure_machine,
    from_ec2,
    from_gce,
    from_github_actions,
    from_kubernetes,
    from_oidc,
)
from trustwarden.dsse import issue_envelope
from trustwarden.runtime import format_ulid

AWS_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
TENANT = "72f988bf-0000-4000-8000-000000000001"
SCOPE = ["fetch:web", "read:transactions"]
EXCHANGE = Exchange("n", f"spiffe://{TRUST_DOMAIN}")
_numbers = count()


@pytest.fixture(scope="module")
def platforms() -> Iterator[Program]:
    program = Program(["test/support/platforms.ts"])
    yield program
    program.close()


@pytest.fixture(scope="module")
def server(platforms: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    settings = tmp_path_factory.mktemp("attest") / "settings.json"
    settings.write_text(json.dumps({"attestation": platforms.ready["attestation"]}))
    live = LiveServer("--config", str(settings))
    yield live
    live.close()


@pytest.fixture
def url(platforms: Program) -> str:
    return str(platforms.ready["url"])


def create_entry(live: LiveServer, name: str, selectors: list[str]) -> None:
    now = int(time.time())
    entry: dict[str, Any] = {
        "v": 1,
        "kind": "agent",
        "jti": format_ulid(),
        "aud": f"spiffe://{TRUST_DOMAIN}",
        "iat": now,
        "exp": now + 86_400,
        "owner": live.owner_id,
        "path": "team/web",
        "name": name,
        "scope": SCOPE,
        "ttl_seconds": 3600,
        "limits": {"depth": 1, "fan_out": 4, "budget": None},
        "selectors": selectors,
        "nodes": ["*"],
        "hint": name,
    }
    live.owner("/v1/entries", {"entry": issue_envelope("entry", entry, live.owner_key.sign, live.keyid)})


def attest(live: LiveServer, evidence: EvidenceSource, **options: Any) -> AgentIdentity:
    pin = live.discovery["authorities_sha256"]
    return AgentIdentity.attest(server=live.url, authorities_sha256=pin, evidence=evidence, **options)


def corp(url: str, subject: str) -> EvidenceSource:
    def token(audience: str) -> str:
        return httpx.get(f"{url}/corp", params={"audience": audience, "sub": subject}).text

    return from_oidc(provider="corp", token=token)


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(TrustWardenError) as refused:
        call()
    assert "SECRET" not in repr(refused.value.details)
    return refused.value.code


@pytest.mark.parametrize(
    ("kind", "selectors"),
    [
        ("github", ["github:repository_id:7"]),
        ("kubernetes", ["k8s:cluster:prod", "k8s:ns:pay", "k8s:sa:agent"]),
        ("oidc", ["oidc:corp:sub:alice"]),
        ("gce", ["gcp:project_number:7"]),
        ("ec2", ["aws:account:123456789012"]),
        ("aws-role", ["aws:role:210987654321/agent"]),
        ("azure-identity", [f"azure:tenant_id:{TENANT}"]),
        ("azure-machine", ["azure:vm_id:vm-1"]),
    ],
)
def test_a_process_becomes_an_agent_by_its_platforms_evidence(
    kind: str, selectors: list[str], server: LiveServer, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kubernetes() -> EvidenceSource:
        (tmp_path / "token").write_text(httpx.get(f"{url}/kubernetes").text + "\n")
        return from_kubernetes(cluster="prod", token_file=tmp_path / "token")

    def github() -> EvidenceSource:
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"{url}/github?api=1")
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "request-token")
        return from_github_actions()

    def role() -> EvidenceSource:
        credentials = AwsCredentials("ASIAEXAMPLEEXAMPLE00", Secret(AWS_SECRET), Secret("FwoGZXIvYXdzEXAMPLE=="))
        return from_aws_role(region="eu-central-1", host=urlsplit(url).netloc, credentials=lambda: credentials)

    sources: dict[str, Callable[[], EvidenceSource]] = {
        "github": github,
        "kubernetes": kubernetes,
        "oidc": lambda: corp(url, "alice"),
        "gce": lambda: from_gce(metadata_url=url),
        "ec2": lambda: from_ec2(metadata_url=url),
        "aws-role": role,
        "azure-identity": lambda: from_azure_identity(resource="api://trustwarden", metadata_url=url),
        "azure-machine": lambda: from_azure_machine(metadata_url=url),
    }
    create_entry(server, kind, selectors)
    with attest(server, sources[kind](), name=kind) as agent:
        assert agent.id.startswith(f"spiffe://{TRUST_DOMAIN}/team/web/{kind}/inst-")
        assert list(agent.scope) == SCOPE
        # It is an identity like any other: it renews, has children and acts.
        agent.renew()
        with agent.spawn(name=f"{kind}-child", scope=["read:transactions"]) as child:
            assert child.chain == (*agent.chain, child.agent_id)
        with agent.act("read:transactions", "db://x"):
            pass


def test_evidence_that_fits_no_entry_or_another_agent_is_refused(server: LiveServer, url: str) -> None:
    assert code_of(lambda: attest(server, corp(url, "nobody"))) == "entry_not_matched"
    create_entry(server, "bob", ["oidc:corp:sub:bob"])
    assert code_of(lambda: attest(server, corp(url, "bob"), name="alice")) == "server_untrusted"
    forged = from_oidc(provider="corp", token=lambda _: "a.b.c")
    assert code_of(lambda: attest(server, forged)) == "principal_refused"


def test_no_evidence_is_asked_for_before_the_server_has_proven_itself(server: LiveServer) -> None:
    asked: list[Exchange] = []

    def source(exchange: Exchange) -> dict[str, str]:
        asked.append(exchange)
        return {"type": "gcp", "token": "a.b.c"}

    pin = "A" * 43
    refused = code_of(lambda: AgentIdentity.attest(server=server.url, authorities_sha256=pin, evidence=source))
    assert (refused, asked) == ("server_untrusted", [])


def test_the_asynchronous_twin_attests_too(server: LiveServer, url: str) -> None:
    create_entry(server, "carol", ["oidc:corp:sub:carol"])

    async def name_of() -> str:
        pin, evidence = server.discovery["authorities_sha256"], corp(url, "carol")
        async with await AgentIdentity.aattest(server=server.url, authorities_sha256=pin, evidence=evidence) as agent:
            return agent.name

    assert asyncio.run(name_of()) == "carol"


def test_a_platform_without_evidence_is_a_clear_error_without_what_it_answered(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ACTIONS_ID_TOKEN_REQUEST_URL", raising=False)
    assert code_of(lambda: from_github_actions()(EXCHANGE)) == "evidence_unavailable"
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "request-token")
    for path in ("/github?api=2", "/elsewhere", "/kubernetes", "/\x01"):
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"{url}{path}")
        assert code_of(lambda: from_github_actions()(EXCHANGE)) == "evidence_unavailable"
    missing = from_kubernetes(cluster="prod", token_file=tmp_path / "missing")
    assert code_of(lambda: missing(EXCHANGE)) == "evidence_unavailable"
    assert code_of(lambda: from_gce(metadata_url="http://127.0.0.1:1")(EXCHANGE)) == "evidence_unavailable"
    role = AwsCredentials("a", Secret("b"), Secret("c"))
    assert code_of(lambda: from_aws_role(region="Mars!", credentials=lambda: role)) == "config_invalid"


def test_a_secret_is_shown_to_nobody_by_accident() -> None:
    secret = Secret("hunter2")
    assert secret.reveal() == "hunter2"
    assert "hunter2" not in f"{secret} {secret!r} {AwsCredentials('a', secret, secret)!r}"
    with pytest.raises(TypeError):
        json.dumps(secret)
