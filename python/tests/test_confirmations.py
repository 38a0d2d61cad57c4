"""What a second admin confirmed: evidence holds with that one's own passkey, and logs that lie about it do not."""

from __future__ import annotations

from pathlib import Path

from bundle_cases import judge_bundles


def test_evidence_of_a_confirmation_holds_and_no_forged_one_does(tmp_path: Path) -> None:
    assert len(judge_bundles("write-confirmation-bundles.ts", tmp_path)) == 2
