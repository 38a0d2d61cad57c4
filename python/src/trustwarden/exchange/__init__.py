"""Workload identity federation: an agent's JWT-SVID for the credential of a cloud or model provider."""

from .aws import AwsCredentials, aws_credentials
from .credentials import ProviderCredentials, TokenSource
from .gcp import GcpAccessToken, gcp_credentials
from .oauth import AccessToken, anthropic_credentials, azure_credentials, open_ai_credentials

__all__ = [
    "AccessToken",
    "AwsCredentials",
    "GcpAccessToken",
    "ProviderCredentials",
    "TokenSource",
    "anthropic_credentials",
    "aws_credentials",
    "azure_credentials",
    "gcp_credentials",
    "open_ai_credentials",
]
