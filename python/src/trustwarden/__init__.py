"""TrustWarden: identities for agents, and the guard for services that they visit."""

from ._codes import ErrorCode
from .act import Action
from .errors import ApprovalRequiredError, DeniedError, TrustWardenError, TrustWardenWarning
from .identity import AgentIdentity, IdentityRequest
from .models import Composition, KeptReceipt, Limits, RevocationAnswer

__all__ = [
    "Action",
    "AgentIdentity",
    "ApprovalRequiredError",
    "Composition",
    "DeniedError",
    "ErrorCode",
    "IdentityRequest",
    "KeptReceipt",
    "Limits",
    "RevocationAnswer",
    "TrustWardenError",
    "TrustWardenWarning",
]
