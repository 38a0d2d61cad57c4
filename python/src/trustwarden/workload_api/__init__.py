"""A client of the SPIFFE Workload API; `pip install ./python[workload-api]`."""

from .answers import WorkloadWitSvid, WorkloadX509State, WorkloadX509Svid
from .client import WorkloadApiClient, WorkloadJwtSvid, create_workload_api_client

__all__ = [
    "WorkloadApiClient",
    "WorkloadJwtSvid",
    "WorkloadWitSvid",
    "WorkloadX509State",
    "WorkloadX509Svid",
    "create_workload_api_client",
]
