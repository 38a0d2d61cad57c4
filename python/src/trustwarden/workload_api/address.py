"""Where the Workload API is: the value of `SPIFFE_ENDPOINT_SOCKET`. See: SPIFFE_Workload_Endpoint.md section 4."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass

from ..errors import TrustWardenError, fail

_MAX_SOCKET_PATH_BYTES = 107
"""`sun_path` has 108 bytes with its end."""
_MAX_PORT = 65_535
_TCP = re.compile(r"tcp://(?:\[(?P<v6>[^\]]+)\]|(?P<v4>[^:/]+)):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True)
class EndpointAddress:
    """A path of a unix socket, or an IP address with its port."""

    path: str | None
    host: str
    port: int

    def connect(self, timeout: float) -> socket.socket:
        """An open connection. Raises `OSError`."""
        if self.path is None:
            return socket.create_connection((self.host, self.port), timeout)
        plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            plain.settimeout(timeout)
            plain.connect(self.path)
        except BaseException:
            plain.close()
            raise
        return plain


def parse_endpoint_address(text: str) -> EndpointAddress:
    """`unix:///absolute/path`, or `tcp://IP:port`; a name is refused, because whoever answers for it would be believed.

    Raises: TrustWardenError `endpoint_malformed`.
    """
    if text.startswith("unix:///"):
        return EndpointAddress(_require_path(text.removeprefix("unix://")), "", 0)
    match = _TCP.fullmatch(text)
    if match is None or not _is_ip(match):
        raise _malformed("neither unix:///path nor tcp://IP:port")
    if not 1 <= int(match["port"]) <= _MAX_PORT:
        raise _malformed("port")
    return EndpointAddress(None, match["v6"] or match["v4"], int(match["port"]))


def _is_ip(match: re.Match[str]) -> bool:
    try:
        parsed = ipaddress.ip_address(match["v6"] or match["v4"])
    except ValueError:
        return False
    return parsed.version == (4 if match["v6"] is None else 6)


def _require_path(path: str) -> str:
    if re.search(r"[?#\0]", path):
        raise _malformed("query or fragment")
    if len(path.encode()) > _MAX_SOCKET_PATH_BYTES:
        raise _malformed("longer than 107 bytes")
    return path


def _malformed(reason: str) -> TrustWardenError:
    return fail("endpoint_malformed", {"reason": reason})
