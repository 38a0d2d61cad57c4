/**
 * The public names of `trustwarden`, one by one: identities for agents, and the guard for services that they visit.
 */

export type { Limits } from "@trustwarden/core/agentid/delegation.ts";
export type { BundleReport } from "@trustwarden/core/agentledger/verify-bundle.ts";
export type { RevocationAnswer } from "@trustwarden/core/api/revocation.ts";
export { type ErrorCode, TrustWardenError } from "@trustwarden/core/error.ts";
export type { Route } from "@trustwarden/core/route-table.ts";
export type { AgentFetchInit } from "./agent-fetch.ts";
export { AgentIdentity, type CreateOptions, type IdentityRequest } from "./agent-identity.ts";
export type { KeptReceipt } from "./agent-session.ts";
export type { WaitForApprovalOptions } from "./approvals.ts";
export type { AttestOptions, EvidenceSource, Exchange } from "./attest.ts";
export { type BroughtCall, type VerifiedBroughtCall, verifyBroughtCall } from "./brought-call.ts";
export type { ClaimCode, RegisterOptions } from "./claim.ts";
export type { Evaluation, Question } from "./evaluate.ts";
export {
  fromAzureIdentity,
  fromAzureMachine,
  fromEc2,
  fromGce,
  fromGithubActions,
  fromKubernetes,
  fromOidc,
} from "./evidence.ts";
export { fromAwsRole } from "./evidence-aws-caller.ts";
export {
  type AwsCredentials,
  type AwsOptions,
  awsCredentials,
} from "./exchange/aws.ts";
export type { ProviderCredentials, TokenSource } from "./exchange/exchange.ts";
export { type GcpAccessToken, type GcpOptions, gcpCredentials } from "./exchange/gcp.ts";
export {
  type AccessToken,
  type AnthropicOptions,
  type AzureOptions,
  anthropicCredentials,
  azureCredentials,
  type OpenAiOptions,
  openAiCredentials,
} from "./exchange/oauth.ts";
export { Secret } from "./exchange/secret.ts";
export type { Peer, VisitFetch } from "./fetch-handler.ts";
export type { ForeignSvid, FromSvidOptions } from "./foreign-identity.ts";
export type { ChildOptions } from "./grant.ts";
export type { OnRefusal, VisitListener } from "./node-handler.ts";
export {
  parseReceiptHeader,
  type Receipt,
  type ReceiptExpectations,
  type VerifiedReceipt,
  verifyReceipt,
} from "./receipt.ts";
export { type Notice, type Runtime, systemRuntime } from "./runtime.ts";
export { createPeerCheckedAgent, peerChainOf } from "./tls.ts";
export type { UpgradeListener } from "./upgrade-handler.ts";
export { type GuardAgents, type VerifyAgentOptions, verifyAgent } from "./verify-agent.ts";
export { type EvidenceTrust, verifyEvidence } from "./verify-evidence.ts";
export type { Visit } from "./visit.ts";
export type { AgentWit } from "./wit.ts";
export type { WorkloadWitSvid, WorkloadX509State, WorkloadX509Svid } from "./workload-api/answers.ts";
export { createJwtSource, type JwtSource, type JwtSourceOptions } from "./workload-api/jwt-source.ts";
export {
  acceptIds,
  acceptTrustDomain,
  connectMutualTls,
  createMutualTlsAgent,
  createMutualTlsServer,
  type MutualTls,
  type PeerConnection,
} from "./workload-api/mutual-tls.ts";
export {
  createWorkloadApiClient,
  type WorkloadApiClient,
  type WorkloadApiOptions,
  type WorkloadBundles,
  type WorkloadJwtSvid,
  type X509Watcher,
} from "./workload-api/workload-api-client.ts";
export { createX509Source, type X509Source, type X509SourceOptions } from "./workload-api/x509-source.ts";
