"""Calls through the gateway: named here as the gateway will name them, signed, and sent once.

The gateway plans every call itself and refuses an intent that says anything else, so what is planned here decides
nothing: it only has to be the same. Model APIs and plain HTTP are planned; for the other kinds (MCP, A2A, databases,
egress) the caller names action and resource. Credentials that a client library puts into its requests stay here.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ._json import JsonObject, format_canonical_json, is_json_list, parse_json_object
from .answers import Members
from .contact import parse_origin
from .errors import TrustWardenError, fail
from .route_table import RequestTarget, create_route_table, parse_request_target, parse_route
from .scope import parse_action
from .server import ServerCall
from .transport import Origin

if TYPE_CHECKING:
    from .fetch import Outgoing
    from .session import AgentSession

MAX_GATEWAY_BODY_BYTES = 8_388_608
"""As the gateway limits it."""
_MAX_MODEL_CHARS = 200
_MODEL = re.compile(r"[\x21-\x7e]+")
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9.-]")
_POSTS = {
    "openai": ("v1/chat/completions", "v1/completions", "v1/responses", "v1/embeddings"),
    "anthropic": ("v1/messages", "v1/messages/count_tokens"),
}
_LIST = "v1/models"
# Credentials, and what proxies say of whoever stands before them.
_CALLERS = frozenset(
    (
        "accept-encoding",
        "api-key",
        "authorization",
        "cookie",
        "dpop",
        "forwarded",
        "origin",
        "referer",
        "signature",
        "signature-input",
        "true-client-ip",
        "via",
        "workload-identity-token",
        "workload-proof-token",
        "x-api-key",
        "x-goog-api-key",
        "x-real-ip",
    )
)
_CALLERS_PREFIXES = ("trustwarden-", "x-forwarded-", "proxy-", "cf-", "x-envoy-", "x-amz-")


@dataclass(frozen=True)
class Upstream:
    """Something behind the gateway, as agents see it."""

    name: str
    kind: str
    resource: str
    settings: JsonObject


class GatewayCatalogue:
    """Owns what one agent knows of the gateway: read once, and again when a call shows that it has changed."""

    def __init__(self, session: AgentSession) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._known: Mapping[str, Upstream] | None = None

    def origin(self) -> Origin | None:
        """Where the gateway of this agent's server is; None when there is none."""
        url = self._session.server.discovery.gateway_url
        return None if url is None else parse_origin(url)

    def find(self, name: str) -> Upstream:
        """What is behind a name. Raises `upstream_unknown`, and the server's refusal."""
        found = (self._known or {}).get(name) or self._read().get(name)
        if found is None:
            raise fail("upstream_unknown", {"upstream": name[:64]})
        return found

    def find_changed(self, before: Upstream) -> Upstream | None:
        """The same upstream as it is now; None when it is what it was."""
        now = self._read().get(before.name)
        return None if now is None or _text_of(now) == _text_of(before) else now

    def _read(self) -> Mapping[str, Upstream]:
        answer = self._session.call("read:gateway", ServerCall("GET", "/v1/gateway"))
        known = {one.name: one for one in map(_upstream_of, answer.objects("upstreams"))}
        with self._lock:
            self._known = known
        return known


def upstream_name_of(target: str) -> str:
    """The name in `/<upstream>/<rest>`. Raises `request_malformed`."""
    segments = parse_request_target(target).segments
    return segments[0] if segments else ""


def named_for(upstream: Upstream, outgoing: Outgoing) -> tuple[str, str]:
    """Action and resource of a call. Raises `route_unknown`, `request_malformed` and the JSON codes."""
    meaning, request = outgoing.meaning, outgoing.request
    below = request.target[len(upstream.name) + 1 :]
    target = parse_request_target(below if below.startswith("/") else f"/{below}")
    if upstream.kind in _POSTS:
        return _name_model_call(upstream, request.method, target, request.body)
    if upstream.kind == "http":
        rows = upstream.settings.get("routes")
        table = create_route_table([parse_route(row) for row in rows] if is_json_list(rows) else [])
        match = table.match(request.method, target)
        return match.action, match.resource
    if meaning.action is None or meaning.resource is None:
        raise fail("route_unknown", {"reason": "name the action and the resource", "kind": upstream.kind})
    return parse_action(meaning.action), meaning.resource


def forwarded(outgoing: Outgoing) -> Outgoing:
    """The call without what names, proves or routes its caller."""
    kept = {name: value for name, value in outgoing.headers.items() if not _is_callers(name)}
    return replace(outgoing, headers={**kept, "accept-encoding": "identity"})


def _name_model_call(upstream: Upstream, method: str, target: RequestTarget, body: bytes) -> tuple[str, str]:
    rest = target.path[1:]
    resource = f"{upstream.resource}{target.path}"
    if method == "POST" and rest in _POSTS[upstream.kind]:
        try:
            model = parse_json_object(body.decode("utf-8"), MAX_GATEWAY_BODY_BYTES).get("model")
        except UnicodeDecodeError as cause:
            raise fail("json_malformed", {"reason": "not UTF-8"}) from cause
        return _action_of("infer:llm", upstream.name, model), resource
    if method == "GET" and rest == _LIST:
        return parse_action(f"list:llm:{upstream.name}"), resource
    if method == "GET" and rest.startswith(f"{_LIST}/") and len(rest) > len(_LIST) + 1:
        return _action_of("list:llm", upstream.name, rest[len(_LIST) + 1 :]), resource
    raise fail("route_unknown", {"method": method, "path": rest[:128]})


def _action_of(verb: str, upstream: str, model: object) -> str:
    if not isinstance(model, str) or len(model) > _MAX_MODEL_CHARS or _MODEL.fullmatch(model) is None:
        raise fail("request_malformed", {"reason": "model"})
    segments = [_NOT_PLAIN.sub(lambda found: f"_{ord(found[0]):02X}", segment) for segment in model.split("/")]
    try:
        return parse_action(f"{verb}:{upstream}/{'/'.join(segments)}")
    except TrustWardenError as cause:
        # A name with an empty or dotted segment.
        raise fail("request_malformed", {"reason": "model"}) from cause


def _is_callers(name: str) -> bool:
    return name in _CALLERS or name.startswith(_CALLERS_PREFIXES)


def _upstream_of(upstream: Members) -> Upstream:
    return Upstream(upstream.text("name"), upstream.text("kind"), upstream.text("resource"), upstream.json("settings"))


def _text_of(upstream: Upstream) -> str:
    return format_canonical_json({"kind": upstream.kind, "resource": upstream.resource, "settings": upstream.settings})
