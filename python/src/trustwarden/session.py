"""What a live agent works with: its credential, its intents, its server, and the receipts it keeps.

Shared by everything an identity can do, none of which keeps state of its own.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ._bytes import encode_base64url
from ._json import JsonObject, require_json_object
from .answers import IdentityAnswer, Members
from .approvals import OpenQuestions
from .credential import Credential
from .enrol import Enrolled, renew_credential
from .gateway import GatewayCatalogue
from .intent import (
    SALT_BYTES,
    BoundRequest,
    IntentDraft,
    IntentWriter,
    SignedIntent,
    commit_to_params,
    commit_to_request,
)
from .models import Composition, KeptReceipt
from .outcomes import OutcomeSpool, send_outcomes
from .receipts import OpenedReceipt, VerifiedReceipt
from .records import Enforcement
from .renewal import SvidHolder
from .runtime import random_bytes
from .server import ServerCall, TrustServer

_MAX_KEPT_RECEIPTS = 256
"""The most recent ones; who needs all of them asks the ledger."""
_RENEWAL_SPREAD_SECONDS = 10.0

INTENT_HEADER = "trustwarden-intent"
SALT_HEADER = "trustwarden-salt"
RECEIPT_HEADER = "trustwarden-receipt"


@dataclass(frozen=True)
class Asked:
    """An action that the agent is about to ask for."""

    action: str
    resource: str
    audience: str
    """SPIFFE ID of the enforcement point."""
    params: JsonObject | None = None
    job: str | None = None
    request: BoundRequest | None = None
    """None for an act in this process."""


@dataclass(frozen=True)
class SignedAction:
    """A signed action and the credential that must carry it."""

    asked: Asked
    credential: Credential
    intent: SignedIntent
    params_salt: str | None
    request_salt: str | None
    headers: Mapping[str, str]
    """Empty for an act in this process."""


class AgentSession:
    """State of one live instance. Safe for threads."""

    def __init__(
        self,
        enrolled: Enrolled,
        agent_id: str,
        server: TrustServer,
        *,
        composition: Composition | None = None,
        renew: Callable[[Credential], Credential] | None = None,
    ) -> None:
        self.answer: IdentityAnswer = enrolled.answer
        self.server = server
        self.questions = OpenQuestions()
        self.gateway = GatewayCatalogue(self)
        self._composition = composition
        self._writer = IntentWriter(agent_id, server.checkpoint.seen)
        self._receipts: deque[KeptReceipt] = deque(maxlen=_MAX_KEPT_RECEIPTS)
        self._closing = threading.Lock()
        self._is_closed = False
        self.is_stopped = False
        """Whether this process has heard that the instance was stopped; nobody looks while nobody listens."""
        self.holder = SvidHolder(enrolled.credential, renew or self._renew, enrolled.answer.instance_expires_at)
        self.outcomes = OutcomeSpool(
            lambda outcomes: send_outcomes(server, self.holder.current().server_pool, outcomes)
        )
        server.retain()
        self._unfollow = server.on_authority(self._renew_when_asked)
        self._unwatch: dict[Callable[[], None], None] = {}

    @property
    def receipts(self) -> tuple[KeptReceipt, ...]:
        """The receipts kept, oldest first."""
        return tuple(self._receipts)

    def sign(self, asked: Asked, credential: Credential | None = None) -> SignedAction:
        """Signs the next intent with the current credential. Raises `identity_closed`, `identity_expired`."""
        carrier = credential or self.holder.current()
        salt = random_bytes(SALT_BYTES)
        params, params_salt = None, None
        if asked.params is not None:
            fresh = random_bytes(SALT_BYTES)
            params = commit_to_params(require_json_object(asked.params), fresh)
            params_salt = encode_base64url(fresh)
        request = None if asked.request is None else commit_to_request(asked.request, salt)
        draft = IntentDraft(asked.action, asked.resource, request, params, asked.audience, asked.job)
        intent = self._writer.sign(draft, carrier.svid.id, carrier.svid.leaf.sha256, carrier.key)
        if request is None:
            return SignedAction(asked, carrier, intent, params_salt, None, {})
        request_salt = encode_base64url(salt)
        headers = {INTENT_HEADER: encode_base64url(intent.envelope.encode()), SALT_HEADER: request_salt}
        return SignedAction(asked, carrier, intent, params_salt, request_salt, headers)

    def call(self, action: str, call: ServerCall) -> Members:
        """Calls a route of the server's API with an intent bound to exactly this call."""

        def send(audience: str) -> Members:
            credential = self.holder.current()
            headers = self._sign_call(action, call, credential, audience).headers
            signed = ServerCall(call.method, call.target, call.body, headers, call.is_stop, call.timeout)
            return self.server.call(signed, credential.server_pool)

        return self.server.with_server_id(send)

    def keep_receipt(self, opened: OpenedReceipt, signed: SignedAction, enforcement: Enforcement) -> VerifiedReceipt:
        """Proves a receipt about an action of ours and keeps it. Raises `receipt_invalid`."""
        verified = self.server.prove_receipt(opened, signed.intent.sha256, enforcement)
        self._receipts.append(kept_receipt_of(signed, verified))
        return verified

    def when_stopped(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Closes the connections to services and calls the listener when the instance is stopped."""

        def stopped() -> None:
            self.is_stopped = True
            self.holder.latest.cut_visits()
            listener()

        unwatch = self.server.stops.watch(lambda: self.holder.latest.svid.leaf, stopped)
        self._unwatch[unwatch] = None
        if self._is_closed:
            unwatch()

        def forget() -> None:
            self._unwatch.pop(unwatch, None)
            unwatch()

        return forget

    def close(self) -> None:
        """Reports what waits, and lets go of keys and connections."""
        with self._closing:
            if self._is_closed:
                return
            self._is_closed = True
        self._unfollow()
        for unwatch in list(self._unwatch):
            unwatch()
        self.outcomes.close()
        self.holder.close()
        self.server.release()

    def _renew_when_asked(self) -> None:
        if self.server.must_renew(self.holder.latest.svid.leaf):
            self.holder.renew_soon(_RENEWAL_SPREAD_SECONDS)

    def _sign_call(self, action: str, call: ServerCall, credential: Credential, audience: str) -> SignedAction:
        path = call.target.partition("?")[0]
        resource = f"trustwarden://{self.server.trust_domain}{path}"
        request = BoundRequest(call.method, call.target, call.body or b"")
        return self.sign(Asked(action, resource, audience, request=request), credential)

    def _renew(self, current: Credential) -> Credential:
        def sign(body: bytes) -> Mapping[str, str]:
            call = ServerCall("POST", "/v1/svids/renew", body)
            return self._sign_call("renew:svid", call, current, self.server.discovery.server_id).headers

        return renew_credential(self.server, current, sign, self._composition)


def kept_receipt_of(signed: SignedAction, verified: VerifiedReceipt) -> KeptReceipt:
    """A proven receipt with what it was about."""
    return KeptReceipt(
        receipt=verified.receipt,
        allow=verified.decision.allow,
        reasons=verified.decision.reasons,
        action=signed.asked.action,
        resource=signed.asked.resource,
        params=signed.asked.params,
        params_salt=signed.params_salt,
    )
