/**
 * Owners, agents and services for tests of the server, made with core's words and raw requests.
 */
import { randomBytes, randomUUID } from "node:crypto";
import {
  digestOfEnrolment,
  formatOwnerKeyid,
  issueGrant,
  issueTicket,
  type Ticket,
} from "@trustwarden/core/agentid/enrolment.ts";
import { parseTicketValue } from "@trustwarden/core/agentid/enrolment-value.ts";
import { issuePossession, type PossessionClaim } from "@trustwarden/core/agentid/possession.ts";
import { parseSpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import { decisionAnswer } from "@trustwarden/core/api/action.ts";
import {
  type IdentityAnswer,
  identityAnswer,
  nonceAnswer,
  ownerAnswer,
  ticketAnswer,
} from "@trustwarden/core/api/identity.ts";
import { discovery } from "@trustwarden/core/api/ledger.ts";
import { encodeBase64url, encodeUtf8, parseBase64url } from "@trustwarden/core/bytes.ts";
import { encodeSpki, formatThumbprint, sha256 } from "@trustwarden/core/crypto.ts";
import { issueEnvelope } from "@trustwarden/core/dsse.ts";
import { formatTime, type Intent } from "@trustwarden/core/event.ts";
import { formatUlid, formatUuidV7, type Random } from "@trustwarden/core/id.ts";
import { formatRequestCommitment, issueIntent, type VerifiedIntent } from "@trustwarden/core/intent.ts";
import { parseScope } from "@trustwarden/core/scope.ts";
import { type ClientTls, jsonOf, type RawAnswer, type RawRequest, send, sendAdmin } from "./http.ts";
import { createTestSigner } from "./keys.ts";
import { type TestServer, TRUST_DOMAIN } from "./server.ts";

/** Fresh random bytes. */
const random: Random = (length) => new Uint8Array(randomBytes(length));
/** Unix seconds. */
export const nowSeconds = () => Math.floor(Date.now() / 1000);
/** SPIFFE ID of the trust domain of every test. */
export const AUDIENCE = `spiffe://${TRUST_DOMAIN}`;

const NO_BUDGET = { depth: 3, fan_out: 16, budget: null } as const;

export interface TestOwner {
  readonly ownerId: string;
  readonly signer: ReturnType<typeof createTestSigner>;
}

/** A live instance with its key: an agent or a verifier. */
export interface TestInstance {
  readonly answer: IdentityAnswer;
  readonly signer: ReturnType<typeof createTestSigner>;
  readonly svidSha256: string;
  readonly tls: ClientTls;
}

export interface EnrolOptions {
  readonly path?: string;
  readonly name?: string;
  readonly scope?: readonly string[];
  readonly ttlSeconds?: number;
}

/** PEM of what a client shows in its handshake. */
export function tlsOf(signer: TestOwner["signer"], chain: readonly Uint8Array[]): ClientTls {
  const cert = chain.map(
    (der) =>
      `-----BEGIN CERTIFICATE-----\n${Buffer.from(der).toString("base64")}\n-----END CERTIFICATE-----\n`,
  );
  return { key: signer.privateKey.export({ type: "pkcs8", format: "pem" }).toString(), cert: cert.join("") };
}

export async function serverIdOf(server: TestServer): Promise<string> {
  return discovery.parse(jsonOf(await send(server.url, { target: "/.well-known/trustwarden" }))).server_id;
}

export async function nonceOf(server: TestServer): Promise<string> {
  return nonceAnswer.parse(jsonOf(await send(server.url, { target: "/v1/nonce" }))).nonce;
}

export async function createOwner(server: TestServer, name = "alice"): Promise<TestOwner> {
  const signer = createTestSigner();
  const body = JSON.stringify({ name, spki: encodeBase64url(encodeSpki(signer.publicKey)) });
  const answer = await sendAdmin(server.adminSocket, { method: "POST", target: "/v1/owners", body });
  return { ownerId: parseAnswer(ownerAnswer, answer).owner_id, signer };
}

/** What a ticket of an owner says, unless it is to say something else. */
export function ticketDocument(owner: string, changes: Partial<Ticket> = {}): Ticket {
  const now = nowSeconds();
  return {
    v: 1,
    kind: "agent",
    jti: formatUlid(Date.now(), random),
    aud: AUDIENCE,
    iat: now,
    exp: now + 600,
    owner,
    path: "team/finance",
    name: "orchestrator",
    scope: parseScope(["read:transactions", "write:transactions", "write:reports"]),
    ttl_seconds: 28_800,
    limits: NO_BUDGET,
    ...changes,
  };
}

/** A ticket that the owner signs. */
export function ticketOf(owner: TestOwner, { scope, ttlSeconds, ...named }: EnrolOptions = {}): string {
  const ticket = ticketDocument(owner.ownerId, {
    ...named,
    ...(scope === undefined ? {} : { scope: parseScope(scope) }),
    ...(ttlSeconds === undefined ? {} : { ttl_seconds: ttlSeconds }),
  });
  return issueTicket(ticket, owner.signer, formatOwnerKeyid(owner.signer.publicKey));
}

/** A grant that a parent signs for a child's key. */
export function grantOf(
  parent: TestInstance,
  child: TestOwner["signer"],
  options: EnrolOptions & { readonly limits?: { readonly depth: number; readonly fan_out: number } } = {},
): string {
  const now = nowSeconds();
  return issueGrant(
    {
      v: 1,
      jti: formatUlid(Date.now(), random),
      aud: AUDIENCE,
      iat: now,
      exp: now + 60,
      name: options.name ?? "payment-agent",
      path: options.path ?? parent.answer.path,
      scope: parseScope(options.scope ?? ["read:transactions"]),
      ttl_seconds: options.ttlSeconds ?? 3600,
      limits: { depth: 2, fan_out: 8, budget: null, ...options.limits },
      child_thumbprint: formatThumbprint(child.publicKey),
      parent: parseSpiffeId(parent.answer.spiffe_id),
      svid_sha256: parent.svidSha256,
    },
    parent.signer,
  );
}

/** The body of an enrolment. */
export async function enrolmentBody(
  server: TestServer,
  enrolment: string,
  signer: TestOwner["signer"],
): Promise<{ readonly enrolment: string; readonly possession: string; readonly spki: string }> {
  const nonce = await nonceOf(server);
  return { enrolment, ...proofOf(signer, { nonce, enrolmentSha256: digestOfEnrolment(enrolment) }) };
}

/** A key with its proof of possession. */
export function proofOf(
  signer: TestOwner["signer"],
  claim: PossessionClaim,
): { readonly possession: string; readonly spki: string } {
  return {
    possession: issuePossession(claim, signer),
    spki: encodeBase64url(encodeSpki(signer.publicKey)),
  };
}

export async function postEnrolment(
  server: TestServer,
  enrolment: string,
  signer: TestOwner["signer"],
): Promise<RawAnswer> {
  const body = JSON.stringify(await enrolmentBody(server, enrolment, signer));
  return send(server.url, { method: "POST", target: "/v1/instances", body });
}

export function instanceOf(answer: IdentityAnswer, signer: TestOwner["signer"]): TestInstance {
  const chain = answer.svid_chain.map(parseBase64url);
  const svidSha256 = encodeBase64url(sha256(chain[0] ?? new Uint8Array()));
  return { answer, signer, svidSha256, tls: tlsOf(signer, chain) };
}

/** An agent by its owner's ticket. */
export async function enrolAgent(
  server: TestServer,
  owner: TestOwner,
  options: EnrolOptions = {},
): Promise<TestInstance> {
  return enrolWith(server, ticketOf(owner, options));
}

/** An instance by a ticket, whoever signed it. */
export async function enrolWith(server: TestServer, ticket: string): Promise<TestInstance> {
  const signer = createTestSigner();
  const answer = await postEnrolment(server, ticket, signer);
  return instanceOf(parseAnswer(identityAnswer, answer), signer);
}

/** A child by its parent's grant. */
export async function spawn(
  server: TestServer,
  parent: TestInstance,
  options: EnrolOptions = {},
): Promise<TestInstance> {
  const signer = createTestSigner();
  const answer = await postEnrolment(server, grantOf(parent, signer, options), signer);
  return instanceOf(parseAnswer(identityAnswer, answer), signer);
}

/** An operator's ticket for a service, as it is handed on. */
export async function verifierTicket(
  server: TestServer,
  { name, ttlSeconds = 3600 }: { readonly name: string; readonly ttlSeconds?: number },
): Promise<string> {
  const body = JSON.stringify({ name, ttl_seconds: ttlSeconds });
  const request = { method: "POST", target: "/v1/verifier-tickets", body };
  return parseAnswer(ticketAnswer, await sendAdmin(server.adminSocket, request)).ticket;
}

/** A service by an operator's ticket. */
export async function enrolVerifier(server: TestServer, name = "finance-api"): Promise<TestInstance> {
  const signer = createTestSigner();
  const ticket = await verifierTicket(server, { name });
  const answer = await postEnrolment(server, parseTicketValue(ticket).ticket, signer);
  return instanceOf(parseAnswer(identityAnswer, answer), signer);
}

/** An intent of an agent, with anything overridden. */
export function intentOf(
  agent: TestInstance,
  overrides: Partial<Intent> & { readonly aud: string },
): VerifiedIntent {
  const nowMs = Date.now();
  return issueIntent(
    {
      v: 1,
      event_id: formatUuidV7(nowMs, random),
      agent: {
        id: agent.answer.agent_id ?? "agt_none",
        spiffe_id: agent.answer.spiffe_id,
        svid_sha256: agent.svidSha256,
      },
      action: "read:transactions",
      resource: "postgres://finance-db/transactions",
      request: null,
      params: null,
      job: null,
      time: formatTime(nowMs),
      exp: Math.floor(nowMs / 1000) + 60,
      seq: 1,
      prev: null,
      seen: null,
      ...overrides,
    },
    agent.signer,
  );
}

/** A request to the server with the agent's signed intent, as the contract wants it. */
export function signedRequest(
  agent: TestInstance,
  request: RawRequest & { readonly action: string; readonly aud: string; readonly intent?: Partial<Intent> },
): RawRequest {
  const { method = "GET", target, body = "", action, aud } = request;
  const salt = random(32);
  const bytes = typeof body === "string" ? encodeUtf8(body) : body;
  const intent = intentOf(agent, {
    aud,
    action,
    resource: `trustwarden://${TRUST_DOMAIN}${target.split("?")[0] ?? ""}`,
    request: formatRequestCommitment({ method, target, body: bytes }, salt),
    ...request.intent,
  });
  return {
    method,
    target,
    ...(request.body === undefined ? {} : { body: request.body }),
    headers: {
      "trustwarden-intent": encodeBase64url(encodeUtf8(intent.envelope)),
      "trustwarden-salt": encodeBase64url(salt),
      ...request.headers,
    },
  };
}

/** A request that an owner signs. */
export function ownerRequest(
  owner: TestOwner,
  request: RawRequest & {
    readonly aud: string;
    readonly payload?: Readonly<Record<string, string | number>>;
  },
): RawRequest {
  const { method = "GET", target, body = "", aud } = request;
  const now = nowSeconds();
  const payload = {
    v: 1,
    jti: randomUUID(),
    aud,
    owner: owner.ownerId,
    method,
    target,
    body_sha256: encodeBase64url(sha256(typeof body === "string" ? encodeUtf8(body) : body)),
    iat: now,
    exp: now + 60,
    ...request.payload,
  };
  const envelope = issueEnvelope(
    "owner-request",
    payload,
    owner.signer,
    formatOwnerKeyid(owner.signer.publicKey),
  );
  return {
    method,
    target,
    ...(request.body === undefined ? {} : { body: request.body }),
    headers: { "trustwarden-owner": encodeBase64url(encodeUtf8(envelope)), ...request.headers },
  };
}

/** Asks for a decision on an agent's intent, over the socket of `caller`. */
export function askDecision(
  server: TestServer,
  options: {
    readonly caller: TestInstance;
    readonly agent: TestInstance;
    readonly intent: Pick<VerifiedIntent, "envelope">;
  },
): Promise<RawAnswer> {
  const { caller, agent, intent } = options;
  const body = JSON.stringify({ intent: intent.envelope, svid_chain: agent.answer.svid_chain });
  return send(server.url, { method: "POST", target: "/v1/decisions", body }, caller.tls);
}

/** An intent for a visit to a service. */
export function visitIntent(
  agent: TestInstance,
  verifier: TestInstance,
  overrides: Partial<Intent> = {},
): VerifiedIntent {
  const request = formatRequestCommitment(
    { method: "GET", target: "/transactions", body: new Uint8Array() },
    random(32),
  );
  return intentOf(agent, { aud: verifier.answer.spiffe_id, request, ...overrides });
}

export const parseDecision = (answer: RawAnswer) => parseAnswer(decisionAnswer, answer);

/** An answer of the expected shape; an error answer fails the test with its text. */
export function parseAnswer<T>(schema: { parse(value: unknown): T }, answer: RawAnswer): T {
  if (answer.status !== 200) throw new Error(`${answer.status} ${answer.text}`);
  return schema.parse(jsonOf(answer));
}

/** An outcome, signed by whoever enforced. */
export function outcomeOf(
  signer: TestInstance,
  receipt: { readonly event_id: string; readonly intent_sha256: string; readonly decision_index: number },
  overrides: Readonly<Record<string, string | number>> = {},
): string {
  const payload = {
    v: 1,
    event_id: receipt.event_id,
    intent_sha256: receipt.intent_sha256,
    decision_index: receipt.decision_index,
    status: "success",
    result: null,
    bytes: 2,
    duration_ms: 3,
    time: formatTime(Date.now()),
    ...overrides,
  };
  return issueEnvelope("outcome", payload, signer.signer, signer.svidSha256);
}
