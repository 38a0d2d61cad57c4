"""JWT-SVIDs from the Workload API, and the latest bundles to check those of others with, without a call for each.

See: SPIFFE_Workload_API.md section 6; JWT-SVID sections 4 and 5
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .._threads import in_thread
from ..errors import TrustWardenError
from ..jwt_svid import JwtSvid, verify_jwt_svid
from ..runtime import now_seconds
from .client import WorkloadApiClient, WorkloadBundles, WorkloadJwtSvid, create_workload_api_client
from .followed import Followed, SourceEvents


class JwtSource:
    """Tokens of ours from the endpoint, tokens of others proven here. Safe for threads; a forked child has none."""

    def __init__(self, client: WorkloadApiClient, followed: Followed[WorkloadBundles]) -> None:
        """For this package; see `create_jwt_source`."""
        self._client = client
        self._followed = followed

    def fetch(self, *, audience: Sequence[str], spiffe_id: str = "") -> tuple[WorkloadJwtSvid, ...]:
        """Asks the endpoint, each time. Raises as `WorkloadApiClient.fetch_jwt_svids`."""
        return self._client.fetch_jwt_svids(audience=audience, spiffe_id=spiffe_id)

    async def afetch(self, *, audience: Sequence[str], spiffe_id: str = "") -> tuple[WorkloadJwtSvid, ...]:
        """As `fetch`, off the event loop."""
        return await in_thread(lambda: self.fetch(audience=audience, spiffe_id=spiffe_id))

    def verify(self, *, svid: str, audience: str) -> JwtSvid:
        """Proves a token by the bundle of its subject's trust domain, here and now; `audience` is who we are.

        Raises `svid_malformed`, `trust_domain_unknown`, `svid_untrusted`, `svid_audience`, `svid_expired`,
        `svid_not_yet_valid`, `svid_too_long_lived` beyond an hour; `no_identity` once the bundles are withdrawn,
        `identity_closed`.
        """
        bundles = self._followed.current()
        return verify_jwt_svid(svid, audience=[audience], bundles=bundles, now=now_seconds())

    def close(self) -> None:
        """Ends the watch; nothing is proven any more."""
        self._followed.close()


def create_jwt_source(
    *,
    socket: str | None = None,
    timeout: float = 10.0,
    on_change: Callable[[], None] | None = None,
    on_error: Callable[[TrustWardenError], None] | None = None,
) -> JwtSource:
    """Comes back when there are bundles. `on_change`, `on_error` and what it raises are as of `create_x509_source`."""
    client = create_workload_api_client(socket=socket, timeout=timeout)
    followed: Followed[WorkloadBundles] = Followed(client, SourceEvents(on_change, on_error))
    followed.open(client.watch_jwt_bundles, timeout)
    return JwtSource(client, followed)
