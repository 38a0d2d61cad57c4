"""What one verifier knows about revocations, and whether it may rely on it right now.

Two questions before each act: is the view fresh (the lease), and did anything touch this agent's chain since the
decision was made (the targets). Both fail closed. Pure: every time is an argument; `lease` feeds the view.

See: docs/path.md, "The lease"
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import TrustWardenError
from .frames import EchoFrame, HelloFrame, PushFrame, RevocationTarget, ServerFrame

MAX_CLOCK_DISAGREEMENT_MS = 500
"""How far the two clocks may move apart within one lease before it ends; above the steps of a disciplined clock."""
MAX_KEPT_TARGETS = 4096
"""Targets kept; older decisions than the oldest of them are refused instead of looked up."""
MAX_OUTSTANDING = 64
"""Nonces on their way; a lease of 700 ms with beats of 200 ms needs four."""


@dataclass(frozen=True, slots=True)
class Instant:
    """One reading of both clocks, in milliseconds."""

    monotonic_ms: float
    wall_ms: float


@dataclass(frozen=True, slots=True)
class _Touch:
    epoch: int
    is_revoked: bool


@dataclass(frozen=True, slots=True)
class _Given:
    """When the nonce that a lease rests on was sent, and what its echo gave."""

    sent: Instant
    lease_ms: int


class RevocationView:
    """The view of one verifier process; it outlives its connections.

    Invariants between calls: `epoch` never falls; every target with `floor < epoch <= self.epoch` is kept; there is a
    lease only if its nonce was echoed in order on a connection whose pushes were all applied before.
    """

    def __init__(self) -> None:
        self.epoch: int = 0
        # Decisions older than this are refused: what happened before it is not known here. Nothing is, before a hello.
        self._floor = float("inf")
        self._seq: int = 0
        self._phase = "stale"
        self._lease_ms: int = 0
        self._lease: _Given | None = None
        self._last_sent: Instant | None = None
        self._outstanding: dict[str, Instant] = {}
        # Oldest epoch first.
        self._touched: dict[str, _Touch] = {}
        self._policy_epoch = -1

    @property
    def is_stale(self) -> bool:
        """Whether the connection broke the rules (a gap, an epoch that fell): only a new one helps."""
        return self._phase == "stale"

    @property
    def is_following(self) -> bool:
        """Whether the connection said hello, so that beats may be sent."""
        return self._phase == "following"

    def on_connect(self) -> None:
        """Starts a new connection. The lease goes on until it runs out: a short break costs nothing."""
        self._phase = "connecting"
        self._outstanding.clear()

    def on_sent(self, nonce: str, at: Instant) -> None:
        """Notes a nonce immediately before it is sent: the lease counts from here, so that any delay shortens it."""
        if self._last_sent is not None and _has_jumped(self._last_sent, at):
            self._end_lease()
        self._last_sent = at
        for old, sent in list(self._outstanding.items()):
            if len(self._outstanding) < MAX_OUTSTANDING and _elapsed_ms(sent, at) < self._lease_ms:
                break
            del self._outstanding[old]
        self._outstanding[nonce] = at

    def on_frame(self, frame: ServerFrame) -> None:
        """Takes one frame in the order of arrival. A frame that breaks the rules makes the view stale."""
        if self._phase == "stale":
            return
        if isinstance(frame, HelloFrame):
            self._on_hello(frame)
        elif isinstance(frame, EchoFrame):
            self._on_echo(frame)
        else:
            self._on_push(frame)

    def require_fresh(self, now: Instant) -> None:
        """Refuses to go on without a live lease. A clock that jumped ends it for good.

        Raises: TrustWardenError `lease_expired`.
        """
        lease = self._lease
        if lease is None:
            raise TrustWardenError("lease_expired", {"reason": "no lease"})
        if _has_jumped(lease.sent, now):
            self._end_lease()
            raise TrustWardenError("lease_expired", {"reason": "the clock jumped"})
        # Negated, so that a reading that is not a number refuses.
        if not _elapsed_ms(lease.sent, now) < lease.lease_ms:
            raise TrustWardenError("lease_expired", {"reason": "not renewed in time"})

    def require_untouched(self, epoch: int, ids: Iterable[str]) -> None:
        """Refuses a decision that something touched after it was made.

        `ids` are the owner's id, and every agent id and instance id of the chain.

        Raises: TrustWardenError `identity_revoked` when somebody in the chain died, `decision_stale` when the chain was
        narrowed, the policy tightened, or the decision is older than what this view remembers.
        """
        if not epoch >= self._floor:
            raise _stale("older than the view", epoch)
        touches = [touch for name in ids if (touch := self._touched.get(name)) is not None and touch.epoch > epoch]
        if any(touch.is_revoked for touch in touches):
            raise TrustWardenError("identity_revoked", {"epoch": epoch})
        if touches:
            raise _stale("narrowed", epoch)
        if self._policy_epoch > epoch:
            raise _stale("policy", epoch)

    def _on_hello(self, frame: HelloFrame) -> None:
        """A second hello, or an epoch below ours (a server restored from an old backup), is never followed."""
        if self._phase != "connecting" or frame.epoch < self.epoch:
            self._go_stale()
            return
        self._phase = "following"
        self._seq, self._lease_ms, self.epoch = frame.seq, frame.lease_ms, frame.epoch
        # What happened between two connections is unknown: decisions from before this one are refused, not looked up.
        self._floor = frame.epoch
        self._policy_epoch = -1
        self._touched.clear()

    def _on_echo(self, frame: EchoFrame) -> None:
        if self._phase != "following" or frame.epoch != self.epoch or frame.seq != self._seq:
            self._go_stale()
            return
        sent = self._outstanding.get(frame.nonce)
        # An echo later than its own lease, or of a nonce that was never ours, gives nothing.
        if sent is None:
            return
        given = _Given(sent, self._lease_ms if frame.lease_ms is None else min(frame.lease_ms, self._lease_ms))
        held = self._lease
        # Of two leases that were both given, the one that lasts longer: a relay may give less than another did.
        if (
            held is None
            or _has_jumped(held.sent, sent)
            or given.lease_ms > held.lease_ms - _elapsed_ms(held.sent, sent)
        ):
            self._lease = given
        for old in list(self._outstanding):
            del self._outstanding[old]
            if old == frame.nonce:
                break

    def _on_push(self, frame: PushFrame) -> None:
        if self._phase != "following" or frame.seq != self._seq + 1 or frame.epoch <= self.epoch:
            self._go_stale()
            return
        self._seq, self.epoch = frame.seq, frame.epoch
        for target in frame.targets:
            self._touch(target, frame.epoch)
        while len(self._touched) > MAX_KEPT_TARGETS:
            oldest = next(iter(self._touched))
            self._floor = max(self._floor, self._touched.pop(oldest).epoch)

    def _touch(self, target: RevocationTarget, epoch: int) -> None:
        # Whoever keeps a copy of these fetches it again; no decision is void by them.
        if target.kind in ("entry", "authority", "federation"):
            return
        if target.kind == "policy":
            self._policy_epoch = epoch
            return
        # Taken out first, so that the order is the one of epochs.
        before = self._touched.pop(target.id, None)
        is_revoked = target.kind != "narrowed" or (before is not None and before.is_revoked)
        self._touched[target.id] = _Touch(epoch, is_revoked)

    def _go_stale(self) -> None:
        self._phase = "stale"
        self._end_lease()

    def _end_lease(self) -> None:
        self._lease = None
        self._outstanding.clear()


def _elapsed_ms(since: Instant, now: Instant) -> float:
    """The longer of the two clocks' answers: a monotonic clock may stand still in a suspended process."""
    return max(now.monotonic_ms - since.monotonic_ms, now.wall_ms - since.wall_ms)


def _has_jumped(since: Instant, now: Instant) -> bool:
    monotonic_ms = now.monotonic_ms - since.monotonic_ms
    apart_ms = abs(now.wall_ms - since.wall_ms - monotonic_ms)
    return not (apart_ms <= MAX_CLOCK_DISAGREEMENT_MS and monotonic_ms >= 0)


def _stale(reason: str, epoch: int) -> TrustWardenError:
    return TrustWardenError("decision_stale", {"reason": reason, "epoch": epoch})
