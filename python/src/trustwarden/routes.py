"""The route tables of the services that an agent visits, read once per origin.

The document is believed only from a peer whose own SVID is a verifier of the agent's trust domain, and only about that
very peer; from then on connections to this origin are accepted from that id alone.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ._bytes import parse_utf8
from ._json import Json, is_json_list, is_json_object, parse_json_object
from .errors import TrustWardenError, fail
from .scope import parse_action
from .server import TrustServer
from .spiffe import SpiffeId, parse_spiffe_id, path_of, trust_domain_of
from .tls import PeerCheck
from .transport import HttpsCall, Origin, Pool

ROUTES_PATH = "/.well-known/trustwarden-routes"
_MAX_DOCUMENT_BYTES = 262_144
_MAX_ORIGINS = 64
_MAX_ROUTES = 512
_MAX_TEXT_CHARS = 1024
_MAX_TARGET_CHARS = 4096
_MAX_SEGMENTS = 32
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_PARAMETER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_PARAMETERS = re.compile(r"\{([^{}]*)\}")
_RESOURCE = re.compile(r"[a-z][a-z0-9+.-]*://[\x21\x23-\x5b\x5d-\x7e]*")
_SEGMENT = re.compile(r"[A-Za-z0-9_.~-]+")
_QUERY = re.compile(r"[\x21-\x7e]*")


@dataclass(frozen=True)
class Route:
    """One row, as the service writes it. `{name}` stands for one path segment."""

    method: str
    path: str
    action: str
    resource: str

    @property
    def segments(self) -> tuple[str, ...]:
        """Of the path."""
        return tuple(self.path[1:].split("/")) if self.path != "/" else ()


@dataclass(frozen=True)
class PeerRoutes:
    """A service that proved to be a verifier of our trust domain."""

    verifier: SpiffeId
    routes: tuple[Route, ...]
    """Literal segments before parameters, so that the order of the table means nothing."""

    @property
    def name(self) -> str:
        """The name in `/trustwarden/verifier/<name>/inst-<id>`."""
        return path_of(self.verifier).split("/")[3]

    def meaning_of(self, method: str, target: str) -> tuple[str, str]:
        """Action and resource of a request. Raises `route_unknown`, `request_malformed`, `action_malformed`."""
        segments = segments_of(target)
        for route in self.routes:
            params = _match(route.segments, segments) if route.method == method else None
            if params is not None:
                return parse_action(_fill(route.action, params)), _fill(route.resource, params)
        raise fail("route_unknown", {"method": method, "path": target.partition("?")[0][:256]})


class PeerRoutesCache:
    """Remembers the tables; one a server. A failed read is not kept."""

    def __init__(self, server: TrustServer) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._known: dict[Origin, PeerRoutes] = {}

    def get(self, origin: Origin) -> PeerRoutes:
        """The table of an origin. Raises `peer_untrusted`, `server_unreachable`, `route_unknown`."""
        known = self._known.get(origin)
        if known is None:
            known = self._read(origin)
            with self._lock:
                self._known[origin] = known
                if len(self._known) > _MAX_ORIGINS:
                    del self._known[next(iter(self._known))]
        return known

    def forget(self, origin: Origin) -> None:
        """The next visit reads the table again: the service has a new identity."""
        with self._lock:
            self._known.pop(origin, None)

    def _read(self, origin: Origin) -> PeerRoutes:
        pool = Pool(PeerCheck(lambda: self._server.bundle, self._is_verifier))
        try:
            answer = pool.send(HttpsCall(origin, "GET", ROUTES_PATH, {}))
            svid = answer.connection.svid
            body = answer.read(_MAX_DOCUMENT_BYTES)
            if answer.status != 200:
                raise fail("route_unknown", {"origin": origin.text})
            if svid is None:
                raise fail("peer_untrusted", {"reason": "no SVID"})
            return parse_routes(parse_utf8(body), svid.id)
        finally:
            pool.close()

    def _is_verifier(self, text: str) -> bool:
        spiffe_id = parse_spiffe_id(text)
        is_ours = trust_domain_of(spiffe_id) == self._server.trust_domain
        return is_ours and path_of(spiffe_id).startswith("/trustwarden/verifier/")


def parse_routes(text: str, peer: SpiffeId) -> PeerRoutes:
    """A peer's route document, about itself. Raises `peer_untrusted`, `json_malformed`, `config_invalid`."""
    document = parse_json_object(text, _MAX_DOCUMENT_BYTES)
    verifier, routes = document.get("verifier"), document.get("routes")
    if not isinstance(verifier, str) or not is_json_list(routes):
        raise _malformed()
    if len(routes) > _MAX_ROUTES:
        raise _invalid("too many routes")
    rows = sorted(map(_parse_route, routes), key=_shape_of)
    if len(set(map(_shape_of, rows))) < len(rows):
        raise _invalid("two routes of one shape")
    if parse_spiffe_id(verifier) != peer:
        raise fail("peer_untrusted", {"reason": "routes of another service", "peer": peer})
    return PeerRoutes(peer, tuple(rows))


def segments_of(target: str) -> tuple[str, ...]:
    """The path segments of a target that everybody reads alike; nothing is decoded. Raises `request_malformed`."""
    path, mark, query = target.partition("?")
    if len(target) > _MAX_TARGET_CHARS or not target.startswith("/") or "#" in target:
        raise fail("request_malformed", {"reason": "target: form"})
    if mark and _QUERY.fullmatch(query) is None:
        raise fail("request_malformed", {"reason": "target: query"})
    segments = tuple(path[1:].split("/")) if path != "/" else ()
    if len(segments) > _MAX_SEGMENTS or not all(map(_is_plain, segments)):
        raise fail("request_malformed", {"reason": "target: segment"})
    return segments


def _parse_route(row: Json) -> Route:
    if not is_json_object(row):
        raise _malformed()
    texts = [row.get(name) for name in ("method", "path", "action", "resource")]
    method, path, action, resource = (text if isinstance(text, str) else _refuse() for text in texts)
    route = Route(method, path, action, resource)
    if method not in _METHODS or not path.startswith("/") or path == ROUTES_PATH:
        raise _invalid("method or path")
    if any(len(text) > _MAX_TEXT_CHARS for text in (path, action, resource)):
        raise _invalid("too long")
    names = [match[1] for segment in route.segments if (match := _PARAMETER.fullmatch(segment))]
    if not all(_is_plain(segment) or _PARAMETER.fullmatch(segment) for segment in route.segments):
        raise _invalid("path")
    if len(set(names)) != len(names) or not set(_PARAMETERS.findall(f"{action} {resource}")) <= set(names):
        raise _invalid("parameters")
    _require_templates(route, dict.fromkeys(names, "x"))
    return route


def _require_templates(route: Route, sample: Mapping[str, str]) -> None:
    try:
        parse_action(_fill(route.action, sample))
    except TrustWardenError as cause:
        raise _invalid("action") from cause
    if _RESOURCE.fullmatch(_fill(route.resource, sample)) is None:
        raise _invalid("resource")


def _shape_of(route: Route) -> tuple[str, int, str]:
    marks = ["\x7f" if _PARAMETER.fullmatch(segment) else segment for segment in route.segments]
    return route.method, len(marks), "/".join(marks)


def _match(pattern: Sequence[str], segments: Sequence[str]) -> dict[str, str] | None:
    if len(pattern) != len(segments):
        return None
    params: dict[str, str] = {}
    for expected, segment in zip(pattern, segments, strict=True):
        name = _PARAMETER.fullmatch(expected)
        if name is not None:
            params[name[1]] = segment
        elif segment != expected:
            return None
    return params


def _fill(template: str, params: Mapping[str, str]) -> str:
    return _PARAMETERS.sub(lambda match: params.get(match[1], ""), template)


def _is_plain(segment: str) -> bool:
    return _SEGMENT.fullmatch(segment) is not None and not segment.endswith(".")


def _refuse() -> str:
    raise _malformed()


def _malformed() -> TrustWardenError:
    return fail("json_malformed", {"reason": "not a route document"})


def _invalid(reason: str) -> TrustWardenError:
    return fail("config_invalid", {"reason": f"route: {reason}"})
