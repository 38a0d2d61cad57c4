"""A ledger that has turned to its next shard: evidence over both, forged shards, and what an agent names as seen."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from bundle_cases import judge_bundles
from live import LiveServer
from trustwarden import TrustWardenError
from trustwarden._bytes import encode_base64
from trustwarden._crypto import sha256
from trustwarden._json import parse_json_object
from trustwarden.answers import Members
from trustwarden.checkpoint import LatestCheckpoint
from trustwarden.ledger_keys import FollowedKeys
from trustwarden.notes import ALGORITHM_COSIGNATURE, ALGORITHM_ED25519, Checkpoint, parse_vkey
from trustwarden.shards import encode_shard_end, parse_shard_end, parse_shard_start, shard_rank, verify_shard_checkpoint


def test_evidence_over_two_shards_holds_and_no_forged_or_hidden_shard_does(tmp_path: Path) -> None:
    reports = judge_bundles("write-shard-bundles.ts", tmp_path, refusal=r".*_(malformed|invalid|untrusted)")
    assert len(reports) == 5
    assert all(report.entries > 0 for report in reports)


def test_what_an_agent_names_as_seen_follows_the_ledger_to_its_next_shard() -> None:
    with closing(LiveServer()) as live:
        vkey: str = live.discovery["log_vkey"]
        turned = live.admin("POST", "/v1/ledger/turns", {})
        before = verify_shard_checkpoint(live.read_text("/ledger/checkpoint"), vkey)
        text = live.read_text("/ledger/latest-checkpoint")
        latest = LatestCheckpoint(lambda: text, lambda note: verify_shard_checkpoint(note, vkey))
        latest.adopt(before)
        after = verify_shard_checkpoint(text, vkey)
        latest.adopt(after)
        assert after.origin == turned["origin"] == f"{before.origin}/{turned['shard']}"
        seen = latest.seen()
        assert seen is not None
        assert seen["origin"] == after.origin
        with pytest.raises(TrustWardenError, match="checkpoint_untrusted"):
            latest.adopt(Checkpoint(before.origin, before.size + 9, before.root))
        with pytest.raises(TrustWardenError, match="checkpoint_untrusted"):
            latest.adopt(Checkpoint(after.origin, after.size, bytes(32)))


def test_an_agent_follows_the_ledger_to_another_key_and_to_none_that_no_shard_names() -> None:
    with closing(LiveServer()) as live:
        vkey: str = live.discovery["log_vkey"]
        listed: list[Members] = []
        keys = FollowedKeys(vkey, lambda: listed)
        turned = live.admin("POST", "/v1/ledger/turns", {"new_key": True})
        note = live.read_text("/ledger/latest-checkpoint")
        with pytest.raises(TrustWardenError, match="checkpoint_untrusted"):
            keys.verify_checkpoint(note)
        shards = parse_json_object(live.read_text("/ledger/shards"))["shards"]
        assert isinstance(shards, list)
        listed[:] = [Members({**shard, "named_by": None}) for shard in shards if isinstance(shard, dict)]
        with pytest.raises(TrustWardenError, match="checkpoint_untrusted"):
            keys.verify_checkpoint(note)
        listed[:] = [Members(shard) for shard in shards]
        assert keys.verify_checkpoint(note).origin == turned["origin"]
        assert (
            keys.verify_checkpoint(live.read_text("/ledger/checkpoint")).origin == turned["origin"].rpartition("/")[0]
        )
        assert keys.with_key_at(turned["first"], lambda key: key.raw) == parse_vkey(turned["vkey"]).raw
        assert keys.with_key_at(0, lambda key: key.raw) == parse_vkey(vkey).raw


@pytest.mark.parametrize(
    "origin", ["ledger.acme.test/2026q5", "ledger.acme.test/2026q1.1", "ledger.acme.testx", "a/2026q1"]
)
def test_the_name_of_no_shard_of_the_ledger_is_refused(origin: str) -> None:
    with pytest.raises(TrustWardenError, match="checkpoint_untrusted"):
        shard_rank("ledger.acme.test", origin)


def test_shards_of_a_ledger_stand_in_the_order_of_their_names() -> None:
    names = ["", "/2026q4", "/2026q4.2", "/2026q4.10", "/2027q1"]
    ranks = [shard_rank("ledger.acme.test", f"ledger.acme.test{name}") for name in names]
    assert ranks == sorted(ranks)
    assert len(set(ranks)) == len(names)


@pytest.mark.parametrize("entry", [b"", b"{}", b"\xff", b"trustwarden.dev/shard-start@v1\nfirst 01\n\nx"])
def test_other_entries_are_no_beginning_of_a_shard(entry: bytes) -> None:
    assert parse_shard_start(entry) is None


def test_the_end_of_a_shard_names_a_logs_key_and_no_witnesss() -> None:
    own, witness = (_vkey_of(algorithm) for algorithm in (ALGORITHM_ED25519, ALGORITHM_COSIGNATURE))
    assert parse_shard_end(encode_shard_end(own)) == own
    with pytest.raises(TrustWardenError) as refused:
        parse_shard_end(encode_shard_end(witness))
    assert refused.value.code == "checkpoint_malformed"


def _vkey_of(algorithm: int) -> str:
    name, typed = "ledger.acme.test/2026q4", bytes([algorithm]) + bytes([9]) * 32
    key_id = sha256(name.encode() + b"\n" + typed)[:4]
    return f"{name}+{key_id.hex()}+{encode_base64(typed)}"
