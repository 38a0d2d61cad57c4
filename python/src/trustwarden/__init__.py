"""TrustWarden: identities for agents, and the guard for services that they visit."""

from ._codes import ErrorCode
from .act import Action
from .attest import EvidenceSource, Exchange
from .brought import BroughtCall, VerifiedBroughtCall, verify_brought_call
from .claim import ClaimCode
from .errors import ApprovalRequiredError, DeniedError, TrustWardenError, TrustWardenWarning
from .evidence import BundleReport, EvidenceTrust, verify_evidence
from .evidence_sources import (
    from_aws_role,
    from_azure_identity,
    from_azure_machine,
    from_ec2,
    from_gce,
    from_github_actions,
    from_kubernetes,
    from_oidc,
)
from .exchange import (
    AccessToken,
    AwsCredentials,
    GcpAccessToken,
    ProviderCredentials,
    TokenSource,
    anthropic_credentials,
    aws_credentials,
    azure_credentials,
    gcp_credentials,
    open_ai_credentials,
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
    JwtSource,
    MutualTls,
    PeerConnection,
    WorkloadApiClient,
    WorkloadBundles,
    WorkloadJwtSvid,
    WorkloadWitSvid,
    WorkloadX509State,
    WorkloadX509Svid,
    X509Source,
    accept_ids,
    accept_trust_domain,
    connect_mutual_tls,
    create_jwt_source,
    create_mutual_tls_agent,
    create_mutual_tls_server,
    create_workload_api_client,
    create_x509_source,
)

__all__ = [
    "AccessToken",
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
    "GcpAccessToken",
    "GuardAgents",
    "IdentityRequest",
    "JwtSource",
    "KeptReceipt",
    "Limits",
    "MutualTls",
    "PeerConnection",
    "ProviderCredentials",
    "Question",
    "Receipt",
    "ReceiptExpectations",
    "Refusal",
    "RevocationAnswer",
    "Route",
    "Secret",
    "TokenSource",
    "TrustWardenError",
    "TrustWardenWarning",
    "VerifiedBroughtCall",
    "VerifiedReceipt",
    "Visit",
    "WorkloadApiClient",
    "WorkloadBundles",
    "WorkloadJwtSvid",
    "WorkloadWitSvid",
    "WorkloadX509State",
    "WorkloadX509Svid",
    "X509Source",
    "accept_ids",
    "accept_trust_domain",
    "anthropic_credentials",
    "aws_credentials",
    "azure_credentials",
    "connect_mutual_tls",
    "create_jwt_source",
    "create_mutual_tls_agent",
    "create_mutual_tls_server",
    "create_workload_api_client",
    "create_x509_source",
    "from_aws_role",
    "from_azure_identity",
    "from_azure_machine",
    "from_ec2",
    "from_gce",
    "from_github_actions",
    "from_kubernetes",
    "from_oidc",
    "gcp_credentials",
    "open_ai_credentials",
    "parse_receipt_header",
    "verify_agent",
    "verify_brought_call",
    "verify_evidence",
    "verify_receipt",
]
