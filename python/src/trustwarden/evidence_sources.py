"""Gets evidence from the platform that runs this process, made for one exchange with one server.

Metadata services are asked on their fixed link-local address, without redirects; what they answer is a secret until it
is used, and never appears in an error. `docs/guides/attestation.md` says what each kind proves.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx

from ._bytes import parse_utf8
from ._json import parse_json_object
from .attest import EvidenceSource, Exchange
from .environment import github_token_request_from_environment
from .errors import TrustWardenError, fail
from .exchange.aws import AwsCredentials
from .runtime import now_ms
from .secret import Secret

_METADATA_URL = "http://169.254.169.254"
_TIMEOUT_SECONDS = 5.0
_MAX_BYTES = 65_536
_EC2_SESSION_SECONDS = 60
_AZURE_NONCE_DIGITS = 10
_REGION = re.compile(r"[a-z]{2}[a-z0-9-]{3,30}")
_STS_BODY = "Action=GetCallerIdentity&Version=2011-06-15"
_STS_ALGORITHM = "AWS4-HMAC-SHA256"


def from_github_actions() -> EvidenceSource:
    """A job of GitHub Actions with `permissions: id-token: write`."""

    def get(exchange: Exchange) -> dict[str, str]:
        request = github_token_request_from_environment()
        if request is None:
            raise _unavailable("not a job that may have an OIDC token")
        try:
            url = httpx.URL(request[0]).copy_set_param("audience", exchange.audience)
        except httpx.InvalidURL as cause:
            raise _unavailable("no URL") from cause
        answer = _ask(url, {"authorization": f"Bearer {request[1].reveal()}"})
        return {"type": "github", "token": _member_of(answer, "value")}

    return get


def from_kubernetes(*, cluster: str, token_file: str | Path) -> EvidenceSource:
    """A pod with a projected service-account token for our audience. `cluster` is as the server calls it."""

    def get(_: Exchange) -> dict[str, str]:
        try:
            token = Path(token_file).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as cause:
            raise _unavailable("the token cannot be read") from cause
        return {"type": "k8s", "cluster": cluster, "token": token}

    return get


def from_oidc(*, provider: str, token: Callable[[str], str]) -> EvidenceSource:
    """A token that the caller gets itself for an audience, of an issuer as the server calls it."""
    return lambda exchange: {"type": "oidc", "provider": provider, "token": token(exchange.audience)}


def from_gce(*, metadata_url: str = _METADATA_URL) -> EvidenceSource:
    """A machine of Compute Engine."""

    def get(exchange: Exchange) -> dict[str, str]:
        path = "/computeMetadata/v1/instance/service-accounts/default/identity"
        url = httpx.URL(metadata_url + path, params={"audience": exchange.audience, "format": "full"})
        return {"type": "gcp", "token": _ask(url, {"metadata-flavor": "Google"}).strip()}

    return get


def from_ec2(*, metadata_url: str = _METADATA_URL) -> EvidenceSource:
    """An instance of EC2."""

    def get(_: Exchange) -> dict[str, str]:
        lifetime = {"x-aws-ec2-metadata-token-ttl-seconds": str(_EC2_SESSION_SECONDS)}
        session = _ask(httpx.URL(metadata_url + "/latest/api/token"), lifetime, method="PUT")
        url = httpx.URL(metadata_url + "/latest/dynamic/instance-identity/rsa2048")
        return {"type": "aws_pkcs7", "pkcs7": _ask(url, {"x-aws-ec2-metadata-token": session})}

    return get


def from_azure_identity(
    *, resource: str, client_id: str | None = None, metadata_url: str = _METADATA_URL
) -> EvidenceSource:
    """A managed identity of Azure. `resource` is the audience that the server is configured with."""

    def get(_: Exchange) -> dict[str, str]:
        named = {} if client_id is None else {"client_id": client_id}
        params = {"api-version": "2018-02-01", "resource": resource, **named}
        answer = _ask(httpx.URL(metadata_url + "/metadata/identity/oauth2/token", params=params), {"metadata": "true"})
        return {"type": "azure_token", "token": _member_of(answer, "access_token")}

    return get


def from_azure_machine(*, metadata_url: str = _METADATA_URL) -> EvidenceSource:
    """A virtual machine of Azure."""

    def get(exchange: Exchange) -> dict[str, str]:
        params = {"api-version": "2020-09-01", "nonce": _azure_nonce_of(exchange.nonce)}
        answer = _ask(httpx.URL(metadata_url + "/metadata/attested/document", params=params), {"metadata": "true"})
        return {"type": "azure_document", "pkcs7": _member_of(answer, "signature")}

    return get


def from_aws_role(*, region: str, credentials: Callable[[], AwsCredentials], host: str | None = None) -> EvidenceSource:
    """An assumed role of AWS: of a Lambda function, a task of ECS, a pod of EKS, or any machine.

    A `GetCallerIdentity` request is signed here and sent to AWS STS by the server, never by us. Audience and nonce are
    among the signed headers, so that it is of use to one server, once. `credentials` are asked for at each exchange;
    `host` is the region's STS as the server is configured with it. Raises `config_invalid` for a region that is none.
    """
    if _REGION.fullmatch(region) is None:
        raise fail("config_invalid", {"setting": "region"})
    named = host or f"sts.{region}.amazonaws.com"

    def get(exchange: Exchange) -> dict[str, str]:
        role = credentials()
        amz_date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_ms() // 1000))
        headers = {
            "content-type": "application/x-www-form-urlencoded; charset=utf-8",
            "host": named,
            "x-amz-date": amz_date,
            "x-amz-security-token": role.session_token.reveal(),
            "x-trustwarden-audience": exchange.audience,
            "x-trustwarden-nonce": exchange.nonce,
        }
        scope = [amz_date[:8], region, "sts", "aws4_request"]
        signature = _sign_sts(headers, scope, role.secret_access_key)
        signed = f"SignedHeaders={';'.join(headers)}, Signature={signature}"
        return {
            "type": "aws_caller",
            "region": region,
            "authorization": f"{_STS_ALGORITHM} Credential={role.access_key_id}/{'/'.join(scope)}, {signed}",
            "amz_date": amz_date,
            "security_token": role.session_token.reveal(),
        }

    return get


def _sign_sts(headers: Mapping[str, str], scope: list[str], secret: Secret) -> str:
    """AWS Signature Version 4, hex; the headers are in the order of their names."""
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    request = "\n".join(["POST", "/", "", lines, ";".join(headers), _hex_digest(_STS_BODY)])
    text = "\n".join([_STS_ALGORITHM, headers["x-amz-date"], "/".join(scope), _hex_digest(request)])
    key = f"AWS4{secret.reveal()}".encode()
    for part in scope:
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


def _hex_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _azure_nonce_of(nonce: str) -> str:
    """Ten decimal digits of a server's nonce: Azure takes no more, and both sides shorten it in the same way."""
    number = int.from_bytes(hashlib.sha256(nonce.encode()).digest()[:8], "big")
    return str(number % 10**_AZURE_NONCE_DIGITS).zfill(_AZURE_NONCE_DIGITS)


def _ask(url: httpx.URL, headers: Mapping[str, str], *, method: str = "GET") -> str:
    """What a platform answers. No proxy of the environment is asked: it would see the answer."""
    try:
        with (
            httpx.Client(trust_env=False, follow_redirects=False, timeout=_TIMEOUT_SECONDS) as client,
            client.stream(method, url, headers={"accept-encoding": "identity", **headers}) as answer,
        ):
            if answer.status_code != 200:
                raise _unavailable(f"status {answer.status_code}")
            return parse_utf8(_read_bounded(answer))
    except httpx.HTTPError as cause:
        raise _unavailable("no answer") from cause


def _read_bounded(answer: httpx.Response) -> bytes:
    data, ends_at = b"", time.monotonic() + _TIMEOUT_SECONDS
    for part in answer.iter_raw():
        data += part
        if len(data) > _MAX_BYTES or time.monotonic() > ends_at:
            raise _unavailable("the answer is too large or too slow")
    return data


def _member_of(text: str, name: str) -> str:
    try:
        value = parse_json_object(text, _MAX_BYTES).get(name)
    except TrustWardenError as cause:
        raise _unavailable("the answer is no JSON") from cause
    if not isinstance(value, str) or value == "":
        raise _unavailable(f"no {name} in the answer")
    return value


def _unavailable(reason: str) -> TrustWardenError:
    return fail("evidence_unavailable", {"reason": reason})
