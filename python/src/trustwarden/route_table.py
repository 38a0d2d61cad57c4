"""The route table of a service that agents visit: which action on which resource a request is.

The service derives action and resource from its own table and never from what the caller says; the agent reads the
same table to sign the same words. Where two routes match, the one with the earlier literal segment wins, so that the
order of the table means nothing. A target has one reading only: whatever needs decoding is refused, never decoded.

See: RFC 9112 section 3.2 (origin-form only)
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ._json import Json, is_json_list, is_json_object, parse_json_object
from .errors import TrustWardenError, fail
from .scope import parse_action

ROUTES_PATH = "/.well-known/trustwarden-routes"
"""Where a service publishes its table."""
MAX_DOCUMENT_CHARS = 262_144
_MAX_ROUTES, _MAX_TEXT_CHARS, _MAX_LABELS = 512, 1024, 16
_MAX_TARGET_CHARS, _MAX_SEGMENTS = 4096, 32
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_READING_METHODS = ("GET", "HEAD")
_PARAMETER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_PARAMETERS = re.compile(r"\{([^{}]*)\}")
# Visible ASCII without quotes and backslash: a resource is shown in tables and logs.
_RESOURCE = re.compile(r"[a-z][a-z0-9+.-]*://[\x21\x23-\x5b\x5d-\x7e]*")
_SEGMENT = re.compile(r"[A-Za-z0-9_.~-]+")
_QUERY = re.compile(r"[\x21-\x7e]*")
_LABEL = re.compile(r"[a-z][a-z0-9_-]{0,31}")


@dataclass(frozen=True)
class Route:
    """One row, as the service writes it. `{name}` stands for one path segment, also in action and resource."""

    method: str
    path: str
    """Such as `/transactions/{id}`."""
    action: str
    """Such as `read:transactions`."""
    resource: str
    """Such as `postgres://finance-db/transactions/{id}`."""
    labels: tuple[str, ...] | None = None
    """What an allowed answer holds, such as `untrusted` or `private`; none unless given."""
    outside: bool | None = None
    """Whether the request carries anything to where others read it; true for what is more than a read unless given."""


@dataclass(frozen=True)
class RouteMatch:
    """What a request means by the table."""

    action: str
    resource: str
    params: Mapping[str, str]
    """The path's parameters by name."""
    effects: Mapping[str, Json] | None
    """None where the row says nothing; the server then takes the stricter view."""


@dataclass(frozen=True)
class RequestTarget:
    """A request target that everybody reads alike."""

    text: str
    """As sent: path and query."""
    path: str
    segments: tuple[str, ...]


@dataclass(frozen=True)
class RouteTable:
    """Rows that are proven to be well formed, literal segments before parameters."""

    routes: tuple[Route, ...]

    def match(self, method: str, target: RequestTarget) -> RouteMatch:
        """What the request is by the table.

        Raises: TrustWardenError `route_unknown`; `action_malformed` when a parameter does not fit into the action.
        """
        for route in self.routes:
            params = _match_segments(_segments_of(route), target.segments) if route.method == method else None
            if params is not None:
                action = parse_action(_fill(route.action, params))
                return RouteMatch(action, _fill(route.resource, params), params, _effects_of(route))
        raise fail("route_unknown", {"method": method[:16], "path": target.path[:256]})

    def document(self, verifier: str) -> str:
        """What `ROUTES_PATH` serves: the table, and the SPIFFE ID of the service."""
        return json.dumps({"verifier": verifier, "routes": [_row_of(route) for route in self.routes]})


def create_route_table(routes: Sequence[Route]) -> RouteTable:
    """A table of rows.

    Raises: TrustWardenError `config_invalid` for a row that could never be decided, or two rows of one shape.
    """
    if len(routes) > _MAX_ROUTES:
        raise _invalid("too many routes", "")
    for route in routes:
        _require_route(route)
    rows = sorted(routes, key=_shape_of)
    for row, following in pairwise(rows):
        if _shape_of(row) == _shape_of(following):
            raise _invalid("two routes of one shape", row.path)
    return RouteTable(tuple(rows))


def parse_routes_document(text: str) -> tuple[str, RouteTable]:
    """A peer's route document: who it says it is about, and the table.

    Raises: TrustWardenError `json_malformed` and the other JSON codes, `config_invalid`.
    """
    document = parse_json_object(text, MAX_DOCUMENT_CHARS)
    verifier, routes = document.get("verifier"), document.get("routes")
    if not isinstance(verifier, str) or not is_json_list(routes):
        raise _malformed()
    return verifier, create_route_table([parse_route(route) for route in routes])


def parse_request_target(text: str) -> RequestTarget:
    """The target of an HTTP request line.

    Raises: TrustWardenError `request_malformed` for an absolute form, a fragment, an empty, dotted or encoded segment.
    """
    path, mark, query = text.partition("?")
    if len(text) > _MAX_TARGET_CHARS or not text.startswith("/"):
        raise _target_malformed("form")
    if mark and not _QUERY.fullmatch(query):
        raise _target_malformed("query")
    if "#" in text:
        raise _target_malformed("fragment")
    segments = () if path == "/" else tuple(path[1:].split("/"))
    if len(segments) > _MAX_SEGMENTS or not all(map(_is_plain, segments)):
        raise _target_malformed("segment")
    return RequestTarget(text, path, segments)


def parse_route(row: Json) -> Route:
    """One row of a table, as JSON.

    Raises: TrustWardenError `json_malformed`.
    """
    if not is_json_object(row):
        raise _malformed()
    texts = [row.get(name) for name in ("method", "path", "action", "resource")]
    method, path, action, resource = (text if isinstance(text, str) else "" for text in texts)
    if not all(isinstance(text, str) for text in texts):
        raise _malformed()
    labels, outside = row.get("labels"), row.get("outside")
    if "labels" in row and not is_json_list(labels):
        raise _malformed()
    kept = tuple(label if isinstance(label, str) else "" for label in labels) if is_json_list(labels) else None
    return Route(method, path, action, resource, kept, outside if isinstance(outside, bool) else None)


def _require_route(route: Route) -> None:
    if route.method not in _METHODS:
        raise _invalid("method", route.path)
    if any(len(text) > _MAX_TEXT_CHARS for text in (route.path, route.action, route.resource)):
        raise _invalid("too long", route.path)
    if not route.path.startswith("/") or route.path == ROUTES_PATH:
        raise _invalid("path", route.path)
    segments = _segments_of(route)
    names = [match[1] for segment in segments if (match := _PARAMETER.fullmatch(segment))]
    if not all(_is_plain(segment) or _PARAMETER.fullmatch(segment) for segment in segments):
        raise _invalid("path", route.path)
    if len(set(names)) != len(names):
        raise _invalid("parameter named twice", route.path)
    if not set(_PARAMETERS.findall(f"{route.action} {route.resource}")) <= set(names):
        raise _invalid("unknown parameter", route.path)
    # Tries each template with a harmless value, so that a bad row fails at start and not at the first visit.
    sample = dict.fromkeys(names, "x")
    try:
        parse_action(_fill(route.action, sample))
    except TrustWardenError as cause:
        raise _invalid("action", route.path) from cause
    if not _RESOURCE.fullmatch(_fill(route.resource, sample)):
        raise _invalid("resource", route.path)
    labels = route.labels or ()
    if len(labels) > _MAX_LABELS or not all(map(_LABEL.fullmatch, labels)):
        raise _invalid("labels", route.path)


def _effects_of(route: Route) -> Mapping[str, Json] | None:
    """Whoever labels a row and says nothing of where it goes means a read; a read may go outside all the same."""
    if route.labels is None and route.outside is None:
        return None
    outside = route.method not in _READING_METHODS if route.outside is None else route.outside
    return {"reads": list(route.labels or ()), "outside": outside}


def _row_of(route: Route) -> dict[str, Json]:
    row: dict[str, Json] = {
        "method": route.method,
        "path": route.path,
        "action": route.action,
        "resource": route.resource,
    }
    if route.labels is not None:
        row["labels"] = list(route.labels)
    if route.outside is not None:
        row["outside"] = route.outside
    return row


def _segments_of(route: Route) -> tuple[str, ...]:
    return () if route.path == "/" else tuple(route.path[1:].split("/"))


def _shape_of(route: Route) -> str:
    """Sorts literals before parameters, segment by segment, and is equal for rows that match the same paths."""
    segments = _segments_of(route)
    marks = ["\x7f" if _PARAMETER.fullmatch(segment) else segment for segment in segments]
    return f"{route.method} {len(segments)} {'/'.join(marks)}"


def _match_segments(pattern: Sequence[str], segments: Sequence[str]) -> dict[str, str] | None:
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


def _is_plain(text: str) -> bool:
    """Whether text is one segment that no reader takes for anything else; a trailing dot is dropped by some of them."""
    return _SEGMENT.fullmatch(text) is not None and not text.endswith(".")


def _target_malformed(reason: str) -> TrustWardenError:
    return fail("request_malformed", {"reason": f"target: {reason}"})


def _malformed() -> TrustWardenError:
    return fail("json_malformed", {"reason": "not a route document"})


def _invalid(reason: str, path: str) -> TrustWardenError:
    return fail("config_invalid", {"reason": f"route: {reason}", "path": path[:256]})
