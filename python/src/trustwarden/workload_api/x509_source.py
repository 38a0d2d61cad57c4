"""A process's X.509 identity from the Workload API, always the latest: what to present to peers, and whom to believe.

See: SPIFFE_Workload_API.md sections 5 and 8
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .._threads import in_thread
from ..errors import TrustWardenError, fail
from ..runtime import now_seconds
from ..spiffe import SpiffeId
from ..x509 import verify_x509_svid
from .answers import WorkloadX509State, WorkloadX509Svid
from .client import create_workload_api_client
from .followed import Followed, SourceEvents


class X509Source:
    """Changes under the caller's hands: ask it for each connection, and keep nothing of what it says.

    Safe for threads; a forked child has none (`identity_closed`). `svid` is a source for `AgentIdentity.from_svid`.
    """

    def __init__(self, followed: Followed[WorkloadX509State], hint: str | None) -> None:
        """For this package; see `create_x509_source`."""
        self._followed = followed
        self._hint = hint

    def current(self) -> WorkloadX509State:
        """All identities and bundles.

        Raises `no_identity` once withdrawn, `identity_closed`; `request_malformed` or `server_unreachable` once the
        endpoint takes the call no more.
        """
        return self._followed.current()

    def svid(self) -> WorkloadX509Svid:
        """The identity to present.

        Raises as `current`; `svid_expired` when the endpoint was away for too long; `no_identity` when none has the
        hint.
        """
        svids = self.current().svids
        found = svids[0] if self._hint is None else next((one for one in svids if one.hint == self._hint), None)
        if found is None:
            raise fail("no_identity", {"reason": "hint"})
        if now_seconds() >= found.expires_at:
            raise fail("svid_expired", {"expires_at": found.expires_at})
        return found

    def verify_peer(self, chain: Sequence[bytes]) -> SpiffeId:
        """Proves a peer by the bundle of its own trust domain; `chain` is DER, leaf first.

        Raises as `current`, and the codes of a chain.
        """
        return verify_x509_svid(chain, self.current().bundles, now_seconds()).id

    def close(self) -> None:
        """Ends the watch; nothing is presented any more."""
        self._followed.close()


def create_x509_source(
    *,
    socket: str | None = None,
    timeout: float = 10.0,
    hint: str | None = None,
    on_change: Callable[[], None] | None = None,
    on_error: Callable[[TrustWardenError], None] | None = None,
) -> X509Source:
    """Comes back when there is an identity. `hint` says which one to present where there are several; else the first.

    `on_change` hears, on another thread, that there is a state, another one, or none any more; `on_error` that the
    stream was interrupted or an answer was not believed, which is a warning unless given. Raises `endpoint_malformed`;
    within `timeout` also `no_identity`, `server_unreachable`, `workload_answer_refused`, and at once
    `request_malformed` for an endpoint that does not take the call.
    """
    client = create_workload_api_client(socket=socket, timeout=timeout)
    followed: Followed[WorkloadX509State] = Followed(client, SourceEvents(on_change, on_error))
    followed.open(client.watch_x509, timeout)
    return X509Source(followed, hint)


async def acreate_x509_source(
    *,
    socket: str | None = None,
    timeout: float = 10.0,
    hint: str | None = None,
    on_change: Callable[[], None] | None = None,
    on_error: Callable[[TrustWardenError], None] | None = None,
) -> X509Source:
    """As `create_x509_source`, off the event loop."""

    def create() -> X509Source:
        return create_x509_source(socket=socket, timeout=timeout, hint=hint, on_change=on_change, on_error=on_error)

    return await in_thread(create, X509Source.close)
