/** Visits to the finance API and requests to the server, signed by an agent and then bent as an attack wants them. */

import { randomBytes } from "node:crypto";
import { issuePossession } from "@trustwarden/core/agentid/possession.ts";
import { encodeBase64url, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { encodeSpki } from "@trustwarden/core/crypto.ts";
import type { Intent } from "@trustwarden/core/event.ts";
import { formatRequestCommitment, type VerifiedIntent } from "@trustwarden/core/intent.ts";
import {
  enrolmentBody,
  intentOf,
  nonceOf,
  ownerRequest,
  signedRequest,
  type TestInstance,
  type TestOwner,
} from "../../test/support/actors.ts";
import type { ClientTls, RawAnswer, RawRequest } from "../../test/support/http.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { call } from "./client.ts";
import type { World } from "./world.ts";

const RESOURCE = "sqlite://finance-db";

/** What an honest client would sign for a request to the finance API. */
const MEANINGS: Readonly<Record<string, (path: string) => Pick<Intent, "action" | "resource">>> = {
  GET: (path) => ({ action: "read:transactions", resource: `${RESOURCE}${path}` }),
  POST: (path) => ({
    action: path === "/journal" ? "write:ledger" : "write:transactions",
    resource: `${RESOURCE}${path}`,
  }),
  DELETE: (path) => ({ action: "delete:transactions", resource: `${RESOURCE}${path}` }),
};

/** One visit, with everything that an attack may replace. */
export interface VisitOptions {
  readonly agent: TestInstance;
  readonly method?: string;
  readonly target?: string;
  readonly body?: string;
  /** Members of the intent; an attack may send what an intent does not have. */
  readonly intent?: object;
  readonly headers?: Readonly<Record<string, string>>;
  /** Whose connection; the agent's own unless given. */
  readonly tls?: ClientTls | undefined;
}

/** A row of the finance API. */
export const ROW = JSON.stringify({ account: "supplier", amountCents: -4200, memo: "invoice" });

/** A visit with its intent, ready to be sent. */
export async function signVisit(
  world: World,
  { agent, method = "GET", target = "/transactions", body, intent, headers }: VisitOptions,
): Promise<{ readonly request: RawRequest; readonly intent: VerifiedIntent }> {
  const { id } = await world.finance();
  const salt = new Uint8Array(randomBytes(32));
  const path = target.split("?")[0] ?? "";
  const meaning = MEANINGS[method]?.(path) ?? { action: "read:transactions", resource: `${RESOURCE}${path}` };
  const bytes = encodeUtf8(body ?? "");
  const signed = intentOf(agent, {
    aud: id,
    ...meaning,
    request: formatRequestCommitment({ method, target, body: bytes }, salt),
    ...intent,
  });
  const request = {
    method,
    target,
    ...(body === undefined ? {} : { body }),
    headers: { ...intentHeaders(signed, salt), ...headers },
  };
  return { request, intent: signed };
}

/** The headers that carry an intent. */
export function intentHeaders(intent: VerifiedIntent, salt: Uint8Array): Readonly<Record<string, string>> {
  return {
    "trustwarden-intent": encodeBase64url(encodeUtf8(intent.envelope)),
    "trustwarden-salt": encodeBase64url(salt),
  };
}

/** Visits the finance API. */
export async function visit(world: World, options: VisitOptions): Promise<RawAnswer> {
  const { request } = await signVisit(world, options);
  const { url } = await world.finance();
  return call(url, request, { tls: options.tls ?? options.agent.tls });
}

/** A request to the server with the agent's intent for it. */
export async function callAsAgent(
  world: World,
  agent: TestInstance,
  request: RawRequest & {
    readonly action: string;
    readonly intent?: Partial<Intent>;
    readonly lane?: "stop";
  },
): Promise<RawAnswer> {
  const { lane, ...rest } = request;
  const signed = signedRequest(agent, { ...rest, aud: await world.serverId() });
  return call(lane === "stop" ? world.server.stopUrl : world.server.url, signed, { tls: agent.tls });
}

/** Asks for the next SVID of an agent, for a new key. */
export async function renew(world: World, agent: TestInstance): Promise<RawAnswer> {
  const signer = createTestSigner();
  const nonce = await nonceOf(world.server);
  const possession = issuePossession({ nonce, enrolmentSha256: agent.svidSha256 }, signer);
  const body = JSON.stringify({ possession, spki: encodeBase64url(encodeSpki(signer.publicKey)) });
  const target = "/v1/svids/renew";
  return callAsAgent(world, agent, { method: "POST", target, body, action: "renew:svid" });
}

/** A request that the world's owner signs, to the stop listener when it stops. */
export async function callAsOwner(world: World, request: RawRequest, owner?: TestOwner): Promise<RawAnswer> {
  const signed = ownerRequest(owner ?? (await world.owner()), { ...request, aud: await world.serverId() });
  const isStopping = request.target === "/v1/revocations" || request.target === "/v1/narrowings";
  return call(isStopping ? world.server.stopUrl : world.server.url, signed);
}

/** The owner revokes. */
export function revoke(world: World, kind: "instance" | "agent" | "owner", id: string): Promise<RawAnswer> {
  const body = JSON.stringify({ target: { kind, id } });
  return callAsOwner(world, { method: "POST", target: "/v1/revocations", body });
}

/** The owner narrows an instance. */
export function narrow(world: World, instanceId: string, scope: readonly string[]): Promise<RawAnswer> {
  const body = JSON.stringify({ instance_id: instanceId, scope });
  return callAsOwner(world, { method: "POST", target: "/v1/narrowings", body });
}

/** Brings an enrolment document, with a proof for the key, from an address of the attacker's. */
export async function enrolWith(
  world: World,
  enrolment: string,
  options: {
    readonly signer: ReturnType<typeof createTestSigner>;
    readonly from?: string | undefined;
    /** Replaces members of the body, and adds others. */
    readonly body?: object;
  },
): Promise<RawAnswer> {
  const honest = await enrolmentBody(world.server, enrolment, options.signer);
  return postInstance(world, JSON.stringify({ ...honest, ...options.body }), options.from);
}

/** Posts a body to the route that issues. */
export function postInstance(world: World, body: string, from: string | undefined): Promise<RawAnswer> {
  return call(world.server.url, { method: "POST", target: "/v1/instances", body }, { from });
}
