"""Evidence bundles that a program of the repository writes, sound and forged, shown to this package."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from live import ROOT, Program
from trustwarden import BundleReport, EvidenceTrust, TrustWardenError, verify_evidence


def judge_bundles(program: str, folder: Path, refusal: str = "evidence_bundle_invalid") -> list[BundleReport]:
    """What the sound ones show; each of the others is refused by a code that the pattern is for."""
    written = Program([ROOT / "test/support" / program, folder])
    written.close()
    reports: list[BundleReport] = []
    for case in written.ready["cases"]:
        trust = EvidenceTrust(log_vkey=case["vkey"], bundle=written.ready["bundle"])
        data = (folder / case["file"]).read_bytes()
        if case["isSound"]:
            reports.append(verify_evidence(data, trust))
            continue
        with pytest.raises(TrustWardenError) as refused:
            verify_evidence(data, trust)
        assert re.fullmatch(refusal, refused.value.code), case["name"]
    assert len(reports) < len(written.ready["cases"])
    return reports
