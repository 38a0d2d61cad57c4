"""Google Cloud: the Security Token Service for a federated token, and with a service account its impersonation.

See: Google Cloud STS v1 `token`; IAM Service Account Credentials v1 `generateAccessToken`
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import fail
from ..secret import Secret
from .ask import ProviderAnswer, ProviderCall, ProviderPlace, ask_provider, parse_instant
from .credentials import ProviderCredentials, TokenSource

_PROVIDER = "gcp"
_CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"
_NUMBER = re.compile(r"\d{1,20}", re.ASCII)
_ID = re.compile(r"[a-z][a-z0-9-]{2,62}")
_SERVICE_ACCOUNT = re.compile(r"[a-z][a-z0-9-]{4,62}@[a-z][a-z0-9.-]{1,100}\.gserviceaccount\.com")


@dataclass(frozen=True)
class GcpAccessToken:
    """A bearer token of Google Cloud."""

    access_token: Secret
    expires_at: int
    """Unix seconds."""


def gcp_credentials(
    *,
    agent: TokenSource,
    project_number: str,
    pool: str,
    pool_provider: str,
    service_account: str | None = None,
    scopes: Sequence[str] = (_CLOUD_PLATFORM,),
    credentials_endpoint: str | None = None,
    endpoint: str | None = None,
    ca: str | None = None,
) -> ProviderCredentials[GcpAccessToken]:
    """Access tokens of Google Cloud, as the federated identity or as a service account.

    `pool` and `pool_provider` are the ids of the workload identity pool and of the provider in it that names our
    issuer; `service_account` is the address of one to impersonate; `endpoint`, `credentials_endpoint` (the
    impersonation's) and `ca` (PEM) are for private endpoints. Raises `config_invalid` for what Google would not take.
    """
    forms = [(_NUMBER, project_number), (_ID, pool), (_ID, pool_provider)]
    forms += [] if service_account is None else [(_SERVICE_ACCOUNT, service_account)]
    if any(form.fullmatch(text) is None for form, text in forms):
        raise fail("config_invalid", {"setting": "gcp"})
    place, impersonation = ProviderPlace(endpoint, ca), ProviderPlace(credentials_endpoint, ca)
    resource = f"projects/{project_number}/locations/global/workloadIdentityPools/{pool}/providers/{pool_provider}"
    name = f"//iam.googleapis.com/{resource}"
    wanted = [*scopes]

    def exchange(token: str, now: int) -> GcpAccessToken:
        if service_account is None:
            return _exchange_token(token, name, wanted, place, now)
        federated = _exchange_token(token, name, [_CLOUD_PLATFORM], place, now)
        return _impersonate(service_account, federated, wanted, impersonation)

    # What a pool provider accepts when it names no audiences of its own.
    return ProviderCredentials(agent, f"https:{name}", exchange)


def _exchange_token(token: str, name: str, scopes: Sequence[str], place: ProviderPlace, now: int) -> GcpAccessToken:
    call = ProviderCall(
        provider=_PROVIDER,
        origin="https://sts.googleapis.com",
        place=place,
        target="/v1/token",
        json={
            "audience": name,
            "grantType": "urn:ietf:params:oauth:grant-type:token-exchange",
            "requestedTokenType": "urn:ietf:params:oauth:token-type:access_token",
            "scope": " ".join(scopes),
            "subjectToken": token,
            "subjectTokenType": "urn:ietf:params:oauth:token-type:jwt",
        },
    )
    answer = ProviderAnswer(_PROVIDER, ask_provider(call))
    answer.require_bearer()
    return GcpAccessToken(answer.secret("access_token"), answer.expires_at("expires_in", now))


def _impersonate(
    service_account: str, federated: GcpAccessToken, scopes: Sequence[str], place: ProviderPlace
) -> GcpAccessToken:
    call = ProviderCall(
        provider=_PROVIDER,
        origin="https://iamcredentials.googleapis.com",
        place=place,
        target=f"/v1/projects/-/serviceAccounts/{service_account}:generateAccessToken",
        json={"scope": [*scopes]},
        headers={"authorization": f"Bearer {federated.access_token.reveal()}"},
    )
    answer = ProviderAnswer(_PROVIDER, ask_provider(call))
    expires_at = parse_instant(_PROVIDER, "expireTime", answer.text("expireTime"))
    return GcpAccessToken(answer.secret("accessToken"), expires_at)
