"""A client of the SPIFFE Workload API; `pip install ./python[workload-api]`."""

from .answers import WorkloadWitSvid, WorkloadX509State, WorkloadX509Svid
from .client import WorkloadApiClient, WorkloadBundles, WorkloadJwtSvid, create_workload_api_client
from .jwt_source import JwtSource, create_jwt_source
from .mutual_tls import (
    MutualTls,
    PeerConnection,
    accept_ids,
    accept_trust_domain,
    connect_mutual_tls,
    create_mutual_tls_agent,
)
from .mutual_tls_server import create_mutual_tls_server
from .x509_source import X509Source, create_x509_source

__all__ = [
    "JwtSource",
    "MutualTls",
    "PeerConnection",
    "WorkloadApiClient",
    "WorkloadBundles",
    "WorkloadJwtSvid",
    "WorkloadWitSvid",
    "WorkloadX509State",
    "WorkloadX509Svid",
    "X509Source",
    "accept_ids",
    "accept_trust_domain",
    "connect_mutual_tls",
    "create_jwt_source",
    "create_mutual_tls_agent",
    "create_mutual_tls_server",
    "create_workload_api_client",
    "create_x509_source",
]
