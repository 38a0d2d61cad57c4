"""The one file of the package that reads the environment; the same variables as the TypeScript SDK."""

from __future__ import annotations

import os

from .secret import Secret


def ticket_from_environment() -> str | None:
    """The ticket that the process was started with, if any; a bearer secret until it is used once."""
    return os.environ.get("TRUSTWARDEN_TICKET")


def relays_from_environment() -> tuple[str, ...]:
    """Origins of the relays that this process takes its lease from, if it was told any."""
    named = (origin.strip() for origin in os.environ.get("TRUSTWARDEN_RELAYS", "").split(","))
    return tuple(origin for origin in named if origin)


def endpoint_socket_from_environment() -> str | None:
    """Where the Workload API of this host is, if the process was told. See: SPIFFE_Workload_Endpoint.md section 4."""
    return os.environ.get("SPIFFE_ENDPOINT_SOCKET")


def github_token_request_from_environment() -> tuple[str, Secret] | None:
    """Where a job of GitHub Actions gets its OIDC token, and with what; None outside of one, or without permission."""
    url, token = os.environ.get("ACTIONS_ID_TOKEN_REQUEST_URL"), os.environ.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
    return None if url is None or token is None else (url, Secret(token))
