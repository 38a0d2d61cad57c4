from __future__ import annotations

from collections.abc import Iterator

import pytest

from live import Program
from trustwarden import WorkloadApiClient, create_workload_api_client
from trustwarden.workload_api.address import parse_endpoint_address
from trustwarden.workload_api.grpc import Call


@pytest.fixture(scope="session")
def socket_of() -> Iterator[str]:
    program = Program(["test/support/workload-endpoint.ts"])
    yield str(program.ready["socket"])
    program.close()


@pytest.fixture(scope="session")
def client(socket_of: str) -> WorkloadApiClient:
    return create_workload_api_client(socket=socket_of)


@pytest.fixture(scope="session")
def good(socket_of: str) -> bytes:
    """A healthy answer of our endpoint, as bytes."""
    call = Call(parse_endpoint_address(socket_of), "/SpiffeWorkloadAPI/FetchX509SVID", b"", 30.0, stays_open=True)
    try:
        return next(call.messages())
    finally:
        call.close()
