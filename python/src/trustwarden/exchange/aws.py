"""AWS: `sts:AssumeRoleWithWebIdentity`, for temporary credentials of a role whose trust policy names our issuer.

See: AWS Security Token Service API Reference, AssumeRoleWithWebIdentity (version 2011-06-15)
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import fail
from ..secret import Secret
from .ask import ProviderCall, ProviderPlace, ask_provider, malformed, parse_instant
from .credentials import ProviderCredentials, TokenSource

_PROVIDER = "aws"
_ROLE_ARN = re.compile(r"arn:[a-z0-9-]{1,32}:iam::\d{12}:role/[\w+=,.@/-]{1,512}", re.ASCII)
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]{1,16}){1,3}-\d{1,2}", re.ASCII)
_SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)


@dataclass(frozen=True)
class AwsCredentials:
    """Temporary security credentials of an assumed role."""

    access_key_id: str
    secret_access_key: Secret
    session_token: Secret
    expires_at: int = 0
    """Unix seconds; 0 where nobody said."""


def aws_credentials(
    *,
    agent: TokenSource,
    role_arn: str,
    region: str,
    session_name: str,
    duration_seconds: int = 3600,
    audience: str = "sts.amazonaws.com",
    endpoint: str | None = None,
    ca: str | None = None,
) -> ProviderCredentials[AwsCredentials]:
    """Temporary credentials of a role of AWS, by the regional endpoint.

    `session_name` is shown in CloudTrail, 2 to 64 characters; `duration_seconds` is 900 to 43,200 and no more than the
    role allows; `audience` is what the IAM identity provider has as its client id; `endpoint` and `ca` (PEM) are for a
    private endpoint. Raises `config_invalid` for what AWS would not take.
    """
    _require_setting("role_arn", _ROLE_ARN.fullmatch(role_arn) is not None)
    _require_setting("region", _REGION.fullmatch(region) is not None)
    _require_setting("session_name", _SESSION_NAME.fullmatch(session_name) is not None)
    _require_setting("duration_seconds", 900 <= duration_seconds <= 43_200)
    place = ProviderPlace(endpoint, ca)
    form = {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": role_arn,
        "RoleSessionName": session_name,
        "DurationSeconds": str(duration_seconds),
    }

    def exchange(token: str, _: int) -> AwsCredentials:
        origin, signed = f"https://sts.{region}.amazonaws.com", {**form, "WebIdentityToken": token}
        call = ProviderCall(_PROVIDER, origin, place, "/", form=signed, headers={"accept": "text/xml"})
        return _parse_answer(ask_provider(call))

    return ProviderCredentials(agent, audience, exchange)


def _parse_answer(xml: str) -> AwsCredentials:
    """The one element of each name in a document whose form is fixed; an XML parser would read far more than that."""
    return AwsCredentials(
        access_key_id=_element_of(xml, "AccessKeyId"),
        secret_access_key=Secret(_element_of(xml, "SecretAccessKey")),
        session_token=Secret(_element_of(xml, "SessionToken")),
        expires_at=parse_instant(_PROVIDER, "Expiration", _element_of(xml, "Expiration")),
    )


def _element_of(xml: str, name: str) -> str:
    """None of these values holds a character that XML would escape; white space around them is the document's own."""
    found = re.findall(rf"<{name}>\s*([A-Za-z0-9+/=:.-]{{1,8192}})\s*</{name}>", xml)
    if len(found) != 1:
        raise malformed(_PROVIDER, name)
    return str(found[0])


def _require_setting(setting: str, holds: bool) -> None:
    if not holds:
        raise fail("config_invalid", {"setting": setting})
