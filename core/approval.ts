/**
 * Approvals: a human's signed answer to one action of one agent with exactly these parameters.
 *
 * An action that waited is named by the `event_id` of its denied intent, and that is the approval's id too. What was
 * asked for is bound three times: by the digest of that intent, by its action, resource and audience in words, and by a
 * salted commitment to the parameters, which the human's own program recomputes from what it shows. The answer is worth
 * one call: whether it was used, expired, or belongs to a dead agent is state, and so the business of the server.
 *
 * These are wire shapes, so members are named as they are signed.
 *
 * @see docs/path.md, "Approvals"
 */
import { encodeBase64url, encodeUtf8, parseBase64url } from "./bytes.ts";
import { encodeSpki, isEqualSecret, sha256 } from "./crypto.ts";
import {
  draftEnvelope,
  type EnvelopeDraft,
  parseEnvelope,
  parseUnverifiedPayload,
  signDraft,
  verifyEnvelope,
} from "./dsse.ts";
import { TrustWardenError } from "./error.ts";
import type { ApprovalReference } from "./event.ts";
import { Fields } from "./fields.ts";
import { parseEventId } from "./id.ts";
import { formatParamsCommitment } from "./intent.ts";
import { formatCanonicalJson, type JsonObject, parseJsonObject } from "./json.ts";
import { type OwnerKey, publicKeyOf } from "./passkey.ts";
import type { Signer } from "./signer.ts";

/** An approval waits for its one use at most this long; the request for it, unanswered, no longer. */
export const MAX_APPROVAL_SECONDS = 900;
/** How far the owner's clock may run ahead of ours. */
const CLOCK_SKEW_SECONDS = 30;
/** The event that tells of the approval embeds it. */
const MAX_ENVELOPE_CHARS = 8192;
const OWNER_ID = /^own_[0-9A-Z]{26}$/;

/**
 * What the call would do, exactly: the request that a service gets, the parameters of an act in the agent's own process,
 * or the arguments of a gateway's operation.
 */
export type Parameters =
  | {
      readonly kind: "request";
      readonly method: string;
      /** Path and query as sent. */
      readonly target: string;
      readonly body_sha256: string;
    }
  | { readonly kind: "params"; readonly params: JsonObject | null }
  | { readonly kind: "arguments"; readonly arguments: JsonObject };

/** An approval that a call names, with what opens the call's own commitment. */
export interface OpenedApproval {
  readonly id: string;
  readonly parameters: Parameters;
  /** base64url; empty for an act without parameters. */
  readonly salt: string;
}

/** What a human answers about. */
export interface ApprovalQuestion {
  /** `event_id` of the action that asked. */
  readonly id: string;
  /** base64url SHA-256 of its intent's envelope. */
  readonly intent_sha256: string;
  /** `own_<ulid>` */
  readonly owner: string;
  /** SPIFFE ID of the instance: no other one may use the answer. */
  readonly agent: string;
  readonly action: string;
  readonly resource: string;
  /** SPIFFE ID of the enforcement point. */
  readonly audience: string;
  /** base64url commitment to the parameters; the ledger holds no more of them. */
  readonly parameters: string;
  /** base64url digest of the policy that asked; under another the question is another. */
  readonly policy_sha256: string;
}

/** The signed answer. */
export interface Approval extends ApprovalQuestion {
  readonly v: 1;
  /** SPIFFE ID of the trust domain. */
  readonly aud: string;
  readonly answer: "approve" | "deny";
  /** Unix seconds. */
  readonly iat: number;
  /** Unix seconds; at most 15 minutes after `iat`. */
  readonly exp: number;
}

const QUESTION = [
  "id",
  "intent_sha256",
  "owner",
  "agent",
  "action",
  "resource",
  "audience",
  "parameters",
  "policy_sha256",
] as const satisfies readonly (keyof ApprovalQuestion)[];

/** The one spelling of parameters: equal for equal calls. */
export function formatParameters(parameters: Parameters): string {
  return formatCanonicalJson({ ...parameters });
}

/** base64url commitment to parameters under a fresh 32-byte salt. */
export function commitToParameters(parameters: Parameters, salt: Uint8Array): string {
  return formatParamsCommitment({ ...parameters }, salt);
}

/** A request for an answer, as it is shown to the human. */
export interface ShownRequest {
  /** Canonical JSON of the parameters. */
  readonly parameters: string;
  /** base64url */
  readonly salt: string;
  /** What the signed answer will commit to. */
  readonly commitment: string;
  /** What a request carries, or null. */
  readonly body: string | null;
}

/**
 * Refuses a request that shows the human something else than what the answer would be to.
 *
 * @throws TrustWardenError `approval_invalid`.
 */
export function requireShown({ parameters, salt, commitment, body }: ShownRequest): void {
  const shown = parseJsonObject(parameters);
  if (formatParamsCommitment(shown, parseBase64url(salt)) !== commitment) throw invalid("parameters");
  if (body !== null && encodeBase64url(sha256(encodeUtf8(body))) !== shown.body_sha256) throw invalid("body");
}

/** Signs an answer with the owner's key. @throws TrustWardenError `approval_invalid`. */
export function issueApproval(approval: Approval, signer: Signer, keyid: string): string {
  return signDraft(draftApproval(approval, keyid), signer);
}

/** An answer that a passkey is to sign. @throws TrustWardenError `approval_invalid`. */
export function draftApproval(approval: Approval, keyid: string): EnvelopeDraft {
  const payload = { ...approval };
  parseApproval(payload);
  return draftEnvelope("approval", payload, keyid);
}

/** Whose answer it claims to be; only for finding the key. @throws TrustWardenError `approval_invalid`, `dsse_malformed`. */
export function parseUnverifiedApproval(envelope: string): Approval {
  if (envelope.length > MAX_ENVELOPE_CHARS) throw invalid("envelope");
  return parseApproval(parseUnverifiedPayload(parseEnvelope(envelope)));
}

/** Where an answer is checked. */
export interface ApprovalCheck {
  /** The owner's: of a file, or a passkey. */
  readonly publicKey: OwnerKey;
  /** SPIFFE ID of the trust domain. */
  readonly audience: string;
  /** Unix seconds. */
  readonly now: number;
}

/**
 * An answer that the owner's key signed, to exactly this question, just now.
 *
 * @throws TrustWardenError `signature_invalid`, `dsse_malformed`, `approval_invalid` or `approval_expired`.
 */
export function verifyApproval(
  envelope: string,
  question: ApprovalQuestion,
  { publicKey, audience, now }: ApprovalCheck,
): Approval {
  if (envelope.length > MAX_ENVELOPE_CHARS) throw invalid("envelope");
  const parsed = parseEnvelope(envelope);
  const approval = parseApproval(verifyEnvelope(parsed, "approval", publicKey));
  if (parsed.unverifiedKeyid !== encodeBase64url(sha256(encodeSpki(publicKeyOf(publicKey)))))
    throw invalid("keyid");
  if (approval.aud !== audience) throw invalid("aud");
  for (const name of QUESTION) {
    if (!isEqualSecret(encodeUtf8(approval[name]), encodeUtf8(question[name]))) throw invalid(name);
  }
  if (approval.iat > now + CLOCK_SKEW_SECONDS) throw invalid("iat");
  if (now >= approval.exp) throw new TrustWardenError("approval_expired", { exp: approval.exp, now });
  return approval;
}

/** How records name an approval. */
export function formatApprovalReference(approval: Approval, envelope: string): ApprovalReference {
  const envelope_sha256 = encodeBase64url(sha256(encodeUtf8(envelope)));
  return { id: approval.id, owner: approval.owner, envelope_sha256 };
}

/** The members, closed; the signature is another matter. @throws TrustWardenError `approval_invalid`. */
function parseApproval(json: JsonObject): Approval {
  const fields = new Fields(json, "approval_invalid");
  const approval: Approval = {
    v: fields.version(),
    aud: fields.text("aud"),
    answer: fields.oneOf("answer", ["approve", "deny"]),
    id: readId(fields),
    intent_sha256: fields.digest("intent_sha256"),
    owner: fields.matching("owner", OWNER_ID),
    agent: fields.text("agent"),
    action: fields.text("action"),
    resource: fields.text("resource"),
    audience: fields.text("audience"),
    parameters: fields.digest("parameters"),
    policy_sha256: fields.digest("policy_sha256"),
    iat: fields.integer("iat"),
    exp: fields.integer("exp"),
  };
  fields.end();
  if (approval.exp <= approval.iat || approval.exp - approval.iat > MAX_APPROVAL_SECONDS)
    throw invalid("exp");
  return approval;
}

function readId(fields: Fields): string {
  try {
    return parseEventId(fields.text("id"));
  } catch (cause) {
    throw new TrustWardenError("approval_invalid", { field: "id" }, { cause });
  }
}

function invalid(field: string): TrustWardenError {
  return new TrustWardenError("approval_invalid", { field });
}
