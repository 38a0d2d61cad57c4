"""The exchange of a JWT-SVID for providers' credentials, against the stand-ins that the TypeScript SDK has."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import httpx
import pytest

import trustwarden.exchange.credentials as credentials_module
from live import Program
from trustwarden import (
    AgentIdentity,
    TrustWardenError,
    anthropic_credentials,
    aws_credentials,
    azure_credentials,
    gcp_credentials,
    open_ai_credentials,
)

AWS: dict[str, Any] = {
    "role_arn": "arn:aws:iam::123456789012:role/reporter",
    "region": "eu-central-1",
    "session_name": "reporter",
}
GCP: dict[str, Any] = {"project_number": "123456789", "pool": "agents", "pool_provider": "acme"}
AZURE: dict[str, Any] = {
    "tenant_id": "11111111-2222-3333-4444-555555555555",
    "client_id": "66666666-7777-8888-9999-000000000000",
    "scope": "https://management.azure.com/.default",
}
ANTHROPIC: dict[str, Any] = {
    "federation_rule_id": "fdrl_example",
    "organization_id": "00000000-0000-0000-0000-000000000000",
    "service_account_id": "svac_example",
}
OPEN_AI: dict[str, Any] = {"identity_provider_id": "idp_example", "service_account_id": "svcacct_example"}
IDENTITY_OF_ANOTHER = "spiffe://acme.test/other/inst-01"


class Providers:
    """The stand-ins, an agent that they believe, and what they were asked."""

    def __init__(self) -> None:
        self._program = Program(["test/support/exchange-world.ts"])
        ready = self._program.ready
        self._control = str(ready["control"])
        self.url, self.ca = str(ready["providers"]), str(ready["ca"])
        self.agent = AgentIdentity.create(name="first", ticket=str(ready["ticket"]))
        self.place: dict[str, Any] = {"agent": self.agent, "endpoint": self.url, "ca": self.ca}
        self.believe(self.agent.id)

    def believe(self, subject: str) -> None:
        self._tell({"subject": subject})

    def answer_next(self, status: int, body: str) -> None:
        self._tell({"override": {"status": status, "body": body}})

    def asked(self) -> list[str]:
        return self._tell({})

    def close(self) -> None:
        self.agent.close()
        self._program.close()

    def _tell(self, words: dict[str, Any]) -> list[str]:
        return httpx.post(self._control, json=words, trust_env=False).json()


@pytest.fixture(scope="module")
def providers() -> Iterator[Providers]:
    providers = Providers()
    yield providers
    providers.close()


def code_of(attempt: Callable[[], object]) -> str:
    with pytest.raises(TrustWardenError) as refused:
        attempt()
    return refused.value.code


def test_it_gives_credentials_of_each_provider(providers: Providers) -> None:
    aws = aws_credentials(**providers.place, **AWS).get()
    assert aws.access_key_id == "ASIAIOSFODNN7EXAMPLE"
    assert aws.secret_access_key.reveal() == "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    google = gcp_credentials(**providers.place, **GCP).get()
    assert google.access_token.reveal() == "ya29.federated"
    entra = azure_credentials(**providers.place, **AZURE).get()
    assert entra.access_token.reveal() == "eyJ.entra.token"
    claude = anthropic_credentials(**providers.place, **ANTHROPIC).get()
    assert claude.access_token.reveal() == "sk-ant-oat01-example"
    model = open_ai_credentials(**providers.place, **OPEN_AI).get()
    assert model.access_token.reveal() == "openai-example"
    assert providers.asked() == ["aws ok", "gcp ok", "azure ok", "anthropic ok", "openai ok"]
    for credential in (aws, google, entra, claude, model):
        assert credential.expires_at > time.time() + 3000
    shown = repr((aws, google, entra, claude, model))
    assert not any(part in shown for part in ("wJalr", "FwoGZX", "ya29", "eyJ", "sk-ant", "openai-example"))
    with pytest.raises(TypeError):
        pickle.dumps(aws)


def test_it_impersonates_a_service_account_with_the_federated_token(providers: Providers) -> None:
    account = "reporter@acme.iam.gserviceaccount.com"
    more: dict[str, Any] = {"service_account": account, "credentials_endpoint": providers.url}
    assert gcp_credentials(**providers.place, **GCP, **more).get().access_token.reveal() == "ya29.impersonated"
    assert providers.asked() == ["gcp ok", "gcp impersonation ok"]


def test_it_shows_nobody_a_federated_token_that_cannot_stand_in_a_header(providers: Providers) -> None:
    account = "reporter@acme.iam.gserviceaccount.com"
    providers.answer_next(200, '{"access_token":"ya29.sécret","token_type":"Bearer","expires_in":3600}')
    more: dict[str, Any] = {"service_account": account, "credentials_endpoint": providers.url}
    assert code_of(gcp_credentials(**providers.place, **GCP, **more).get) == MALFORMED


def test_it_happens_once_however_many_wait_and_again_shortly_before_the_end_or_when_forgotten(
    providers: Providers, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = int(time.time())
    monkeypatch.setattr(credentials_module, "now_seconds", lambda: now)
    credentials = open_ai_credentials(**providers.place, **OPEN_AI)
    waiting = [threading.Thread(target=credentials.get) for _ in range(8)]
    for one in waiting:
        one.start()
    for one in waiting:
        one.join()
    now += 3539
    assert anyio.run(credentials.aget).access_token.reveal() == "openai-example"
    assert providers.asked() == ["openai ok"]
    now += 1
    credentials.get()
    credentials.forget()
    credentials.get()
    assert providers.asked() == ["openai ok", "openai ok"]


def test_a_refusal_is_the_providers_own_word_and_is_tried_again_afterwards(providers: Providers) -> None:
    elsewhere = "https://elsewhere.test"
    assert code_of(open_ai_credentials(**providers.place, **OPEN_AI, audience=elsewhere).get) == "exchange_refused"
    providers.believe(IDENTITY_OF_ANOTHER)
    credentials = aws_credentials(**providers.place, **AWS)
    with pytest.raises(TrustWardenError) as refused:
        credentials.get()
    assert refused.value.code == "exchange_refused"
    known = {name: refused.value.details[name] for name in ("provider", "status", "provider_code")}
    assert known == {"provider": "aws", "status": 400, "provider_code": "InvalidIdentityToken"}
    providers.believe(providers.agent.id)
    assert credentials.get().access_key_id == "ASIAIOSFODNN7EXAMPLE"
    providers.asked()


MALFORMED = "exchange_malformed"


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (200, "", MALFORMED),
        (200, "[]", MALFORMED),
        (200, '{"token_type":"Bearer","expires_in":3600}', MALFORMED),
        (200, '{"access_token":"x","token_type":"mac","expires_in":3600}', MALFORMED),
        (200, '{"access_token":"sécret","token_type":"Bearer","expires_in":3600}', MALFORMED),
        (200, '{"access_token":"x\\r\\ny","token_type":"Bearer","expires_in":3600}', MALFORMED),
        (200, '{"access_token":"x","token_type":"Bearer","expires_in":"1h"}', MALFORMED),
        (200, '{"access_token":"x","token_type":"Bearer","expires_in":1e12}', MALFORMED),
        (302, "", "exchange_refused"),
        (500, "<html>secret</html>", "exchange_refused"),
        (400, '{"error":"a sentence with secrets"}', "exchange_refused"),
        (200, "x" * 65_537, "exchange_unreachable"),
    ],
)
def test_it_takes_nothing_from_an_answer_that_is_not_as_documented(
    providers: Providers, status: int, body: str, code: str
) -> None:
    providers.answer_next(status, body)
    with pytest.raises(TrustWardenError) as refused:
        open_ai_credentials(**providers.place, **OPEN_AI).get()
    assert refused.value.code == code
    assert "secret" not in str(refused.value.details)


@pytest.mark.parametrize("body", ["<a/>", "<AccessKeyId>A</AccessKeyId><AccessKeyId>B</AccessKeyId>"])
def test_it_reads_no_answer_of_aws_with_an_element_twice_or_none(providers: Providers, body: str) -> None:
    providers.answer_next(200, body)
    assert code_of(aws_credentials(**providers.place, **AWS).get) == MALFORMED


def test_it_reaches_nobody_whom_the_webs_authorities_do_not_vouch_for(providers: Providers) -> None:
    credentials = open_ai_credentials(agent=providers.agent, endpoint=providers.url, **OPEN_AI)
    assert code_of(credentials.get) == "exchange_unreachable"


CONFUSED: list[tuple[Callable[..., object], dict[str, Any]]] = [
    (aws_credentials, {**AWS, "region": "eu.evil.test/x"}),
    (aws_credentials, {**AWS, "duration_seconds": 899}),
    (gcp_credentials, {**GCP, "pool": "a/b"}),
    (open_ai_credentials, {**OPEN_AI, "identity_provider_id": ""}),
    (azure_credentials, {**AZURE, "tenant_id": "common/.."}),
    (open_ai_credentials, {**OPEN_AI, "endpoint": "http://127.0.0.1"}),
    (open_ai_credentials, {**OPEN_AI, "ca": ""}),
    (gcp_credentials, {**GCP, "ca": "no certificate"}),
]


@pytest.mark.parametrize(("make", "options"), CONFUSED)
def test_it_refuses_ids_and_places_that_could_lead_a_request_elsewhere(
    providers: Providers, make: Callable[..., object], options: dict[str, Any]
) -> None:
    assert code_of(lambda: make(**{**providers.place, **options})) == "config_invalid"
