"""TrustWarden: identities for agents, and the guard for services that they visit."""

from ._codes import ErrorCode
from .act import Action
from .errors import ApprovalRequiredError, DeniedError, TrustWardenError, TrustWardenWarning
from .evidence import BundleReport, EvidenceTrust, verify_evidence
from .identity import AgentIdentity, IdentityRequest
from .models import Composition, KeptReceipt, Limits, RevocationAnswer
from .receipts import Receipt, ReceiptExpectations, VerifiedReceipt, parse_receipt_header, verify_receipt
from .route_table import Route
from .service.evaluate import Evaluation, Question
from .service.guard import GuardAgents, verify_agent
from .service.visit import Refusal, Visit

__all__ = [
    "Action",
    "AgentIdentity",
    "ApprovalRequiredError",
    "BundleReport",
    "Composition",
    "DeniedError",
    "ErrorCode",
    "Evaluation",
    "EvidenceTrust",
    "GuardAgents",
    "IdentityRequest",
    "KeptReceipt",
    "Limits",
    "Question",
    "Receipt",
    "ReceiptExpectations",
    "Refusal",
    "RevocationAnswer",
    "Route",
    "TrustWardenError",
    "TrustWardenWarning",
    "VerifiedReceipt",
    "Visit",
    "parse_receipt_header",
    "verify_agent",
    "verify_evidence",
    "verify_receipt",
]
