"""DSSE envelopes: how every TrustWarden record, ticket, grant and proof is signed.

The signature covers the exact payload bytes and their type (PAE), so nobody has to canonicalise to verify, and a
document of one type can never be read as another. One signature an envelope, base64 as in the DSSE text.

See: DSSE protocol v1.0.0, https://github.com/secure-systems-lab/dsse/blob/master/protocol.md
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ._bytes import encode_base64, parse_base64, parse_utf8
from ._crypto import is_p256_signature
from ._json import (
    Json,
    JsonObject,
    encode_canonical_json,
    is_json_list,
    is_json_object,
    parse_canonical_object,
)
from .errors import TrustWardenError
from .passkey import Assertion, OwnerKey, Passkey, require_asserted

MAX_ENVELOPE_CHARS = 65_535
"""Largest envelope that is read; the ledger's own limit is lower."""


@dataclass(frozen=True, slots=True)
class UnverifiedEnvelope:
    """A parsed envelope whose signature nobody has checked yet."""

    payload_type: str
    payload: bytes
    """Exact bytes under the signature."""
    unverified_keyid: str
    """Who claims to have signed; only a hint for finding the key, never an identity."""
    signature: bytes
    """64 bytes r||s."""
    assertion: Assertion | None = None
    """What a passkey signed along; None for every other key."""


def payload_type_of(name: str) -> str:
    """The payload type of a name, such as `intent`."""
    return f"application/vnd.trustwarden.{name}.v1+json"


def encode_pae(payload_type: str, payload: bytes) -> bytes:
    """Pre-authentication encoding: the bytes that are signed."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def issue_envelope(name: str, payload: JsonObject, sign: Callable[[bytes], bytes], keyid: str) -> str:
    """Signs a payload (as JCS) and returns the envelope's JSON text, itself canonical.

    `sign` gives 64 bytes r||s over the bytes it is given. `keyid` is the base64url SHA-256 of the signer's SVID
    (DER), or of its SPKI where there is no SVID, or the JWK thumbprint (proofs of possession).
    """
    return issue_envelope_of(name, encode_canonical_json(payload), sign, keyid)


def issue_envelope_of(name: str, data: bytes, sign: Callable[[bytes], bytes], keyid: str) -> str:
    """`issue_envelope` of a payload that is written already, as JCS."""
    kind = payload_type_of(name)
    sig = encode_base64(sign(encode_pae(kind, data)))
    # Nothing in it needs an escape, and this is the order of RFC 8785.
    signatures = f'[{{"keyid":"{keyid}","sig":"{sig}"}}]'
    return f'{{"payload":"{encode_base64(data)}","payloadType":"{kind}","signatures":{signatures}}}'


def parse_envelope(text: str) -> UnverifiedEnvelope:
    """The envelope of untrusted text.

    Raises: TrustWardenError `dsse_malformed`, `base64_malformed` and the JSON codes unless it has exactly our members,
    one signature of 64 bytes, strict base64, and is written canonically: one envelope, one spelling, one digest.
    """
    json = parse_canonical_object(text, MAX_ENVELOPE_CHARS)
    if json is None:
        raise _malformed("not canonical")
    payload, payload_type = json.get("payload"), json.get("payloadType")
    if not isinstance(payload, str) or not isinstance(payload_type, str):
        raise _malformed("members")
    if not set(json) <= {"payload", "payloadType", "signatures"}:
        raise _malformed("members")
    signatures = json.get("signatures")
    if not is_json_list(signatures) or len(signatures) != 1:
        raise _malformed("one signature expected")
    only = signatures[0]
    if not is_json_object(only) or set(only) - {"webauthn"} != {"keyid", "sig"}:
        raise _malformed("signature members")
    keyid, sig = only["keyid"], only["sig"]
    if not isinstance(keyid, str) or not isinstance(sig, str):
        raise _malformed("signature members")
    signature = parse_base64(sig)
    if len(signature) != 64:
        raise _malformed("signature length")
    assertion = _parse_assertion(only["webauthn"]) if "webauthn" in only else None
    return UnverifiedEnvelope(payload_type, parse_base64(payload), keyid, signature, assertion)


def verify_envelope(envelope: UnverifiedEnvelope, name: str, key: OwnerKey) -> JsonObject:
    """The payload of an envelope that `key` signed as a document of the named type.

    Raises: TrustWardenError `signature_invalid` for another key, another type or altered bytes; the JSON codes when
    the signed payload is not a canonical JSON object.
    """
    require_signed(envelope, name, key)
    return parse_unverified_payload(envelope)


def require_signed(envelope: UnverifiedEnvelope, name: str, key: OwnerKey) -> None:
    """Proves an envelope whose payload was parsed already: what was read from it may now be believed.

    Raises: TrustWardenError `signature_invalid` for another key, another type or altered bytes.
    """
    if envelope.payload_type != payload_type_of(name):
        raise TrustWardenError("signature_invalid", {"reason": "payload type", "expected": name})
    pae = encode_pae(envelope.payload_type, envelope.payload)
    if isinstance(key, Passkey):
        # A device's key signs nothing else than assertions.
        if envelope.assertion is None:
            raise TrustWardenError("signature_invalid", {"reason": "form of the signature", "type": name})
        require_asserted(key, pae, envelope.assertion, envelope.signature)
        return
    # A key of a file proves no human.
    if envelope.assertion is not None:
        raise TrustWardenError("signature_invalid", {"reason": "form of the signature", "type": name})
    if not is_p256_signature(key, pae, envelope.signature):
        raise TrustWardenError("signature_invalid", {"reason": "signature", "type": name})


def parse_unverified_payload(envelope: UnverifiedEnvelope) -> JsonObject:
    """The payload's JSON before anyone has proven it; for finding out which key to check."""
    text = parse_utf8(envelope.payload)
    json = parse_canonical_object(text, MAX_ENVELOPE_CHARS)
    if json is None:
        raise _malformed("payload not canonical")
    return json


def _parse_assertion(json: Json) -> Assertion:
    if not is_json_object(json) or set(json) != {"authenticator_data", "client_data"}:
        raise _malformed("assertion")
    data, client = json["authenticator_data"], json["client_data"]
    if not isinstance(data, str) or not isinstance(client, str):
        raise _malformed("assertion")
    return Assertion(parse_base64(data), parse_base64(client))


def _malformed(reason: str) -> TrustWardenError:
    return TrustWardenError("dsse_malformed", {"reason": reason})
