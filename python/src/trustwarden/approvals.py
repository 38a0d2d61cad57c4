"""Calls that wait for a human: what the policy asked about, what exactly it was, and the wait for the owner's answer.

The service and the ledger only hold commitments, so whoever asks the owner has to say what they are to: the agent opens
them, and the server checks that it opens its own. Nothing is repeated by itself; who was told yes calls again, naming
the approval, and that call is a new intent which has to do exactly the same.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._bytes import encode_base64url
from ._codes import ErrorCode
from ._crypto import sha256
from ._json import JsonObject
from .answers import Members
from .errors import fail
from .receipts import VerifiedReceipt
from .runtime import monotonic
from .server import ServerCall, encode_body

if TYPE_CHECKING:
    from .session import SignedAction

APPROVAL_HEADER = "trustwarden-approval"
_MAX_OPEN = 16
"""As many as may wait on the server."""
_MAX_WAIT_SECONDS = 900
_POLL_SECONDS = 20
"""One long poll; the server holds it no longer."""
_POLL_TIMEOUT_SECONDS = _POLL_SECONDS + 10.0
_MAX_SHOWN_BODY_CHARS = 65_536
_LIFTABLE = ("approval_required", "tainted")

Call = Callable[[str, ServerCall], Members]
"""Makes a call in the agent's name, with the action of its route."""


@dataclass
class _Question:
    decision_index: int
    parameters: JsonObject
    salt: str
    body: str | None
    is_asked: bool = False


def approval_header(approval: str | None) -> Mapping[str, str]:
    """The header of a call that names an approval; empty for one that names none."""
    return {} if approval is None else {APPROVAL_HEADER: approval}


def is_ask(reasons: Sequence[str]) -> bool:
    """Whether a human may lift every reason against an action."""
    return len(reasons) > 0 and all(reason in _LIFTABLE for reason in reasons)


def refusal_of(reasons: Sequence[str]) -> ErrorCode:
    """The code of a decision that is no allow; `policy_unavailable` where only an engine's silence is against it."""
    others = [reason for reason in reasons if reason != "policy_unavailable"]
    if len(others) < len(reasons) and (len(others) == 0 or is_ask(others)):
        return "policy_unavailable"
    return "approval_required" if is_ask(reasons) else "denied"


class OpenQuestions:
    """Owns what this instance may still ask its owner about."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._questions: dict[str, _Question] = {}

    def require_answered(self, signed: SignedAction, verified: VerifiedReceipt) -> None:
        """Keeps a question when a proven decision is one. Raises `approval_required`."""
        decision = verified.decision
        if decision.allow or not is_ask(decision.reasons):
            return
        request = signed.intent.event_id
        # The gateway has put its own calls before the owner.
        if decision.enforcement != "gateway":
            with self._lock:
                self._questions[request] = _question_of(signed, verified.receipt.decision_index)
                if len(self._questions) > _MAX_OPEN:
                    del self._questions[next(iter(self._questions))]
        raise fail("approval_required", {"request": request, "reasons": decision.reasons})

    def wait(self, call: Call, request: str, timeout: float, left: threading.Event) -> str:
        """Asks the owner and waits for the answer, unless whoever asked has `left`.

        Raises `approval_denied`, `approval_expired`, `approval_used`, `call_aborted`, and the server's refusals, such
        as `approval_unknown` for a question of nobody here.
        """
        ends_at = monotonic() + timeout
        answer = self._ask(call, request, min(_MAX_WAIT_SECONDS, max(1, math.ceil(timeout))))
        while answer.text("status") == "pending":
            remaining = ends_at - monotonic()
            if left.is_set():
                raise fail("call_aborted")
            if remaining <= 0:
                raise fail("approval_expired", {"id": request})
            answer = _look(call, request, min(_POLL_SECONDS, math.ceil(remaining)))
        status = answer.text("status")
        if status == "approved":
            return request
        if status == "denied":
            raise fail("approval_denied", {"id": request})
        raise fail("approval_used" if status == "used" else "approval_expired", {"id": request})

    def _ask(self, call: Call, request: str, expires_in: int) -> Members:
        with self._lock:
            question = self._questions.get(request)
            # Asked by the gateway, or before this process knew: it is at the server or nowhere.
            is_known = question is None or question.is_asked
            if question is not None:
                question.is_asked = True
        if question is None or is_known:
            return _look(call, request, 0)
        body: JsonObject = {
            "event_id": request,
            "decision_index": question.decision_index,
            "parameters": question.parameters,
            "salt": question.salt,
            "body": question.body,
            "expires_in": expires_in,
        }
        return call("create:approval", ServerCall("POST", "/v1/approvals", encode_body(body)))


def _look(call: Call, request: str, wait: int) -> Members:
    target = f"/v1/approvals/{request}?wait={wait}"
    return call("read:approvals", ServerCall("GET", target, timeout=_POLL_TIMEOUT_SECONDS))


def _question_of(signed: SignedAction, decision_index: int) -> _Question:
    request = signed.asked.request
    if request is None:
        parameters: JsonObject = {"kind": "params", "params": signed.asked.params}
        return _Question(decision_index, parameters, signed.params_salt or "", None)
    parameters = {
        "kind": "request",
        "method": request.method,
        "target": request.target,
        "body_sha256": encode_base64url(sha256(request.body)),
    }
    return _Question(decision_index, parameters, signed.request_salt or "", _readable_text(request.body))


def _readable_text(body: bytes) -> str | None:
    """The body for a human to read, or None where it is no text or too long."""
    if not 0 < len(body) <= _MAX_SHOWN_BODY_CHARS:
        return None
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        # Safe to go on: what is no text is named by its digest.
        return None
