"""The X.509 extensions that the SPIFFE profile speaks of, read strictly.

An unknown extension is refused when critical and ignored otherwise, as RFC 5280 asks. Name constraints are not
supported: they are critical, so a chain that carries them is refused (X509-SVID §4.2 leaves them optional).

See: RFC 5280 §4.2; X509-SVID §4
"""

from __future__ import annotations

from dataclasses import dataclass

from ._der import (
    OCTET_STRING,
    SEQUENCE,
    DerElement,
    der_malformed,
    parse_boolean,
    parse_content,
    parse_der,
    parse_members,
    parse_named_bits,
    parse_oid,
    parse_printable,
    parse_small_integer,
)

SERVER_AUTH = "1.3.6.1.5.5.7.3.1"
CLIENT_AUTH = "1.3.6.1.5.5.7.3.2"
_SKI, _KEY_USAGE, _SAN, _BASIC, _AKI, _EKU = (
    "2.5.29.14",
    "2.5.29.15",
    "2.5.29.17",
    "2.5.29.19",
    "2.5.29.35",
    "2.5.29.37",
)
# Of a GeneralName: the URI; the other text names; the kinds whose content the profile never reads.
_URI_NAME = 0x86
_TEXT_NAMES = frozenset({0x81, 0x82})
_OPAQUE_NAMES = frozenset({0xA0, 0xA3, 0xA4, 0xA5, 0x87, 0x88})
_KEY_IDENTIFIER = 0x80


@dataclass(frozen=True, slots=True)
class KeyUsage:
    """The bits of KeyUsage that the SPIFFE profile speaks of."""

    is_critical: bool
    digital_signature: bool
    key_cert_sign: bool
    crl_sign: bool


@dataclass(frozen=True, slots=True)
class Extensions:
    """What the extensions of one certificate say."""

    uris: tuple[str, ...]
    is_san_critical: bool
    is_ca: bool
    is_basic_constraints_critical: bool
    path_len: int | None
    """How many intermediates may follow below; None where it is not limited."""
    key_usage: KeyUsage | None
    ext_key_usage: tuple[str, ...] | None
    """Dotted purposes, at least one; None where the extension is absent."""
    ski: bytes | None
    aki: bytes | None


@dataclass(frozen=True, slots=True)
class _Raw:
    is_critical: bool
    value: bytes


def parse_extensions(explicit: DerElement | None) -> Extensions:
    """The extensions in the `[3]` element of a TBSCertificate.

    Raises: TrustWardenError `der_malformed`, also for a repeated extension and for an unknown critical one.
    """
    outer = parse_members(explicit, 0xA3)
    if len(outer) > 1:
        raise der_malformed("extensions")
    raw: dict[str, _Raw] = {}
    for member in parse_members(outer[0] if outer else None, SEQUENCE):
        _add(raw, member)
    basic, usage, purposes = raw.pop(_BASIC, None), raw.pop(_KEY_USAGE, None), raw.pop(_EKU, None)
    san, ski, aki = raw.pop(_SAN, None), raw.pop(_SKI, None), raw.pop(_AKI, None)
    is_ca, path_len = (False, None) if basic is None else _parse_basic_constraints(basic.value)
    extensions = Extensions(
        is_ca=is_ca,
        is_basic_constraints_critical=basic is not None and basic.is_critical,
        path_len=path_len,
        key_usage=None if usage is None else _parse_key_usage(usage),
        ext_key_usage=None if purposes is None else _parse_purposes(purposes.value),
        uris=() if san is None else _parse_names(san.value),
        is_san_critical=san is not None and san.is_critical,
        ski=None if ski is None else parse_content(parse_der(ski.value), OCTET_STRING),
        aki=None if aki is None else _parse_authority_key_identifier(aki.value),
    )
    # What is left over is what nobody here understands.
    if any(extension.is_critical for extension in raw.values()):
        raise der_malformed("unknown critical extension")
    return extensions


def _add(raw: dict[str, _Raw], member: DerElement) -> None:
    members = parse_members(member, SEQUENCE)
    oid = parse_oid(members[0] if members else None)
    if oid in raw:
        raise der_malformed("repeated extension")
    is_critical = len(members) == 3
    if is_critical and not parse_boolean(members[1]):
        raise der_malformed("default written out")
    if len(members) > 3:
        raise der_malformed("extension")
    raw[oid] = _Raw(is_critical, parse_content(members[-1] if len(members) > 1 else None, OCTET_STRING))


def _parse_basic_constraints(value: bytes) -> tuple[bool, int | None]:
    members = parse_members(parse_der(value), SEQUENCE)
    if not members:
        return False, None
    # DER leaves a FALSE out, and a path length means nothing without cA: whatever comes first is TRUE.
    if len(members) > 2 or not parse_boolean(members[0]):
        raise der_malformed("basic constraints")
    return True, parse_small_integer(members[1]) if len(members) == 2 else None


def _parse_key_usage(raw: _Raw) -> KeyUsage:
    bits = parse_named_bits(parse_der(raw.value))
    return KeyUsage(raw.is_critical, digital_signature=0 in bits, key_cert_sign=5 in bits, crl_sign=6 in bits)


def _parse_purposes(value: bytes) -> tuple[str, ...]:
    purposes = tuple(parse_oid(member) for member in parse_members(parse_der(value), SEQUENCE))
    # An empty list would read as "no restriction" to a careless check.
    if not purposes:
        raise der_malformed("empty extended key usage")
    return purposes


def _parse_names(value: bytes) -> tuple[str, ...]:
    names = parse_members(parse_der(value), SEQUENCE)
    if not names:
        raise der_malformed("empty subject alternative name")
    uris: list[str] = []
    for name in names:
        if name.tag == _URI_NAME:
            uris.append(parse_printable(name.content))
        elif name.tag in _TEXT_NAMES:
            parse_printable(name.content)
        elif name.tag not in _OPAQUE_NAMES:
            raise der_malformed("general name")
    return tuple(uris)


def _parse_authority_key_identifier(value: bytes) -> bytes | None:
    for member in parse_members(parse_der(value), SEQUENCE):
        if member.tag == _KEY_IDENTIFIER:
            return member.content
    return None
