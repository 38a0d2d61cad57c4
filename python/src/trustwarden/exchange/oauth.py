"""Providers whose answer is a plain OAuth 2.0 token response (RFC 6749 section 5.1): Entra, Anthropic, OpenAI.

They differ in where the token goes and in what has to stand beside it.

See: RFC 7523 section 2; RFC 8693 section 2; the providers' pages on workload identity federation
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .._json import JsonObject
from ..errors import fail
from ..secret import Secret
from .ask import ProviderAnswer, ProviderCall, ProviderPlace, ask_provider
from .credentials import ProviderCredentials, TokenSource

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
"""Ids such as `fdrl_…` and `svac_…`; their providers promise no more than that they are words."""


@dataclass(frozen=True)
class AccessToken:
    """A bearer token of a provider."""

    access_token: Secret
    expires_at: int
    """Unix seconds."""


def azure_credentials(
    *,
    agent: TokenSource,
    tenant_id: str,
    client_id: str,
    scope: str,
    endpoint: str | None = None,
    ca: str | None = None,
) -> ProviderCredentials[AccessToken]:
    """Microsoft Entra: the token as the client assertion of a federated identity credential.

    `tenant_id` is the directory, `client_id` the app registration or the user-assigned managed identity, `scope` such
    as `https://management.azure.com/.default`. Entra's documentation names RS256 alone as supported, and our JWT-SVIDs
    are signed with ES256: try it with your tenant before you rely on it. Raises `config_invalid`.
    """
    _require_ids(_UUID, tenant_id=tenant_id, client_id=client_id)
    place = ProviderPlace(endpoint, ca)
    fixed = {
        "client_id": client_id,
        "scope": scope,
        "grant_type": "client_credentials",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    }

    def exchange(token: str, now: int) -> AccessToken:
        target, form = f"/{tenant_id}/oauth2/v2.0/token", {**fixed, "client_assertion": token}
        return _ask_for_token(ProviderCall("azure", "https://login.microsoftonline.com", place, target, form=form), now)

    return ProviderCredentials(agent, "api://AzureADTokenExchange", exchange)


def anthropic_credentials(
    *,
    agent: TokenSource,
    federation_rule_id: str,
    organization_id: str,
    service_account_id: str,
    workspace_id: str | None = None,
    audience: str = "https://api.anthropic.com",
    endpoint: str | None = None,
    ca: str | None = None,
) -> ProviderCredentials[AccessToken]:
    """Anthropic: the jwt-bearer grant against a federation rule.

    `workspace_id` is required when the rule is enabled for several workspaces; `audience` is what the rule expects as
    `aud`. Raises `config_invalid`.
    """
    _require_ids(_UUID, organization_id=organization_id)
    _require_ids(
        _WORD,
        federation_rule_id=federation_rule_id,
        service_account_id=service_account_id,
        workspace_id="default" if workspace_id is None else workspace_id,
    )
    fixed: JsonObject = {
        "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "federation_rule_id": federation_rule_id,
        "organization_id": organization_id,
        "service_account_id": service_account_id,
        **({} if workspace_id is None else {"workspace_id": workspace_id}),
    }
    place = ProviderPlace(endpoint, ca)

    def exchange(token: str, now: int) -> AccessToken:
        body: JsonObject = {**fixed, "assertion": token}
        return _ask_for_token(
            ProviderCall("anthropic", "https://api.anthropic.com", place, "/v1/oauth/token", json=body), now
        )

    return ProviderCredentials(agent, audience, exchange)


def open_ai_credentials(
    *,
    agent: TokenSource,
    identity_provider_id: str,
    service_account_id: str,
    audience: str = "https://api.openai.com/v1",
    endpoint: str | None = None,
    ca: str | None = None,
) -> ProviderCredentials[AccessToken]:
    """OpenAI: token exchange against a workload identity provider.

    `audience` is what the identity provider's configuration expects as `aud`. Raises `config_invalid`.
    """
    _require_ids(_WORD, identity_provider_id=identity_provider_id, service_account_id=service_account_id)
    fixed: JsonObject = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "identity_provider_id": identity_provider_id,
        "service_account_id": service_account_id,
    }
    place = ProviderPlace(endpoint, ca)

    def exchange(token: str, now: int) -> AccessToken:
        body: JsonObject = {**fixed, "subject_token": token}
        return _ask_for_token(ProviderCall("openai", "https://auth.openai.com", place, "/oauth/token", json=body), now)

    return ProviderCredentials(agent, audience, exchange)


def _ask_for_token(call: ProviderCall, now: int) -> AccessToken:
    answer = ProviderAnswer(call.provider, ask_provider(call))
    answer.require_bearer()
    return AccessToken(answer.secret("access_token"), answer.expires_at("expires_in", now))


def _require_ids(form: re.Pattern[str], **ids: str) -> None:
    for setting, text in ids.items():
        if form.fullmatch(text) is None:
            raise fail("config_invalid", {"setting": setting})
