/**
 * From a ticket or a grant to an identity: nonce, proof of possession, SVID.
 *
 * Also reads what a ticket or grant says, for the holder's own convenience; whether that is true is proven by the
 * server, which has the keys to check it.
 */
import { setImmediate as pause } from "node:timers/promises";
import { type Composition, formatComposition } from "@trustwarden/core/agentid/composition.ts";
import { digestOfEnrolment } from "@trustwarden/core/agentid/enrolment.ts";
import {
  parseGrantValue,
  parseTicketValue,
  type ServerReference,
} from "@trustwarden/core/agentid/enrolment-value.ts";
import { issuePossession } from "@trustwarden/core/agentid/possession.ts";
import { findWork } from "@trustwarden/core/agentid/registration-work.ts";
import { parseSpiffeId, type TrustDomain, trustDomainOf } from "@trustwarden/core/agentid/spiffe-id.ts";
import { type IdentityAnswer, identityAnswer } from "@trustwarden/core/api/identity.ts";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { parseEnvelope, parseUnverifiedPayload } from "@trustwarden/core/dsse.ts";
import { type ErrorCode, TrustWardenError } from "@trustwarden/core/error.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { type Credential, createCredential } from "./credential.ts";
import type { ServerAddress } from "./first-contact.ts";
import type { InstanceKey } from "./instance-key.ts";
import type { Runtime } from "./runtime.ts";
import { type AnswerSchema, workBitsAsked } from "./server-answer.ts";
import { encodeBody, type TrustServer } from "./trust-server.ts";

/** Enrolment waits for durable writes. */
const ENROL_TIMEOUT_MS = 15_000;
/** A second or two of one core; whoever is asked for more hears of it instead. */
const MAX_WORK_BITS = 20;
/** Others of the same owner register meanwhile, and the price rises. */
const MAX_WORK_ATTEMPTS = 4;

/** A ticket or grant as its holder reads it. */
export interface HeldEnrolment {
  readonly address: ServerAddress;
  /** Envelope text, sent as it is. */
  readonly envelope: string;
  /** What it says; nobody here has proven it. */
  readonly unverified: JsonObject;
}

/** A new identity and its first credential. */
export interface Enrolled {
  readonly answer: IdentityAnswer;
  readonly credential: Credential;
}

/** Headers of a renewal, which for agents carry an intent bound to exactly this body. */
export type SignRenewal = (body: Uint8Array) => Readonly<Record<string, string>>;

/** @throws TrustWardenError `ticket_missing`, `ticket_invalid`. */
export function readTicket(text: string | undefined): HeldEnrolment {
  if (text === undefined || text === "") throw new TrustWardenError("ticket_missing");
  const value = parseTicketValue(text.trim().replace(/^TRUSTWARDEN_TICKET=/, ""));
  return readEnrolment(value, value.ticket, "ticket_invalid");
}

/** @throws TrustWardenError `grant_invalid`. */
export function readGrant(text: string): HeldEnrolment {
  const value = parseGrantValue(text);
  return readEnrolment(value, value.grant, "grant_invalid");
}

/**
 * Enrols a new key.
 *
 * @throws TrustWardenError the server's refusal, `server_untrusted`, `server_unreachable`.
 */
export async function enrol(options: {
  readonly server: TrustServer;
  readonly key: InstanceKey;
  /** For a class SVID beside the instance's; none unless given. */
  readonly classKey?: InstanceKey | undefined;
  readonly envelope: string;
  readonly composition?: Composition | undefined;
  readonly runtime: Runtime;
  /** Who else will hold the key; only the agent unless given. */
  readonly custody?: "delivered";
}): Promise<Enrolled> {
  const { server, key, classKey, envelope, composition, runtime, custody } = options;
  const declared = composition === undefined ? {} : { composition: formatComposition(composition) };
  const request = { enrolment: envelope, ...declared, ...(custody && { custody }) };
  const enrolmentSha256 = digestOfEnrolment(envelope);
  const proof = { server, key, classKey, enrolmentSha256, rest: request };
  const answer = await callWithWork({
    server,
    target: "/v1/instances",
    schema: identityAnswer,
    prove: (workBits) => proveKeys({ ...proof, workBits }),
  });
  return { answer, credential: createCredential({ answer, key, classKey, server, runtime }) };
}

/**
 * Asks again with work when many register at once, and no more work than a caller does not notice.
 *
 * @throws TrustWardenError the server's refusal.
 */
export async function callWithWork<T>({
  server,
  target,
  schema,
  prove,
}: {
  readonly server: TrustServer;
  readonly target: string;
  readonly schema: AnswerSchema<T>;
  readonly prove: (workBits: number) => Promise<Uint8Array>;
}): Promise<T> {
  let workBits = 0;
  for (let attempt = 1; ; attempt += 1) {
    const body = await prove(workBits);
    try {
      return await server.call({ method: "POST", target, body, schema, timeoutMs: ENROL_TIMEOUT_MS });
    } catch (error) {
      const asked = workBitsAsked(error);
      if (asked === undefined || asked > MAX_WORK_BITS || attempt === MAX_WORK_ATTEMPTS) throw error;
      workBits = asked;
    }
  }
}

/**
 * The next credential, under a new key, asked for with the current one.
 *
 * @throws TrustWardenError the server's refusal.
 */
export async function renewCredential(options: {
  readonly server: TrustServer;
  readonly current: Credential;
  readonly sign: SignRenewal;
  readonly key: InstanceKey;
  readonly classKey?: InstanceKey | undefined;
  /** Declared again: another than at birth is refused. */
  readonly composition?: Composition | undefined;
  readonly runtime: Runtime;
}): Promise<Credential> {
  const { server, current, sign, key, classKey, composition, runtime } = options;
  // One connection for what is read and what is asked: a thousand that renew at one moment make half the handshakes.
  await server.refreshOver(current.serverAgent);
  const declared = composition === undefined ? {} : { composition: formatComposition(composition) };
  const enrolmentSha256 = current.svid.leaf.sha256;
  const body = await proveKeys({ server, key, classKey, enrolmentSha256, rest: declared });
  const answer = await server.call({
    agent: current.serverAgent,
    method: "POST",
    target: "/v1/svids/renew",
    headers: sign(body),
    body,
    schema: identityAnswer,
    timeoutMs: ENROL_TIMEOUT_MS,
  });
  if (answer.spiffe_id !== current.svid.id)
    throw new TrustWardenError("server_untrusted", { reason: "other id" });
  return createCredential({ answer, key, classKey, server, runtime });
}

/** The body of a request by new keys: both are proven under one nonce. */
export async function proveKeys(options: {
  readonly server: TrustServer;
  readonly key: InstanceKey;
  readonly classKey?: InstanceKey | undefined;
  readonly enrolmentSha256: string;
  readonly rest: JsonObject;
  /** Of the work that goes along; none unless given. */
  readonly workBits?: number;
}): Promise<Uint8Array> {
  const { server, key, classKey, enrolmentSha256, rest, workBits = 0 } = options;
  const nonce = await server.takeNonce();
  const prove = ({ signer, spki }: InstanceKey) => ({
    possession: issuePossession({ nonce, enrolmentSha256 }, signer),
    spki: encodeBase64url(spki),
  });
  const proven = prove(key);
  const work = workBits === 0 ? {} : { work: await findWork(proven.possession, { bits: workBits, pause }) };
  return encodeBody({ ...rest, ...proven, ...work, ...(classKey && { class: prove(classKey) }) });
}

function readEnrolment(reference: ServerReference, envelope: string, code: ErrorCode): HeldEnrolment {
  const unverified = parseUnverifiedPayload(parseEnvelope(envelope));
  const { server: url, authoritiesSha256 } = reference;
  return {
    address: { url, authoritiesSha256, trustDomain: trustDomainIn(unverified, code) },
    envelope,
    unverified,
  };
}

function trustDomainIn({ aud }: JsonObject, code: ErrorCode): TrustDomain {
  if (typeof aud !== "string") throw new TrustWardenError(code, { field: "aud" });
  return trustDomainOf(parseSpiffeId(aud));
}
