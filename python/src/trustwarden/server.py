"""The TrustWarden server as a client sees it: proven on first contact, asked over checked connections ever after."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ._bytes import parse_base64url, parse_utf8
from ._json import JsonObject, encode_canonical_json
from .answers import Discovery, Members, parse_answer, parse_discovery, parse_refusal
from .bundle import TrustBundle, digest_of_roots, parse_bundle_map, parse_trust_bundle
from .checkpoint import LatestCheckpoint
from .contact import (
    BUNDLE_PATH,
    BroughtDiscovery,
    Contact,
    ServerAddress,
    is_server_id,
    make_contact,
    parse_origin,
)
from .errors import TrustWardenError, fail
from .ledger_keys import FollowedKeys
from .receipts import OpenedReceipt, ReceiptExpectations, SigningLeaf, VerifiedReceipt, verify_opened_receipt
from .records import Enforcement
from .runtime import jitter, monotonic, process_id
from .spiffe import TrustDomain, parse_spiffe_id
from .stops import StopWatch
from .tls import PeerCheck, TlsIdentity
from .transport import Answer, HttpsCall, Origin, Pool
from .watch import AuthorityWatch
from .x509 import Certificate

T = TypeVar("T")

_MAX_ANSWER_BYTES = 4_194_304
_READ_ATTEMPTS = 3
_RETRY_SECONDS = 0.1
_MAX_SERVER_SVIDS = 16
"""Server SVIDs live an hour and are renewed at half life: more than this are of no use."""
_NONCE_FRESH_SECONDS = 1.0
_BUNDLES_PATH = "/v1/bundles"
_DISCOVERY_PATH = "/.well-known/trustwarden"


@dataclass(frozen=True)
class ServerCall:
    """One call with JSON in and out."""

    method: str
    target: str
    body: bytes | None = None
    """Exact bytes that an intent is bound to."""
    headers: Mapping[str, str] | None = None
    is_stop: bool = False
    """Whether it goes to the listener for revocation."""
    timeout: float = 10.0


@dataclass(frozen=True)
class Changed:
    """A file as it is now."""

    body: bytes
    etag: str | None


def encode_body(body: JsonObject) -> bytes:
    """JSON bytes of a request body, canonical, so that what is signed is what is sent."""
    return encode_canonical_json(body)


def connect_server(address: ServerAddress) -> TrustServer:
    """Makes first contact. Raises `server_untrusted` when the peer is not the pinned one, `server_unreachable`."""
    origin = parse_origin(address.url)
    contact = make_contact(origin, address)
    server = TrustServer(origin, address, contact)
    try:
        server.take_discovery(contact.discovery) if contact.discovery is not None else server.discover()
    except BaseException:
        server.close()
        raise
    return server


class TrustServer:
    """Owns the anonymous connections and what is known of the server; shared by a parent and its children."""

    def __init__(self, origin: Origin, address: ServerAddress, contact: Contact) -> None:
        self.address = address
        self.trust_domain: TrustDomain = address.trust_domain
        self.origin = origin
        self._pid = process_id()
        self._lock = threading.Lock()
        self._bundle = contact.bundle
        self._federated: Mapping[TrustDomain, TrustBundle] = {}
        self._discovery: Discovery | None = None
        self._ledger_keys: FollowedKeys | None = None
        self._stop_origin: Origin | None = None
        self._nonce: tuple[str, float] | None = None
        self._svids: dict[str, Certificate] = {}
        self._keep_svid(contact.svid.leaf)
        self._anonymous = contact.pool
        self._anonymous.check = self.check()
        self._listeners: dict[object, Callable[[], None]] = {}
        self._holders = 0
        self._watch = AuthorityWatch(self)
        self.stops = StopWatch(self)
        """Who of this process is stopped while it works."""
        self.checkpoint = LatestCheckpoint(
            lambda: self.read_text("/ledger/latest-checkpoint"), lambda note: self.ledger_keys.verify_checkpoint(note)
        )
        """One for all identities of this server: what one of them saw, all have seen."""

    @property
    def bundle(self) -> TrustBundle:
        """The trust bundle, refreshed with each renewal and whenever the authority changes."""
        return self._bundle

    @property
    def bundles(self) -> Mapping[TrustDomain, TrustBundle]:
        """The own bundle, and those of federated trust domains as they were last read; none for who never asked."""
        return {**self._federated, self.trust_domain: self._bundle}

    @property
    def discovery(self) -> Discovery:
        """What the server says of itself; known since first contact."""
        if self._discovery is None:
            raise RuntimeError("discovery is read on first contact")
        return self._discovery

    @property
    def ledger_keys(self) -> FollowedKeys:
        """Keys of the ledger: the first is known since first contact, and others are followed from it."""
        if self._ledger_keys is None:
            raise RuntimeError("discovery is read on first contact")
        return self._ledger_keys

    def accept_server(self, spiffe_id: str) -> bool:
        """Whether a peer is this server."""
        return is_server_id(parse_spiffe_id(spiffe_id), self.trust_domain)

    def check(self, identity: TlsIdentity | None = None) -> PeerCheck:
        """Connections to this server only, anonymous or with an SVID."""
        return PeerCheck(lambda: self._bundle, self.accept_server, "server_untrusted", identity)

    def call(self, call: ServerCall, pool: Pool | None = None) -> Members:
        """One call over the caller's own connections, or nobody's. Raises the server's code.

        Reads are tried again, anything that acts is not.
        """
        answer = self._exchange(call, pool)
        came_at = monotonic()
        body = answer.read(_MAX_ANSWER_BYTES)
        nonce = answer.header("trustwarden-nonce")
        if nonce is not None:
            self._nonce = (nonce, came_at)
        return parse_answer(answer.status, body, answer.header("trustwarden-work"))

    def read_text(self, target: str) -> str:
        """Text of a public route."""
        answer = self._exchange(ServerCall("GET", target), None)
        body = answer.read(_MAX_ANSWER_BYTES)
        if answer.status != 200:
            raise parse_refusal(answer.status, body)
        return parse_utf8(body)

    def read_changed(self, target: str, etag: str | None) -> Changed | None:
        """A public file that changes now and then; None when it is still the one of this tag."""
        known = {} if etag is None else {"if-none-match": etag}
        answer = self._exchange(ServerCall("GET", target, headers=known), None)
        body = answer.read(_MAX_ANSWER_BYTES)
        if answer.status == 304 and etag is not None:
            return None
        if answer.status != 200:
            raise parse_refusal(answer.status, body)
        return Changed(body, answer.header("etag"))

    def discover(self, pool: Pool | None = None) -> None:
        """Reads what the server says of itself. Raises `server_untrusted` when that is another server."""
        asked_at = monotonic()
        self._keep_discovery(parse_discovery(self.call(ServerCall("GET", _DISCOVERY_PATH), pool)), asked_at)

    def take_discovery(self, brought: BroughtDiscovery) -> None:
        """The same, as first contact brought it. Raises as `discover`."""
        try:
            body = parse_base64url(brought.text)
        except TrustWardenError as cause:
            raise fail("server_unreachable", {"reason": "unexpected answer"}) from cause
        self._keep_discovery(parse_discovery(parse_answer(200, body)), brought.asked_at)

    def _keep_discovery(self, discovery: Discovery, asked_at: float) -> None:
        if discovery.trust_domain != self.trust_domain or not self.accept_server(discovery.server_id):
            raise fail("server_untrusted", {"reason": "discovery"})
        stop_origin = parse_origin(discovery.stop_url)
        with self._lock:
            keys = self._ledger_keys or FollowedKeys(discovery.log_vkey, self._read_shards)
            # A ledger has its first key for good. Who shows this process another would have it forget what it has seen.
            if keys.vkey != discovery.log_vkey:
                raise fail("server_untrusted", {"reason": "another ledger"})
            self._nonce = None if discovery.nonce is None else (discovery.nonce, asked_at)
            self._ledger_keys = keys
            self._stop_origin = stop_origin
            self._discovery = discovery

    def refresh(self, pool: Pool | None = None) -> None:
        """Reads discovery, and the bundle when it changed. Raises `server_untrusted`, `server_unreachable`."""
        before = self._bundle.sequence
        try:
            self.discover(pool)
        except TrustWardenError as error:
            if error.code != "server_untrusted":
                raise
            self._recover()
        if self.discovery.sequence > self._bundle.sequence:
            self._keep_bundle(parse_trust_bundle(self.read_text(BUNDLE_PATH), self.trust_domain))
        if self._bundle.sequence != before or self.discovery.renew:
            self._tell()

    def refresh_federated(self) -> None:
        """Reads the bundles of federated trust domains in place of those before: what is trusted no more is gone.

        Nobody is ever told of our own trust domain here. Raises `server_unreachable`, `bundle_malformed`.
        """
        found = parse_bundle_map(self.read_text(_BUNDLES_PATH))
        found.pop(self.trust_domain, None)
        self._federated = found

    def on_authority(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Hears of each change of the authority; the answer ends it."""
        token = object()
        self._listeners[token] = listener
        return lambda: void(self._listeners.pop(token, None))

    def must_renew(self, leaf: Certificate) -> bool:
        """Whether this SVID is to be renewed now, because the key that signed it is being replaced."""
        return leaf.extensions.aki is not None and leaf.extensions.aki.hex() in self.discovery.renew

    def take_nonce(self) -> str:
        """A nonce for one proof of possession: one that discovery or an answer brought just now, or another."""
        with self._lock:
            held, self._nonce = self._nonce, None
        if held is not None and monotonic() - held[1] < _NONCE_FRESH_SECONDS:
            return held[0]
        return self.call(ServerCall("GET", "/v1/nonce")).text("nonce")

    def prove_receipt(self, opened: OpenedReceipt, intent_sha256: str, enforcement: Enforcement) -> VerifiedReceipt:
        """Holds a receipt against this server's SVID and log. Raises `receipt_invalid`."""
        leaf = self.find_server_svid(opened.envelope.unverified_keyid)
        server = SigningLeaf(leaf.sha256, leaf.public_key)
        return self.ledger_keys.with_key_at(
            opened.receipt.decision_index,
            lambda key: verify_opened_receipt(
                opened,
                ReceiptExpectations(server=server, log_vkey=key, intent_sha256=intent_sha256, enforcement=enforcement),
            ),
        )

    def _read_shards(self) -> Sequence[Members]:
        return self.call(ServerCall("GET", "/ledger/shards")).objects("shards")

    def find_server_svid(self, sha256: str) -> Certificate:
        """The server's SVID with a digest; looks at a new connection when it is not known yet.

        Raises `receipt_invalid` when the server does not have it.
        """
        if sha256 not in self._svids:
            pool = Pool(self.check())
            try:
                self._exchange(ServerCall("GET", "/healthz"), pool).close()
            finally:
                pool.close()
        leaf = self._svids.get(sha256)
        if leaf is None:
            raise fail("receipt_invalid", {"reason": "unknown signer"})
        return leaf

    def with_server_id(self, call: Callable[[str], T]) -> T:
        """Runs a call that names the server in a signed intent; once more when the server was started anew.

        A refused call has done nothing, and the second one carries an intent of its own.
        """
        server_id = self.discovery.server_id
        try:
            return call(server_id)
        except TrustWardenError as error:
            if error.details.get("status") != 401:
                raise
            self.refresh()
            if self.discovery.server_id == server_id:
                raise
        return call(self.discovery.server_id)

    def retain(self) -> None:
        """Counts an identity that uses this server; the first one has it hear of changes."""
        with self._lock:
            self._holders += 1
        self._watch.start()

    def release(self) -> None:
        """Closes the connections with the last identity."""
        with self._lock:
            self._holders -= 1
            is_last = self._holders <= 0
        if is_last:
            self.close()

    def close(self) -> None:
        """Closes the anonymous connections."""
        self._watch.stop()
        self._anonymous.close()

    def require_own_process(self) -> None:
        """A forked child shares its parent's connections, so it may use none. Raises `identity_closed`."""
        if process_id() != self._pid:
            raise fail("identity_closed", {"reason": "the process was forked"})

    def _recover(self) -> None:
        """A root that was replaced by force: the successions lead on from the roots of before, as from a pin."""
        pinned = ServerAddress(self.address.url, self.trust_domain, digest_of_roots(self._bundle.x509_authorities))
        contact = make_contact(self.origin, pinned)
        contact.pool.close()
        self._keep_bundle(contact.bundle)
        self.discover()

    def _keep_bundle(self, bundle: TrustBundle) -> None:
        with self._lock:
            if bundle.sequence >= self._bundle.sequence:
                self._bundle = bundle

    def _tell(self) -> None:
        for listener in list(self._listeners.values()):
            listener()

    def _exchange(self, call: ServerCall, pool: Pool | None) -> Answer:
        self.require_own_process()
        # What carries an intent is sent once, also when it only reads.
        attempts = _READ_ATTEMPTS if call.method == "GET" and call.headers is None else 1
        for attempt in range(1, attempts):
            try:
                return self._exchange_once(call, pool)
            except TrustWardenError as error:
                if error.code != "server_unreachable":
                    raise
                time.sleep(_RETRY_SECONDS * 2**attempt * (0.5 + jitter()))
        return self._exchange_once(call, pool)

    def _exchange_once(self, call: ServerCall, pool: Pool | None) -> Answer:
        origin = (self._stop_origin or self.origin) if call.is_stop else self.origin
        kind = {} if call.body is None else {"content-type": "application/json"}
        headers = {"accept": "application/json", **kind, **(call.headers or {})}
        https = HttpsCall(origin, call.method, call.target, headers, call.body, call.timeout)
        answer = (pool or self._anonymous).send(https)
        svid = answer.connection.svid
        if svid is not None:
            self._keep_svid(svid.leaf)
        return answer

    def _keep_svid(self, leaf: Certificate) -> None:
        if leaf.sha256 in self._svids:
            return
        with self._lock:
            self._svids[leaf.sha256] = leaf
            if len(self._svids) > _MAX_SERVER_SVIDS:
                del self._svids[next(iter(self._svids))]


def void(_: object) -> None:
    """Drops a value."""
