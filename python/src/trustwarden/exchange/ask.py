"""One request to a provider's token endpoint, and its answer in JSON or XML.

Bounded, without redirects or the environment's proxies, and never shown in an error. Of a refusal the provider's own
code is kept when it looks like one, and nothing else.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from urllib.parse import urlencode

import httpx

from .._bytes import parse_utf8
from .._json import Json, JsonObject, is_json_object, is_safe_integer, parse_json_object
from ..errors import TrustWardenError, fail
from ..runtime import monotonic
from ..secret import Secret

_TIMEOUT_SECONDS = 15.0
_MAX_BYTES = 65_536
"""Tokens are a few kilobytes."""
_MAX_LIFETIME_SECONDS = 604_800
"""Longer than any provider lets a token live."""
_TOKEN = re.compile(r"[\x21-\x7e]+")
"""RFC 6749 appendix A.12: what can stand in a header, and nothing that would end it."""
_ERROR_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_XML_ERROR_CODE = re.compile(r"<Code>([^<]{1,64})</Code>")
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d{1,9})?Z", re.ASCII)
_ORIGIN = re.compile(r"https://[^/?#@\s]+")


@dataclass(frozen=True)
class ProviderPlace:
    """Where a provider is, when it is not at its usual place: a private endpoint, or a stand-in in a test."""

    endpoint: str | None = None
    """https origin."""
    ca: str | None = None
    """PEM of the authorities to believe instead of the web's."""

    def __post_init__(self) -> None:
        if self.endpoint is not None and _ORIGIN.fullmatch(self.endpoint) is None:
            raise fail("config_invalid", {"setting": "endpoint"})
        if self.ca is not None:
            _context_of(self.ca)


@dataclass(frozen=True)
class ProviderCall:
    """A request to a provider; its body is a form or JSON."""

    provider: str
    origin: str
    """Used when the place says nothing."""
    place: ProviderPlace
    target: str
    form: Mapping[str, str] | None = field(default=None, repr=False)
    json: JsonObject | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)


def ask_provider(call: ProviderCall) -> str:
    """The text of a provider's answer with status 200.

    Raises `exchange_unreachable`, or `exchange_refused` with the provider's code.
    """
    if call.form is not None:
        kind, body = "application/x-www-form-urlencoded", urlencode(call.form)
    else:
        kind, body = "application/json", json.dumps(call.json)
    headers = {"accept": "application/json", "accept-encoding": "identity", "content-type": kind, **call.headers}
    url, authorities = (call.place.endpoint or call.origin) + call.target, _authorities_of(call.place)
    try:
        with (
            httpx.Client(verify=authorities, trust_env=False, timeout=_TIMEOUT_SECONDS) as client,
            client.stream("POST", url, headers=headers, content=body.encode()) as answer,
        ):
            status, text = answer.status_code, parse_utf8(_read_bounded(answer))
    except (httpx.HTTPError, httpx.InvalidURL, OSError, TrustWardenError) as cause:
        reason = cause.code if isinstance(cause, TrustWardenError) else type(cause).__name__
        raise fail("exchange_unreachable", {"provider": call.provider, "reason": reason}) from cause
    if status == 200:
        return text
    refusal = {"provider": call.provider, "status": status, "provider_code": _error_code_of(text)}
    raise fail("exchange_refused", refusal)


class ProviderAnswer:
    """Reads an answer's members strictly; names the provider and the member when one is not as documented."""

    def __init__(self, provider: str, text: str) -> None:
        self._provider = provider
        try:
            self._json = parse_json_object(text, _MAX_BYTES)
        except TrustWardenError as cause:
            raise malformed(provider, "json") from cause

    def text(self, name: str) -> str:
        """Raises `exchange_malformed`."""
        value = self._json.get(name)
        if not isinstance(value, str) or value == "":
            raise malformed(self._provider, name)
        return value

    def secret(self, name: str) -> Secret:
        """Raises `exchange_malformed`."""
        text = self.text(name)
        if _TOKEN.fullmatch(text) is None:
            raise malformed(self._provider, name)
        return Secret(text)

    def require_bearer(self) -> None:
        """Requires a bearer token, the only kind that we know how to use. Raises `exchange_malformed`."""
        if self.text("token_type").lower() != "bearer":
            raise malformed(self._provider, "token_type")

    def expires_at(self, name: str, now: int) -> int:
        """`now` and the lifetime in seconds. Raises `exchange_malformed`."""
        value = self._json.get(name)
        if not is_safe_integer(value) or not 0 < value <= _MAX_LIFETIME_SECONDS:
            raise malformed(self._provider, name)
        return now + value


def malformed(provider: str, member: str) -> TrustWardenError:
    """An answer that is not as documented."""
    return fail("exchange_malformed", {"provider": provider, "member": member})


def parse_instant(provider: str, member: str, text: str) -> int:
    """Unix seconds of an RFC 3339 time in a provider's answer. Raises `exchange_malformed`."""
    found = _INSTANT.fullmatch(text)
    try:
        parsed = datetime.strptime(found[1] if found else "", "%Y-%m-%dT%H:%M:%S")
    except ValueError as cause:
        raise malformed(provider, member) from cause
    return int(parsed.replace(tzinfo=timezone.utc).timestamp())


def _authorities_of(place: ProviderPlace) -> ssl.SSLContext:
    context = httpx.create_ssl_context(trust_env=False) if place.ca is None else _context_of(place.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _context_of(ca: str) -> ssl.SSLContext:
    # An empty text would be the web's authorities.
    if ca == "":
        raise fail("config_invalid", {"setting": "ca"})
    try:
        return ssl.create_default_context(cadata=ca)
    except (ValueError, ssl.SSLError) as cause:
        raise fail("config_invalid", {"setting": "ca"}) from cause


def _read_bounded(answer: httpx.Response) -> bytes:
    data, ends_at = b"", monotonic() + _TIMEOUT_SECONDS
    for part in answer.iter_raw():
        data += part
        if len(data) > _MAX_BYTES:
            raise fail("request_too_large", {"max_bytes": _MAX_BYTES})
        if monotonic() > ends_at:
            raise TimeoutError
    return data


def _error_code_of(text: str) -> str:
    """RFC 6749 has `error`, Google `error.status`, Anthropic `error.type`, AWS `<Code>`."""
    found = _XML_ERROR_CODE.search(text)
    code = found[1] if found else _json_error_of(text)
    return code if isinstance(code, str) and _ERROR_CODE.fullmatch(code) else "unknown"


def _json_error_of(text: str) -> Json:
    try:
        error = parse_json_object(text, _MAX_BYTES).get("error")
    except TrustWardenError:
        # Safe to go on: the request is refused either way, and only the provider's word for it is missing.
        return None
    if not is_json_object(error):
        return error
    return next((error[name] for name in ("status", "type", "code") if error.get(name) is not None), None)
