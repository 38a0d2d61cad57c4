"""An agent that changed hands: evidence over both owners, and logs that lie about whose it is."""

from __future__ import annotations

from pathlib import Path

from bundle_cases import judge_bundles


def test_evidence_of_a_transfer_holds_and_no_forged_one_does(tmp_path: Path) -> None:
    reports = judge_bundles("write-transfer-bundles.ts", tmp_path)
    assert len(reports) == 4
    for report in reports:
        stops = [stop for event in report.events for stop in event.stopped_by]
        assert any(stop.startswith("given away: agt_") for stop in stops)
