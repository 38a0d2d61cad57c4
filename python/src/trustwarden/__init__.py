"""TrustWarden: identities for agents, and the guard for services that they visit."""

from ._codes import ErrorCode
from .act import Action
from .attest import EvidenceSource, Exchange
from .brought import BroughtCall, VerifiedBroughtCall, verify_brought_call
from .claim import ClaimCode
from .errors import ApprovalRequiredError, DeniedError, TrustWardenError, TrustWardenWarning
from .evidence import BundleReport, EvidenceTrust, verify_evidence
from .evidence_sources import (
    AwsCredentials,
    from_aws_role,
    from_azure_identity,
    from_azure_machine,
    from_ec2,
    from_gce,
    from_github_actions,
    from_kubernetes,
    from_oidc,
)
from .foreign import ForeignSvid
from .identity import AgentIdentity, IdentityRequest
from .intent import BoundRequest
from .models import Composition, KeptReceipt, Limits, RevocationAnswer
from .receipts import Receipt, ReceiptExpectations, VerifiedReceipt, parse_receipt_header, verify_receipt
from .route_table import Route
from .secret import Secret
from .service.evaluate import Evaluation, Question
from .service.guard import GuardAgents, verify_agent
from .service.visit import Refusal, Visit
from .wit import AgentWit
from .workload_api import (
    WorkloadApiClient,
    WorkloadJwtSvid,
    WorkloadWitSvid,
    WorkloadX509State,
    WorkloadX509Svid,
    create_workload_api_client,
)

__all__ = [
    "Action",
    "AgentIdentity",
    "AgentWit",
    "ApprovalRequiredError",
    "AwsCredentials",
    "BoundRequest",
    "BroughtCall",
    "BundleReport",
    "ClaimCode",
    "Composition",
    "DeniedError",
    "ErrorCode",
    "Evaluation",
    "EvidenceSource",
    "EvidenceTrust",
    "Exchange",
    "ForeignSvid",
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
    "Secret",
    "TrustWardenError",
    "TrustWardenWarning",
    "VerifiedBroughtCall",
    "VerifiedReceipt",
    "Visit",
    "WorkloadApiClient",
    "WorkloadJwtSvid",
    "WorkloadWitSvid",
    "WorkloadX509State",
    "WorkloadX509Svid",
    "create_workload_api_client",
    "from_aws_role",
    "from_azure_identity",
    "from_azure_machine",
    "from_ec2",
    "from_gce",
    "from_github_actions",
    "from_kubernetes",
    "from_oidc",
    "parse_receipt_header",
    "verify_agent",
    "verify_brought_call",
    "verify_evidence",
    "verify_receipt",
]
