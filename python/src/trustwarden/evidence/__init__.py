"""Evidence bundles (`.twb`): what happened, verified offline and years later, with trust anchors of one's own."""

from .verify import BundleReport, EvidenceTrust, verify_evidence

__all__ = ["BundleReport", "EvidenceTrust", "verify_evidence"]
