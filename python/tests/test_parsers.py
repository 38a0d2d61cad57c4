"""Whatever comes in, a parser answers with a value or with a code of ours, and never with anything else."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from trustwarden import TrustWardenError, _json
from trustwarden._bytes import encode_base64url, parse_base64, parse_base64url
from trustwarden._json import format_canonical_json, parse_canonical_object, parse_json, parse_json_object
from trustwarden.bundle import parse_bundle_map, parse_trust_bundle
from trustwarden.dsse import parse_envelope
from trustwarden.evidence.contents import open_evidence_bundle
from trustwarden.evidence.log_records import parse_record
from trustwarden.log_proof import parse_range_proof, parse_tlog_policy, parse_tlog_proof
from trustwarden.notes import parse_note, parse_vkey
from trustwarden.receipts import parse_receipt_header
from trustwarden.records import parse_control_record, parse_decision_record, parse_intent, parse_outcome_record
from trustwarden.route_table import parse_request_target, parse_route, parse_routes_document
from trustwarden.scope import parse_action, parse_scope
from trustwarden.service.frames import LineSplitter, parse_server_frame
from trustwarden.spiffe import TrustDomain, parse_spiffe_id
from trustwarden.x509 import parse_certificate

DOMAIN = TrustDomain("acme.test")
OF_TEXT: Mapping[str, Callable[[str], object]] = {
    "base64": parse_base64,
    "base64url": parse_base64url,
    "json": parse_json,
    "bundle": lambda text: parse_trust_bundle(text, DOMAIN),
    "bundle map": parse_bundle_map,
    "envelope": parse_envelope,
    "proof": parse_tlog_proof,
    "range proof": parse_range_proof,
    "policy": parse_tlog_policy,
    "note": parse_note,
    "vkey": parse_vkey,
    "receipt": parse_receipt_header,
    "receipt's members": lambda text: parse_receipt_header(encode_base64url(text.encode("utf-8", "replace"))),
    "target": parse_request_target,
    "routes": parse_routes_document,
    "scope": lambda text: parse_scope([text]),
    "action": parse_action,
    "frame": parse_server_frame,
    "spiffe id": parse_spiffe_id,
}
OF_BYTES: Mapping[str, Callable[[bytes], object]] = {
    "certificate": parse_certificate,
    "record": parse_record,
    "evidence bundle": open_evidence_bundle,
    "lines": lambda data: LineSplitter().push(data),
}
OF_JSON: Mapping[str, Callable[[Any], object]] = {
    "intent": parse_intent,
    "decision": parse_decision_record,
    "outcome": parse_outcome_record,
    "control": parse_control_record,
}
# Texts that look like ours get further than noise does.
SEEDS = st.sampled_from(
    [
        '{"keys":[{"kty":"EC","crv":"P-256","use":"x509-svid","x5c":["AA=="]}]}',
        '{"payload":"e30=","payloadType":"t","signatures":[{"keyid":"k","sig":"AA=="}]}',
        '{"hello":{"epoch":1,"lease_ms":700,"seq":0}}',
        '{"epoch":2,"seq":1,"targets":[{"kind":"agent","id":"agt_1"}]}',
        '{"verifier":"spiffe://a/b","routes":[{"method":"GET","path":"/","action":"read:a","resource":"a://b"}]}',
        "c2sp.org/tlog-proof@v1\nindex 1\nAAAA\n\nnote",
        "trustwarden.dev/range-proof@v1\nrange 0 1\n",
        "log ledger.acme.test+00000000+AQ== https://x/\nwitness w a+b+c\ngroup g 1 w\nquorum g\n",
        "origin\n1\nroot\n\n\u2014 origin AAAA\n",
        "spiffe://acme.test/a/inst-1",
        "read:transactions:a/**",
        "/a/{b}?c=d",
    ]
)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A text of ours with some characters changed, lost or added."""
    text = draw(SEEDS)
    at, end = draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))
    return text[:at] + draw(st.text(max_size=8)) + text[max(at, end) :]


TEXTS = st.one_of(st.text(max_size=200), mutated(), st.text('{}[]",:.0123456789eE+-\\u dtrue', max_size=80))
JSONS = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
FEW = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


def answers(parse: Callable[[Any], object], given_value: object) -> bool:
    try:
        parse(given_value)
    except TrustWardenError:
        return True
    return True


@pytest.mark.parametrize("name", OF_TEXT)
def test_a_parser_of_text_takes_or_refuses_any_text(name: str) -> None:
    @FEW
    @given(TEXTS)
    def holds(text: str) -> None:
        assert answers(OF_TEXT[name], text)

    holds()


@pytest.mark.parametrize("name", OF_BYTES)
def test_a_parser_of_bytes_takes_or_refuses_any_bytes(name: str) -> None:
    @FEW
    @given(st.one_of(st.binary(max_size=300), TEXTS.map(lambda text: text.encode("utf-8", "replace"))))
    def holds(data: bytes) -> None:
        assert answers(OF_BYTES[name], data)

    holds()


@pytest.mark.parametrize("name", OF_JSON)
def test_a_parser_of_records_takes_or_refuses_any_object(name: str) -> None:
    members = [
        "v",
        "event_id",
        "agent",
        "action",
        "time",
        "exp",
        "seen",
        "policy",
        "from",
        "attested",
        "details",
        "kind",
    ]

    @FEW
    @given(st.dictionaries(st.sampled_from(members) | st.text(max_size=8), JSONS, max_size=16))
    def holds(value: dict[str, Any]) -> None:
        assert answers(OF_JSON[name], value)

    holds()


@FEW
@given(JSONS.filter(lambda value: "inf" not in repr(value) and "nan" not in repr(value)))
def test_canonical_json_reads_back_as_itself(value: Any) -> None:
    try:
        text = format_canonical_json(value)
        again = parse_json(text)
    except (TrustWardenError, UnicodeEncodeError):
        return
    assert format_canonical_json(again) == text
    assert json.loads(text) is not None or value is None


def test_the_quick_writer_writes_what_the_careful_one_does() -> None:
    @FEW
    @given(JSONS.filter(lambda value: "inf" not in repr(value) and "nan" not in repr(value)))
    @example({"\ud800": "", "\uffff": "", "\U00010000": ""})
    @example({"a": "\u2028\x7f\x1f", "b": [True, None, -0, 9007199254740991]})
    @example({"a": 9007199254740992, "b": 1e21, "c": -0.0})
    def holds(value: Any) -> None:
        careful: list[str] = []
        _json._write(value, careful)  # pyright: ignore[reportPrivateUsage]
        assert format_canonical_json(value) == "".join(careful)

    holds()


def test_half_a_surrogate_pair_is_refused_in_whatever_spelling() -> None:
    for text in ('{"a":"\ud800"}', '{"a":"\\ud800"}', '{"a":"\u2014\ud800"}', '{"\udfff":1}'):
        with pytest.raises(TrustWardenError) as failed:
            parse_json(text)
        assert failed.value.code == "json_malformed"
    assert parse_json('{"a":"\u2014\U0001f600"}') == {"a": "\u2014\U0001f600"}


def test_a_row_of_a_route_table_without_labels_says_nothing_of_them() -> None:
    row: dict[str, Any] = {"method": "GET", "path": "/a", "action": "read:a", "resource": "db://a"}
    assert parse_route(row).labels is None
    for labels in (None, "private", 1):
        with pytest.raises(TrustWardenError) as failed:
            parse_route({**row, "labels": labels})
        assert failed.value.code == "json_malformed"


def test_the_quick_reader_takes_for_canonical_what_the_writer_says_and_nothing_else() -> None:
    @FEW
    @given(st.one_of(TEXTS, JSONS.map(lambda value: json.dumps(value, sort_keys=True, separators=(",", ":")))))
    @example('{"a":-0}')
    @example('{"a":1.0}')
    @example('{"a":1e-07}')
    @example('{"a":"\\ud800"}')
    @example('{"b":1,"a":1}')
    @example('{"a":9007199254740992}')
    def holds(text: str) -> None:
        try:
            value = parse_json_object(text)
        except TrustWardenError as refused:
            with pytest.raises(TrustWardenError) as again:
                parse_canonical_object(text)
            assert again.value.code == refused.code
            return
        expected = value if format_canonical_json(value) == text else None
        assert parse_canonical_object(text) == expected

    holds()
