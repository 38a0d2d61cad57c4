/**
 * Nodes, registration entries and the instances that nodes ask for, for tests of the server: raw requests, with every
 * part of a request open to change.
 */
import { randomBytes } from "node:crypto";
import {
  digestOfEnrolment,
  digestOfEvidence,
  formatOwnerKeyid,
} from "@trustwarden/core/agentid/enrolment.ts";
import { parseJoinTokenValue } from "@trustwarden/core/agentid/enrolment-value.ts";
import { issuePossession } from "@trustwarden/core/agentid/possession.ts";
import {
  issueRegistrationEntry,
  type RegistrationEntry,
} from "@trustwarden/core/agentid/registration-entry.ts";
import { identityAnswer } from "@trustwarden/core/api/identity.ts";
import {
  entryAnswer,
  joinTokenAnswer,
  type NodeIdentityAnswer,
  nodeIdentityAnswer,
} from "@trustwarden/core/api/registration.ts";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { encodeSpki } from "@trustwarden/core/crypto.ts";
import { formatUlid } from "@trustwarden/core/id.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { parseScope } from "@trustwarden/core/scope.ts";
import { createAdminTransport } from "../../cli/admin-transport.ts";
import { createClient } from "../../cli/client.ts";
import { createTemporaryExport } from "../../cli/temporary-export.ts";
import { auditDirectory } from "../../cli/verify-directory.ts";
import {
  instanceOf,
  nonceOf,
  ownerRequest,
  parseAnswer,
  serverIdOf,
  type TestInstance,
  type TestOwner,
} from "./actors.ts";
import { type RawAnswer, send, sendAdmin } from "./http.ts";
import { createTestSigner } from "./keys.ts";
import { type TestServer, TRUST_DOMAIN } from "./server.ts";

/** The secret of a fresh join token. */
export async function joinToken(server: TestServer, name = "host-1"): Promise<string> {
  const body = JSON.stringify({ name });
  const answer = await sendAdmin(server.adminSocket, { method: "POST", target: "/v1/join-tokens", body });
  return parseJoinTokenValue(parseAnswer(joinTokenAnswer, answer).token).token;
}

/** Shows evidence to be admitted as a node. */
export async function postNode(
  server: TestServer,
  evidence: JsonObject,
  {
    signer = createTestSigner(),
    members = {},
  }: { readonly signer?: TestSigner; readonly members?: object } = {},
): Promise<RawAnswer> {
  const nonce = await nonceOf(server);
  const possession = issuePossession({ nonce, enrolmentSha256: digestOfEvidence(evidence) }, signer);
  const body = JSON.stringify({ evidence, spki: spkiOf(signer), possession, ...members });
  return send(server.url, { method: "POST", target: "/v1/nodes", body });
}

/** A node by a fresh join token. */
export async function joinNode(server: TestServer, name = "host-1"): Promise<TestInstance> {
  const signer = createTestSigner();
  const evidence = { type: "join_token", token: await joinToken(server, name) };
  return instanceOf(parseAnswer(identityAnswer, await postNode(server, evidence, { signer })), signer);
}

type TestSigner = TestOwner["signer"];

/** A registered entry. */
export interface TestEntry {
  readonly entryId: string;
  readonly envelope: string;
}

/** An entry that the owner signs. */
export function entryOf(owner: TestOwner, members: Partial<RegistrationEntry> = {}): string {
  const now = Math.floor(Date.now() / 1000);
  const entry: RegistrationEntry = {
    v: 1,
    kind: "agent",
    jti: formatUlid(Date.now(), (length) => new Uint8Array(randomBytes(length))),
    aud: `spiffe://${TRUST_DOMAIN}`,
    iat: now,
    exp: now + 86_400,
    owner: owner.ownerId,
    path: "team/web",
    name: "crawler",
    scope: parseScope(["fetch:web", "read:transactions"]),
    ttl_seconds: 3600,
    limits: { depth: 1, fan_out: 4, budget: null },
    selectors: ["unix:uid:1000"],
    nodes: ["host-1"],
    hint: "crawler",
    ...members,
  };
  return issueRegistrationEntry(entry, owner.signer, formatOwnerKeyid(owner.signer.publicKey));
}

export async function postEntry(server: TestServer, owner: TestOwner, envelope: string): Promise<RawAnswer> {
  const body = JSON.stringify({ entry: envelope });
  const request = { method: "POST", target: "/v1/entries", body, aud: await serverIdOf(server) };
  return send(server.url, ownerRequest(owner, request));
}

export async function createEntry(
  server: TestServer,
  owner: TestOwner,
  members: Partial<RegistrationEntry> = {},
): Promise<TestEntry> {
  const envelope = entryOf(owner, members);
  const answer = parseAnswer(entryAnswer, await postEntry(server, owner, envelope));
  return { entryId: answer.entry_id, envelope };
}

export async function removeEntry(server: TestServer, owner: TestOwner, entryId: string): Promise<RawAnswer> {
  const aud = await serverIdOf(server);
  const request = { method: "POST", target: `/v1/entries/${entryId}/removal`, aud };
  return send(server.url, ownerRequest(owner, request));
}

/** What a test changes of a node's request. */
export interface NodeAsk {
  readonly signer?: TestSigner;
  readonly classSigner?: TestSigner | null;
  /** Digest that the proofs are bound to, where another than the right one is wanted. */
  readonly enrolmentSha256?: string;
  readonly members?: object;
  /** Another one of the server unless given. */
  readonly nonce?: string;
}

/** Asks as a node for an instance of an entry. */
export async function askInstance(
  server: TestServer,
  node: TestInstance,
  entry: TestEntry,
  ask: NodeAsk = {},
): Promise<RawAnswer> {
  const enrolmentSha256 = ask.enrolmentSha256 ?? digestOfEnrolment(entry.envelope);
  const body = {
    entry_id: entry.entryId,
    selectors: ["unix:uid:1000", "unix:gid:1000"],
    facts: { pid: 4711, uid: 1000, exe: "/usr/bin/crawler", strength: "unix" },
    custody: "delivered",
    ...(await keysOf(server, ask, enrolmentSha256)),
    ...ask.members,
  };
  return post(server, node, "/v1/node/instances", body);
}

/** Asks as a node for further SVIDs of an instance. */
export async function askRenewal(
  server: TestServer,
  node: TestInstance,
  instance: TestInstance,
  ask: NodeAsk = {},
): Promise<RawAnswer> {
  const enrolmentSha256 = ask.enrolmentSha256 ?? instance.svidSha256;
  const keys = await keysOf(server, ask, enrolmentSha256);
  const body = { instance_id: instance.answer.instance_id, ...keys, ...ask.members };
  return post(server, node, "/v1/node/renewals", body);
}

/** Asks as a node for further SVIDs of several instances in one request, all proofs under one nonce unless one says another. */
export async function askRenewals(
  server: TestServer,
  node: TestInstance,
  asks: readonly (NodeAsk & { readonly instance: TestInstance })[],
): Promise<RawAnswer> {
  const nonce = await nonceOf(server);
  const renewals = await Promise.all(
    asks.map(async ({ instance, ...ask }) => ({
      instance_id: instance.answer.instance_id,
      ...(await keysOf(server, { nonce, ...ask }, ask.enrolmentSha256 ?? instance.svidSha256)),
      ...ask.members,
    })),
  );
  return post(server, node, "/v1/node/renewals", { renewals });
}

/** Asks with evidence of its own for an instance. */
export async function postEvidence(
  server: TestServer,
  evidence: JsonObject,
  {
    signer = createTestSigner(),
    members = {},
  }: { readonly signer?: TestSigner; readonly members?: object } = {},
): Promise<RawAnswer> {
  const nonce = await nonceOf(server);
  const possession = issuePossession({ nonce, enrolmentSha256: digestOfEvidence(evidence) }, signer);
  const body = JSON.stringify({ entry_id: null, evidence, spki: spkiOf(signer), possession, ...members });
  return send(server.url, { method: "POST", target: "/v1/attested-instances", body });
}

/** What an offline audit of everything that the server has recorded finds. */
export async function findingsOf(server: TestServer): Promise<readonly unknown[]> {
  const exported = await createTemporaryExport(createClient(createAdminTransport(server.adminSocket)));
  try {
    const { directory } = exported;
    return (await auditDirectory({ directory, vkey: undefined, olderCheckpoint: undefined })).findings;
  } finally {
    exported.remove();
  }
}

/** A request of a node with a JSON body. */
export function post(
  server: TestServer,
  node: TestInstance,
  target: string,
  body: object,
): Promise<RawAnswer> {
  return send(server.url, { method: "POST", target, body: JSON.stringify(body) }, node.tls);
}

/** An instance that a node asked for, and that the test holds the key of. */
export interface DeliveredInstance extends TestInstance {
  readonly answer: NodeIdentityAnswer;
}

/** An instance of an entry, by a node. */
export async function deliver(
  server: TestServer,
  node: TestInstance,
  entry: TestEntry,
  ask: NodeAsk = {},
): Promise<DeliveredInstance> {
  const signer = ask.signer ?? createTestSigner();
  const answer = parseAnswer(nodeIdentityAnswer, await askInstance(server, node, entry, { ...ask, signer }));
  return { ...instanceOf(answer, signer), answer };
}

async function keysOf(server: TestServer, ask: NodeAsk, enrolmentSha256: string): Promise<object> {
  const { signer = createTestSigner(), classSigner = null, nonce = await nonceOf(server) } = ask;
  const proofOf = (key: TestSigner) => ({
    spki: spkiOf(key),
    possession: issuePossession({ nonce, enrolmentSha256 }, key),
  });
  return { ...proofOf(signer), class: classSigner === null ? null : proofOf(classSigner) };
}

function spkiOf(signer: TestSigner): string {
  return encodeBase64url(encodeSpki(signer.publicKey));
}
