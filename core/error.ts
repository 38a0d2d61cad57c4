/**
 * The one error class and the one table of stable codes.
 *
 * A denial is a value (`Decision`); everything else that stops a request is a `TrustWardenError`. The code and the
 * details are exact and stay inside (ledger, log); a stranger gets only the table's sentence and status, so that a
 * probe cannot learn which check stopped it.
 */

import { BAD_REQUEST, type ErrorEntry, NOT_ALLOWED, NOT_AUTHENTICATED, UNAVAILABLE } from "./error-entry.ts";
import { PEOPLE_ERRORS } from "./error-people.ts";
import { REGISTRATION_ERRORS } from "./error-registration.ts";

/** Every code, once. Codes are stable and documented in `docs/errors.md`; sentences are not. */
export const ERRORS = {
  // bad input
  request_malformed: { status: 400, message: BAD_REQUEST },
  request_cross_site: { status: 400, message: BAD_REQUEST },
  request_too_large: { status: 413, message: "The request is too large." },
  json_malformed: { status: 400, message: BAD_REQUEST },
  json_duplicate_key: { status: 400, message: BAD_REQUEST },
  json_too_deep: { status: 400, message: BAD_REQUEST },
  base64_malformed: { status: 400, message: BAD_REQUEST },
  spiffe_id_malformed: { status: 400, message: BAD_REQUEST },
  der_malformed: { status: 400, message: BAD_REQUEST },
  bundle_malformed: { status: 400, message: BAD_REQUEST },
  crl_malformed: { status: 400, message: BAD_REQUEST },
  public_key_refused: { status: 400, message: "The public key is not an acceptable P-256 key." },
  scope_malformed: { status: 400, message: "A scope is not well formed; see the scope grammar." },
  action_malformed: { status: 400, message: "The action is not well formed; see the scope grammar." },
  ttl_malformed: {
    status: 400,
    message: "The time to live is not well formed; write it as 30s, 10m, 1h or 7d.",
  },
  name_malformed: { status: 400, message: "The name or path is not well formed." },
  selector_malformed: { status: 400, message: "A selector is not well formed; write it as type:value." },
  selectors_too_weak: {
    status: 400,
    message: "The selectors would also match workloads that are not meant.",
  },
  federation_malformed: { status: 400, message: "The federation relationship is not well formed." },
  federation_bundle_refused: {
    status: 400,
    message: "The bundle claims more than its own trust domain.",
  },
  policy_bundle_malformed: { status: 400, message: "The policy bundle is not well formed." },
  policy_refused: { status: 400, message: "The policy uses what no policy may use." },
  entry_invalid: { status: 400, message: "The registration entry is not as its owner has to sign it." },
  dsse_malformed: { status: 400, message: BAD_REQUEST },
  record_malformed: { status: 400, message: BAD_REQUEST },
  dpop_nonce_missing: { status: 400, message: "The proof has to carry the nonce of this answer." },
  message_signature_missing: {
    status: 400,
    message: "This action needs an HTTP message signature by the key of the token.",
  },
  signature_nonce_missing: {
    status: 400,
    message: "The message signature has to carry the nonce of this answer.",
  },
  message_signature_invalid: { status: 400, message: "The HTTP message signature does not hold." },
  grant_type_unsupported: { status: 400, message: "This grant type is not served here." },
  target_malformed: { status: 400, message: "Name one resource, by its https URL or its SPIFFE ID." },
  token_unbound: { status: 400, message: "A token is bound to a key; send a DPoP proof or a certificate." },
  assertion_refused: { status: 400, message: "The authorization grant does not count here." },
  assertion_replayed: { status: 400, message: "The authorization grant was used before." },
  subject_token_refused: { status: 400, message: "The subject or actor token cannot be exchanged." },
  entry_too_large: { status: 413, message: "The ledger entry is too large." },
  evidence_bundle_too_large: { status: 413, message: "So much does not fit into one evidence bundle." },
  upstream_malformed: { status: 400, message: "The upstream is not well formed." },
  not_found: { status: 404, message: "There is no such thing here." },
  wit_disabled: { status: 404, message: "WIT-SVIDs are neither issued nor accepted here." },
  method_not_allowed: { status: 405, message: "This method is not served here." },

  // authenticate
  no_svid: { status: 401, message: NOT_AUTHENTICATED },
  svid_malformed: { status: 401, message: NOT_AUTHENTICATED },
  svid_key_refused: { status: 401, message: NOT_AUTHENTICATED },
  svid_untrusted: { status: 401, message: NOT_AUTHENTICATED },
  authority_revoked: { status: 401, message: NOT_AUTHENTICATED },
  svid_expired: { status: 401, message: NOT_AUTHENTICATED },
  svid_not_yet_valid: { status: 401, message: NOT_AUTHENTICATED },
  svid_too_long_lived: { status: 401, message: NOT_AUTHENTICATED },
  svid_mismatch: { status: 401, message: NOT_AUTHENTICATED },
  crl_untrusted: { status: 401, message: NOT_AUTHENTICATED },
  crl_expired: { status: 401, message: NOT_AUTHENTICATED },
  svid_audience: { status: 401, message: NOT_AUTHENTICATED },
  svid_bearer_refused: { status: 401, message: NOT_AUTHENTICATED },
  trust_domain_unknown: { status: 401, message: NOT_AUTHENTICATED },
  signature_invalid: { status: 401, message: NOT_AUTHENTICATED },
  no_intent: { status: 401, message: NOT_AUTHENTICATED },
  intent_expired: { status: 401, message: NOT_AUTHENTICATED },
  intent_audience: { status: 401, message: NOT_AUTHENTICATED },
  intent_mismatch: { status: 401, message: NOT_AUTHENTICATED },
  intent_replayed: { status: 401, message: NOT_AUTHENTICATED },
  foreign_agent_unknown: { status: 401, message: NOT_AUTHENTICATED },
  instance_unknown: { status: 401, message: NOT_AUTHENTICATED },
  identity_revoked: { status: 401, message: NOT_AUTHENTICATED },
  identity_expired: { status: 401, message: NOT_AUTHENTICATED },
  possession_invalid: { status: 401, message: NOT_AUTHENTICATED },
  nonce_invalid: { status: 401, message: NOT_AUTHENTICATED },
  ticket_invalid: { status: 401, message: NOT_AUTHENTICATED },
  ticket_expired: { status: 401, message: NOT_AUTHENTICATED },
  ticket_used: { status: 401, message: NOT_AUTHENTICATED },
  grant_invalid: { status: 401, message: NOT_AUTHENTICATED },
  grant_expired: { status: 401, message: NOT_AUTHENTICATED },
  grant_used: { status: 401, message: NOT_AUTHENTICATED },
  join_token_invalid: { status: 401, message: NOT_AUTHENTICATED },
  join_token_expired: { status: 401, message: NOT_AUTHENTICATED },
  join_token_used: { status: 401, message: NOT_AUTHENTICATED },
  owner_unknown: { status: 401, message: NOT_AUTHENTICATED },
  owner_request_invalid: { status: 401, message: NOT_AUTHENTICATED },
  owner_request_replayed: { status: 401, message: NOT_AUTHENTICATED },
  attestation_malformed: { status: 401, message: NOT_AUTHENTICATED },
  attestation_refused: { status: 401, message: NOT_AUTHENTICATED },
  attestation_expired: { status: 401, message: NOT_AUTHENTICATED },
  attestation_replayed: { status: 401, message: NOT_AUTHENTICATED },
  attestation_untrusted_issuer: { status: 401, message: NOT_AUTHENTICATED },
  assertion_issuer_unavailable: { status: 503, message: UNAVAILABLE },
  attestation_unavailable: { status: 503, message: UNAVAILABLE },
  client_assertion_replayed: { status: 401, message: NOT_AUTHENTICATED },
  dpop_invalid: { status: 401, message: NOT_AUTHENTICATED },
  dpop_replayed: { status: 401, message: NOT_AUTHENTICATED },
  wpt_invalid: { status: 401, message: NOT_AUTHENTICATED },
  wpt_replayed: { status: 401, message: NOT_AUTHENTICATED },
  client_document_refused: { status: 401, message: NOT_AUTHENTICATED },
  client_attestation_invalid: { status: 401, message: NOT_AUTHENTICATED },
  client_attestation_replayed: { status: 401, message: NOT_AUTHENTICATED },
  access_token_invalid: { status: 401, message: NOT_AUTHENTICATED },
  access_token_expired: { status: 401, message: NOT_AUTHENTICATED },
  access_token_revoked: { status: 401, message: NOT_AUTHENTICATED },
  access_token_audience: { status: 401, message: NOT_AUTHENTICATED },
  access_token_unbound: { status: 401, message: NOT_AUTHENTICATED },
  principal_refused: { status: 401, message: NOT_AUTHENTICATED },

  // decide, delegation
  denied: { status: 403, message: NOT_ALLOWED },
  push_refused: { status: 403, message: "The push is not signed by an agent that may make it." },
  approval_required: { status: 403, message: "A human has to approve this call first." },
  agent_card_malformed: { status: 400, message: "The agent card is not well formed." },
  approval_invalid: { status: 400, message: "The approval is not as its owner has to sign it." },
  approval_unknown: { status: 403, message: NOT_ALLOWED },
  approval_mismatch: { status: 403, message: "The approval is for another call." },
  approval_pending: { status: 403, message: "The call is not approved yet." },
  approval_denied: { status: 403, message: "The call was not approved." },
  approval_expired: { status: 403, message: "The approval, or the request for it, has expired." },
  approval_used: { status: 403, message: "The approval was used before." },
  approval_withdrawn: { status: 403, message: "Who approved the call does not sign for its owner any more." },
  approval_answered: { status: 409, message: "The request was answered before." },
  approval_exists: { status: 409, message: "The request was made before." },
  approvals_pending: { status: 429, message: "Too many calls of this agent wait for a human." },
  policy_input_malformed: { status: 403, message: NOT_ALLOWED },
  scope_not_subset: { status: 403, message: "A child's scope must be a strict subset of its parent's." },
  scope_wildcard_too_long_lived: { status: 403, message: "A wildcard verb or type is limited to one hour." },
  ttl_exceeds_limit: { status: 403, message: "The lifetime is longer than is allowed." },
  depth_exceeded: { status: 403, message: "The delegation chain is as deep as its limit allows." },
  fan_out_exceeded: { status: 403, message: "The parent has as many live children as its limit allows." },
  budget_exceeded: { status: 403, message: "The parent's remaining budget does not cover the child's." },
  limits_not_narrower: { status: 403, message: "A child's limits must not exceed its parent's." },
  name_taken: { status: 409, message: "The name belongs to another owner or parent." },
  ancestor_dead: { status: 403, message: "An ancestor is revoked or expired." },
  budget_exhausted: { status: 429, message: "A budget is used up." },
  price_unknown: { status: 403, message: "The model has no price, and a budget in money is in force." },
  model_feature_refused: {
    status: 403,
    message: "The operator does not allow this feature of the model API.",
  },
  quota_exceeded: { status: 429, message: "The owner's quota of agents is used up." },
  key_reused: { status: 409, message: "The public key was used before; make a new one." },
  agent_missing: { status: 403, message: "No agent is acting here." },
  agent_mismatch: { status: 403, message: "Another agent is acting here than the one that this belongs to." },
  tool_unguarded: { status: 403, message: "The tool would run where the guard cannot see it." },
  self_enforcement_refused: { status: 403, message: "This class of action needs an enforcement point." },
  federation_exists: { status: 409, message: "There is a relationship with this trust domain already." },
  federation_rollback: { status: 409, message: "The bundle is older than the one at hand." },
  replica_refused: { status: 409, message: "Servers that share a store do not do this." },
  authority_conflict: { status: 409, message: "The authority is not in a state that allows this." },
  authority_not_published: { status: 409, message: "The key has not been published for long enough." },
  authority_in_use: { status: 409, message: "The key is still in use." },
  policy_bundle_unsigned: { status: 403, message: "The policy bundle is not signed." },
  policy_bundle_untrusted: { status: 403, message: "The policy bundle is not signed by a key in force." },
  ssf_delivery_refused: {
    status: 400,
    message: "A stream that is made here is polled; delivery by push is the operator's to set up.",
  },
  ssf_limit_reached: { status: 409, message: "There are as many streams or subjects as there may be." },
  policy_rollback: { status: 409, message: "The policy is not newer than the one in force." },
  policy_stopped: { status: 409, message: "This policy was stopped, and is not put in force again." },
  owner_exists: { status: 409, message: "The owner exists already." },
  entry_exists: { status: 409, message: "The registration entry exists already." },
  entry_unknown: { status: 403, message: NOT_ALLOWED },
  entry_expired: { status: 403, message: "The registration entry has expired." },
  entry_removed: { status: 403, message: NOT_ALLOWED },
  entry_not_for_node: { status: 403, message: NOT_ALLOWED },
  entry_not_matched: { status: 403, message: NOT_ALLOWED },
  entry_ambiguous: { status: 409, message: "More than one registration entry matches; name one." },
  selector_not_vouched: { status: 403, message: NOT_ALLOWED },
  composition_changed: {
    status: 403,
    message:
      "The agent is composed of other parts than its identity says; attest it again as a new instance.",
  },

  // broker
  secret_malformed: { status: 400, message: "The secret is not well formed." },
  secret_exists: { status: 409, message: "There is a secret of this name already." },
  secret_conflict: {
    status: 409,
    message: "The secret was changed meanwhile, or is not in a state that allows this.",
  },
  secret_unknown: { status: 403, message: NOT_ALLOWED },
  secret_not_allowed: { status: 403, message: NOT_ALLOWED },
  secret_disabled: { status: 403, message: NOT_ALLOWED },
  secret_unavailable: { status: 503, message: UNAVAILABLE },
  role_template_refused: {
    status: 403,
    message: "The role's template asks for more than an agent may have, or the database does not know it.",
  },
  canary_found: { status: 403, message: NOT_ALLOWED },
  upstream_answer_refused: { status: 502, message: "The upstream's answer cannot be passed on." },

  // gateway
  upstream_unknown: { status: 404, message: "There is no such upstream." },
  upstream_unreachable: { status: 502, message: "The upstream cannot be reached." },
  upstream_refused: { status: 502, message: "The gateway may not connect to this upstream." },
  call_aborted: { status: 499, message: "The caller went away before the answer was complete." },
  call_cut: { status: 403, message: NOT_ALLOWED },

  // MCP
  mcp_malformed: { status: 400, message: BAD_REQUEST },
  mcp_meta_missing: {
    status: 400,
    message: "The request lacks a field of _meta that its revision requires.",
  },
  mcp_header_mismatch: { status: 400, message: "The headers do not say what the body says." },
  mcp_version_unsupported: { status: 400, message: "This protocol version is not served here." },
  mcp_method_unknown: { status: 404, message: "This method is not served here." },
  mcp_name_refused: { status: 400, message: "The name or URI is not plain." },
  mcp_arguments_refused: { status: 400, message: "The arguments are not what the tool takes." },
  mcp_not_approved: { status: 403, message: "Nobody has approved this for use through the gateway." },
  mcp_definition_changed: { status: 403, message: "The definition changed since it was approved." },
  mcp_question_refused: { status: 403, message: "The server asked what its settings do not allow." },
  mcp_session_unknown: { status: 404, message: "There is no such session." },
  a2a_card_untrusted: { status: 502, message: "The agent's card is not signed as it has to be." },
  a2a_malformed: { status: 400, message: BAD_REQUEST },
  a2a_method_refused: { status: 404, message: "This method is not served here." },
  a2a_push_refused: { status: 403, message: "Push notifications are not sent past the gateway." },
  a2a_task_unknown: { status: 404, message: "This agent has no such task or context." },
  mcp_slots_exhausted: {
    status: 429,
    message: "This agent or its owner has too many servers and sessions open.",
  },
  mcp_launch_refused: { status: 503, message: UNAVAILABLE },

  // record
  event_conflict: { status: 409, message: "Another record with this event id exists." },
  checkpoint_unpublished: {
    status: 409,
    message:
      "This ledger never published the checkpoint that the intent names: it was put back from an older copy, or shows another history. Ask its operator before going on; an identity that is made anew begins without a checkpoint.",
  },
  ledger_unavailable: { status: 503, message: UNAVAILABLE },
  ledger_search_late: { status: 503, message: "The search took too long; ask for less at once." },
  ledger_index_behind: { status: 503, message: "The search index is behind the ledger; ask again later." },
  ledger_index_mismatch: { status: 500, message: "The search index does not agree with the ledger." },
  outcome_refused: { status: 403, message: NOT_ALLOWED },

  // revocation view, policy engine, store
  lease_expired: { status: 503, message: UNAVAILABLE },
  decision_stale: { status: 503, message: UNAVAILABLE },
  policy_unavailable: { status: 503, message: UNAVAILABLE },
  store_unavailable: { status: 503, message: UNAVAILABLE },
  signer_unavailable: { status: 503, message: UNAVAILABLE },
  authority_expired: { status: 503, message: UNAVAILABLE },
  clock_rolled_back: { status: 503, message: UNAVAILABLE },
  rate_limited: { status: 429, message: "Too many requests; wait and try again." },
  overloaded: { status: 429, message: "Too much is asked at once; wait and try again." },

  // set-up and files
  file_mode_too_open: { status: 500, message: "A secret file is readable by others." },
  unseal_key_inside_data: { status: 500, message: "A secret key lies inside the data directory." },
  seal_broken: { status: 500, message: "A sealed file could not be opened." },
  policy_data_malformed: { status: 500, message: "The policy data is not valid." },
  policy_tampered: { status: 500, message: "The policy is not the one that was built." },
  config_invalid: { status: 500, message: "The configuration is not valid." },
  login_failed: { status: 502, message: "The login at the authorization server did not succeed." },
  bind_refused: { status: 500, message: "The server may not listen there." },
  data_rolled_back: { status: 500, message: "The data directory is older than what was already signed." },
  state_changed: { status: 500, message: "The state database is not the one that was closed last." },
  backup_malformed: { status: 500, message: "The backup is damaged, or is not for this key." },
  restore_loses_stops: {
    status: 500,
    message: "What was stopped after the backup is not known, so nothing of it may come back to life.",
  },
  ledger_corrupt: { status: 500, message: "The ledger does not verify." },
  ledger_moved: { status: 500, message: "This ledger has moved to another storage." },
  ledger_fenced: { status: 500, message: "Another process has taken over the ledger." },
  state_fenced: { status: 500, message: "Another process has taken over the state store." },
  data_locked: { status: 500, message: "Another process is using the data directory." },

  // offline verification of the ledger and of receipts
  checkpoint_malformed: { status: 400, message: BAD_REQUEST },
  checkpoint_untrusted: { status: 400, message: "The checkpoint is not signed by the expected log." },
  checkpoint_unwitnessed: {
    status: 400,
    message: "The checkpoint is not cosigned by as many witnesses as the policy asks for.",
  },
  witness_policy_malformed: { status: 400, message: "The policy of log and witnesses is not well formed." },
  witnesses_unreachable: {
    status: 503,
    message: "Too few witnesses answer to rule out that this data is a restored backup.",
  },
  log_misbehaved: { status: 400, message: "The log contradicts what it has signed." },
  proof_malformed: { status: 400, message: BAD_REQUEST },
  proof_invalid: { status: 400, message: "The proof does not verify." },
  receipt_invalid: { status: 400, message: "The receipt does not verify." },
  evidence_bundle_malformed: { status: 400, message: "The evidence bundle is not well formed." },
  evidence_bundle_invalid: { status: 400, message: "The evidence bundle does not verify." },

  // client side (SDK and CLI)
  ticket_missing: { status: 400, message: "No ticket was given." },
  ticket_mismatch: { status: 400, message: "The request is not what the ticket allows." },
  parent_proof_missing: { status: 400, message: "The parent is not a live identity of this process." },
  server_untrusted: { status: 502, message: "The server did not prove its identity." },
  peer_untrusted: { status: 502, message: "The peer did not prove its identity." },
  route_unknown: { status: 404, message: "The service's route table has no such route." },
  federation_unreachable: { status: 502, message: "The other trust domain's bundle cannot be fetched." },
  federation_untrusted: {
    status: 502,
    message: "The other trust domain's endpoint did not prove to be the configured one.",
  },
  sink_ahead: { status: 500, message: "The sink has taken events that this ledger does not hold." },
  sink_refused: { status: 502, message: "The sink did not take its events." },
  exchange_unreachable: { status: 502, message: "The provider's token endpoint cannot be reached." },
  exchange_refused: { status: 502, message: "The provider refused the identity token." },
  exchange_malformed: { status: 502, message: "The provider's answer is not in its documented form." },
  server_unreachable: { status: 502, message: "The server cannot be reached." },
  evidence_unavailable: { status: 502, message: "The platform gave no evidence." },
  identity_closed: { status: 400, message: "The identity is closed." },
  workload_answer_refused: { status: 502, message: "The Workload API gave an answer that is not proven." },
  usage: { status: 400, message: "The command was not used correctly." },

  // node daemon
  workload_unattested: { status: 403, message: "The workload could not be attested." },
  workload_gone: { status: 401, message: NOT_AUTHENTICATED },
  no_identity: { status: 403, message: "There is no identity for this workload." },
  launch_failed: { status: 500, message: "The process could not be started." },
  sandbox_unavailable: { status: 501, message: "This machine cannot build the sandbox." },
  endpoint_malformed: { status: 400, message: "The socket address is not well formed." },
  attestor_unavailable: { status: 500, message: "This system cannot attest its processes." },

  ...PEOPLE_ERRORS,
  ...REGISTRATION_ERRORS,

  internal: { status: 500, message: "Something went wrong inside." },
} as const satisfies Record<string, ErrorEntry>;

/** A stable machine-readable code. */
export type ErrorCode = keyof typeof ERRORS;

/** Facts about a failure for the ledger and the log; never a secret, never attacker-sized text. */
export type ErrorDetails = Readonly<Record<string, string | number | boolean | null | readonly string[]>>;

/** Every failure that TrustWarden raises on purpose. */
export class TrustWardenError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  /** @param details - exact facts, for the inside only; see `publicError` for what a caller may see. */
  constructor(code: ErrorCode, details: ErrorDetails = {}, options?: { readonly cause?: unknown }) {
    super(`${code}: ${ERRORS[code].message}`, options);
    this.name = "TrustWardenError";
    this.code = code;
    this.details = details;
  }

  /** HTTP status of the code. */
  get status(): number {
    return ERRORS[this.code].status;
  }
}

/** Whether text is a code of the table; used when a code comes back over the wire. */
export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(ERRORS, text);
}

/** Body of every error answer. */
export interface PublicError {
  readonly error: { readonly code: ErrorCode; readonly message: string; readonly counterexample?: string };
}

/**
 * What the outside may see of a failure: 401 collapses to one code and one sentence; delegation refusals keep their
 * code and their counter-example, since the caller proved who it is and needs them to go on.
 */
export function publicError(error: TrustWardenError): PublicError {
  const code: ErrorCode = error.status === 401 ? "principal_refused" : error.code;
  const { counterexample } = error.details;
  const shown = { code, message: ERRORS[code].message };
  return { error: typeof counterexample === "string" ? { ...shown, counterexample } : shown };
}
