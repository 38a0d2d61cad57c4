"""A client of the SPIFFE Workload API, of ours or anybody's: fetches and watches identities without holding a ticket.

Strict: every SVID, token and bundle is proven before the caller sees it (`answers.py`). A watch keeps itself alive and
tells when the identity is gone; what it said before then no longer counts.

See: SPIFFE_Workload_API.md sections 4 to 6
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from .._threads import in_thread
from ..bundle import TrustBundle
from ..environment import endpoint_socket_from_environment
from ..errors import TrustWardenError, fail
from ..jwt_svid import verify_jwt_svid
from ..runtime import now_seconds
from ..spiffe import SpiffeId, TrustDomain, parse_spiffe_id
from .address import EndpointAddress, parse_endpoint_address
from .answers import (
    WorkloadWitSvid,
    WorkloadX509State,
    parse_key_sets,
    parse_x509_bundles,
    verify_wit_state,
    verify_x509_state,
)
from .messages import (
    UnverifiedToken,
    encode_jwt_svid_request,
    encode_validate_request,
    encode_wit_svid_request,
    parse_jwt_svid_response,
    parse_key_sets_response,
    parse_validate_response,
    parse_wit_svid_response,
    parse_x509_bundles_response,
    parse_x509_response,
    refused,
)
from .watch import Watch, Watched

if TYPE_CHECKING:
    from .grpc import Call

T = TypeVar("T")
WorkloadBundles: TypeAlias = Mapping[TrustDomain, TrustBundle]
"""Trust bundles by trust domain; what is not here any more is withdrawn."""

_UNIMPLEMENTED = "12"
"""gRPC status."""


@dataclass(frozen=True)
class WorkloadJwtSvid:
    """A proven token for the audiences that were asked for."""

    spiffe_id: SpiffeId
    svid: str = field(repr=False)
    """A bearer token until it ends."""
    hint: str
    expires_at: int
    """Unix seconds."""


def create_workload_api_client(*, socket: str | None = None, timeout: float = 10.0) -> WorkloadApiClient:
    """A client of the endpoint at `socket`: `unix:///path` or `tcp://IP:port`, `SPIFFE_ENDPOINT_SOCKET` unless given.

    `timeout` is for a first answer, in seconds. Raises `endpoint_malformed`, also when nobody says where it is.
    """
    named = socket if socket is not None else endpoint_socket_from_environment()
    if named is None:
        raise fail("endpoint_malformed", {"reason": "no endpoint is given"})
    return WorkloadApiClient(parse_endpoint_address(named), timeout)


class WorkloadApiClient:
    """Asks one endpoint; each call connects anew. Safe for threads, and for a forked child, who is attested itself.

    Everything raises `no_identity`, `server_unreachable`, `workload_gone` and `workload_answer_refused`.
    """

    def __init__(self, address: EndpointAddress, timeout: float) -> None:
        """For this package; see `create_workload_api_client`."""
        self._address = address
        self._timeout = timeout
        self._lock = threading.Lock()
        self._is_closed = False
        self._watches: set[Watch[Any]] = set()

    def fetch_x509(self) -> WorkloadX509State:
        """The whole state, proven."""
        return _read_x509_state(self._ask("FetchX509SVID"))

    async def afetch_x509(self) -> WorkloadX509State:
        """As `fetch_x509`, off the event loop."""
        return await in_thread(self.fetch_x509)

    def watch_x509(
        self,
        on_state: Callable[[WorkloadX509State], None],
        on_error: Callable[[TrustWardenError], None],
    ) -> Callable[[], None]:
        """Tells the whole state, at once and at each change, on another thread; what is given back ends the watch.

        An error says that the watch was interrupted, or that a message was not believed, and goes on by itself; with
        `no_identity` the last state is withdrawn: stop using it. With the status `3` or `12` in its details the
        endpoint does not take the call, and the watch is over. A forked child has no watch.
        """
        return self._watch("FetchX509SVID", _read_x509_state, on_state, on_error)

    def watch_x509_bundles(
        self, on_state: Callable[[WorkloadBundles], None], on_error: Callable[[TrustWardenError], None]
    ) -> Callable[[], None]:
        """As `watch_x509`, for who only verifies peers."""
        return self._watch("FetchX509Bundles", _read_x509_bundles, on_state, on_error)

    def watch_jwt_bundles(
        self, on_state: Callable[[WorkloadBundles], None], on_error: Callable[[TrustWardenError], None]
    ) -> Callable[[], None]:
        """As `watch_x509`, for who only verifies tokens."""
        return self._watch("FetchJWTBundles", _read_jwt_bundles, on_state, on_error)

    def fetch_jwt_svids(self, *, audience: Sequence[str], spiffe_id: str = "") -> tuple[WorkloadJwtSvid, ...]:
        """One token for each identity, or for the named one. Raises also `request_malformed`."""
        if isinstance(audience, str) or not audience:
            raise fail("request_malformed", {"reason": "audience: a list of at least one"})
        answer = self._ask("FetchJWTSVID", encode_jwt_svid_request(audience, spiffe_id))
        tokens = parse_jwt_svid_response(answer)
        bundles = self.fetch_jwt_bundles()
        if not tokens:
            raise refused("no token")
        return tuple(_prove_token(token, audience, spiffe_id, bundles) for token in tokens)

    async def afetch_jwt_svids(self, *, audience: Sequence[str], spiffe_id: str = "") -> tuple[WorkloadJwtSvid, ...]:
        """As `fetch_jwt_svids`, off the event loop."""
        return await in_thread(lambda: self.fetch_jwt_svids(audience=audience, spiffe_id=spiffe_id))

    def fetch_wit_svids(self, spiffe_id: str = "") -> tuple[WorkloadWitSvid, ...]:
        """WIT-SVIDs with their keys: of each identity, or of the named one. They live for minutes; ask again.

        Raises also `request_malformed`, and `wit_disabled` where the endpoint does not have them.
        """
        answer = self._ask_wit("FetchWITSVID", encode_wit_svid_request(spiffe_id))
        svids = verify_wit_state(parse_wit_svid_response(answer), self.fetch_wit_bundles(), now_seconds())
        if spiffe_id != "" and any(svid.spiffe_id != spiffe_id for svid in svids):
            raise refused("the token names another")
        return svids

    async def afetch_wit_svids(self, spiffe_id: str = "") -> tuple[WorkloadWitSvid, ...]:
        """As `fetch_wit_svids`, off the event loop."""
        return await in_thread(lambda: self.fetch_wit_svids(spiffe_id))

    def fetch_x509_bundles(self) -> WorkloadBundles:
        """X.509 authorities by trust domain."""
        return _read_x509_bundles(self._ask("FetchX509Bundles"))

    async def afetch_x509_bundles(self) -> WorkloadBundles:
        """As `fetch_x509_bundles`, off the event loop."""
        return await in_thread(self.fetch_x509_bundles)

    def fetch_jwt_bundles(self) -> WorkloadBundles:
        """Keys of JWT-SVIDs by trust domain."""
        return _read_jwt_bundles(self._ask("FetchJWTBundles"))

    async def afetch_jwt_bundles(self) -> WorkloadBundles:
        """As `fetch_jwt_bundles`, off the event loop."""
        return await in_thread(self.fetch_jwt_bundles)

    def fetch_wit_bundles(self) -> WorkloadBundles:
        """Keys of WIT-SVIDs by trust domain. Raises also `wit_disabled`."""
        return parse_key_sets(parse_key_sets_response(self._ask_wit("FetchWITBundles")), "wit-svid")

    async def afetch_wit_bundles(self) -> WorkloadBundles:
        """As `fetch_wit_bundles`, off the event loop."""
        return await in_thread(self.fetch_wit_bundles)

    def validate_jwt_svid(self, *, audience: str, svid: str) -> SpiffeId:
        """Asks the endpoint whose token this is. To check tokens without a call each, keep `fetch_jwt_bundles()`.

        Raises also `request_malformed` for a token that is not valid for the audience.
        """
        answer = parse_validate_response(self._ask("ValidateJWTSVID", encode_validate_request(audience, svid)))
        try:
            return parse_spiffe_id(answer)
        except TrustWardenError as cause:
            raise refused("no SPIFFE ID") from cause

    async def avalidate_jwt_svid(self, *, audience: str, svid: str) -> SpiffeId:
        """As `validate_jwt_svid`, off the event loop."""
        return await in_thread(lambda: self.validate_jwt_svid(audience=audience, svid=svid))

    def close(self) -> None:
        """Ends the watches."""
        with self._lock:
            self._is_closed = True
            watches = [*self._watches]
        for watch in watches:
            watch.close()

    def _ask(self, method: str, request: bytes = b"") -> bytes:
        """The first message of a call, which is then ended."""
        call = _call_type()(self._address, _path_of(method), request, self._timeout)
        try:
            for message in call.messages():
                return message
        finally:
            call.close()
        raise refused("no message")

    def _ask_wit(self, method: str, request: bytes = b"") -> bytes:
        """Whoever has no WIT-SVIDs says Unimplemented, and trying again is of no use."""
        try:
            return self._ask(method, request)
        except TrustWardenError as cause:
            if cause.details.get("status") != _UNIMPLEMENTED:
                raise
            raise fail("wit_disabled", cause.details) from cause

    def _watch(
        self,
        method: str,
        read: Callable[[bytes], T],
        on_state: Callable[[T], None],
        on_error: Callable[[TrustWardenError], None],
    ) -> Callable[[], None]:
        # Here, and not on the watch's thread: whoever lacks the extra has to hear of it.
        make_call = _call_type()

        def open_call() -> Call:
            return make_call(self._address, _path_of(method), b"", self._timeout, stays_open=True)

        watch = Watch(Watched(open_call, read, on_state, on_error, self._forget))
        with self._lock:
            if self._is_closed:
                raise fail("identity_closed", {"reason": "the client is closed"})
            self._watches.add(watch)
        watch.start()
        return watch.close

    def _forget(self, watch: Watch[Any]) -> None:
        with self._lock:
            self._watches.discard(watch)


def _read_x509_state(message: bytes) -> WorkloadX509State:
    return verify_x509_state(parse_x509_response(message), now_seconds())


def _read_x509_bundles(message: bytes) -> WorkloadBundles:
    return parse_x509_bundles(parse_x509_bundles_response(message))


def _read_jwt_bundles(message: bytes) -> WorkloadBundles:
    return parse_key_sets(parse_key_sets_response(message), "jwt-svid")


def _call_type() -> type[Call]:
    # h2 comes with an extra; nothing else of this package needs it.
    try:
        from .grpc import Call
    except ModuleNotFoundError as cause:
        raise ModuleNotFoundError(
            "the Workload API needs the extra `workload-api` of trustwarden", name=cause.name
        ) from cause
    return Call


def _path_of(method: str) -> str:
    return f"/SpiffeWorkloadAPI/{method}"


def _prove_token(
    token: UnverifiedToken, audience: Sequence[str], spiffe_id: str, bundles: Mapping[TrustDomain, TrustBundle]
) -> WorkloadJwtSvid:
    try:
        proven = verify_jwt_svid(token.svid, audience=audience, bundles=bundles, now=now_seconds())
    except TrustWardenError as cause:
        raise refused(cause.code) from cause
    if proven.id != token.spiffe_id or spiffe_id not in ("", proven.id):
        raise refused("the token names another")
    return WorkloadJwtSvid(proven.id, token.svid, token.hint, proven.expires_at)
