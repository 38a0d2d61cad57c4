/**
 * The node's own identity: got once with a join token or its platform's evidence, renewed while it runs, and kept in one file for the next start.
 *
 * The file (mode 0600 in a 0700 directory) holds the node's key in the clear: whoever reads it is root or the node's
 * account on this host, and could ask the node for anything anyway. Workloads' keys are never written.
 */
import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { digestOfEvidence } from "@trustwarden/core/agentid/enrolment.ts";
import { parseJoinTokenValue } from "@trustwarden/core/agentid/enrolment-value.ts";
import { issuePossession } from "@trustwarden/core/agentid/possession.ts";
import {
  formatSpiffeId,
  parseSpiffeId,
  parseTrustDomain,
  pathOf,
  trustDomainOf,
} from "@trustwarden/core/agentid/spiffe-id.ts";
import { formatTrustBundle, parseTrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { type IdentityAnswer, identityAnswer, nonceAnswer } from "@trustwarden/core/api/identity.ts";
import { encodeBase64url, encodeUtf8, parseBase64url } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { Fields } from "@trustwarden/core/fields.ts";
import { formatCanonicalJson, type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import {
  type Credential,
  connectServer,
  createCredential,
  createDeliveredKey,
  type DeliveredKey,
  type EvidenceSource,
  type Exchange,
  encodeBody,
  openDeliveredKey,
  parseOrigin,
  type Runtime,
  readPinnedTrustDomain,
  TrustServer,
} from "trustwarden/peer.ts";

const FILE = "node.json";
const MAX_FILE_CHARS = 1_048_576;
const JOIN_TIMEOUT_MS = 15_000;
const NODE_PATH = /^\/trustwarden\/node\/([a-z0-9][a-z0-9_-]{0,62})\/inst-[^/]+$/;

/** A node that the server knows. */
export interface NodeIdentity {
  readonly server: TrustServer;
  readonly name: string;
  readonly instanceId: string;
  readonly answer: IdentityAnswer;
  readonly credential: Credential;
  readonly key: DeliveredKey;
}

/**
 * Joins with a token.
 *
 * @param options.name - must be the token's when given.
 * @throws TrustWardenError `join_token_invalid`, `server_untrusted`, `server_unreachable`, and the server's refusal.
 */
export async function joinWithToken(options: {
  readonly token: string;
  readonly name?: string | undefined;
  readonly runtime: Runtime;
}): Promise<NodeIdentity> {
  const { server, authoritiesSha256, token } = parseJoinTokenValue(options.token.trim());
  const evidence = async () => ({ type: "join_token", token });
  const { name, runtime } = options;
  return joinServer({ server, authoritiesSha256, evidence, name, runtime });
}

/** How a host proves itself where its platform says what it is. */
export interface HostEvidence {
  /** https origin of the server. */
  readonly server: string;
  /** Pins the trust domain's authorities. */
  readonly authoritiesSha256: string;
  readonly evidence: EvidenceSource;
}

/**
 * Joins by the evidence of the platform that runs this host, as an operator's node entry admits it.
 *
 * @param options.name - must be the entry's when given.
 * @throws TrustWardenError `evidence_unavailable`, `server_untrusted`, `server_unreachable`, and the server's refusal.
 */
export function joinWithEvidence(
  options: HostEvidence & { readonly name?: string | undefined; readonly runtime: Runtime },
): Promise<NodeIdentity> {
  return joinServer(options);
}

/** The evidence is asked for only after the server has shown the pinned authorities. */
async function joinServer(options: {
  readonly server: string;
  readonly authoritiesSha256: string;
  readonly evidence: (exchange: Exchange) => Promise<JsonObject>;
  readonly name?: string | undefined;
  readonly runtime: Runtime;
}): Promise<NodeIdentity> {
  const { server: url, authoritiesSha256, name, runtime } = options;
  const trustDomain = await readPinnedTrustDomain(parseOrigin(url), { authoritiesSha256 });
  const server = await connectServer({ url, authoritiesSha256, trustDomain }, runtime);
  const key = createDeliveredKey();
  const nonce = await server.takeNonce();
  const evidence = await options.evidence({ nonce, audience: formatSpiffeId(trustDomain, []) });
  const enrolmentSha256 = digestOfEvidence(evidence);
  const body = encodeBody({
    evidence,
    ...(name === undefined ? {} : { name }),
    spki: encodeBase64url(key.key.spki),
    possession: issuePossession({ nonce, enrolmentSha256 }, key.key.signer),
  });
  const call = {
    method: "POST",
    target: "/v1/nodes",
    body,
    schema: identityAnswer,
    timeoutMs: JOIN_TIMEOUT_MS,
  } as const;
  const answer = await server.call(call);
  return createNodeIdentity({ answer, key, server, runtime });
}

/**
 * The identity of the last run, or undefined when there is none or it has ended.
 *
 * @throws TrustWardenError `file_mode_too_open`, `config_invalid` for a damaged file, `server_untrusted`,
 *   `server_unreachable`.
 */
export async function openNodeIdentity(dataDir: string, runtime: Runtime): Promise<NodeIdentity | undefined> {
  const path = join(dataDir, FILE);
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) return undefined;
  if ((found.mode & 0o077) !== 0) throw new TrustWardenError("file_mode_too_open", { path });
  const saved = parseSaved(readFileSync(path, "utf8"));
  if (runtime.nowMs() / 1000 >= saved.answer.svid_expires_at) return undefined;
  const server = new TrustServer({
    origin: parseOrigin(saved.url),
    bundle: parseTrustBundle(saved.bundle, saved.trustDomain),
    address: { url: saved.url, trustDomain: saved.trustDomain, authoritiesSha256: saved.authoritiesSha256 },
    runtime,
  });
  await server.refresh();
  return createNodeIdentity({ answer: saved.answer, key: saved.key, server, runtime });
}

/** The next SVID of the same node, under a new key. @throws TrustWardenError the server's refusal. */
export async function renewNodeIdentity(
  { server, answer }: Pick<NodeIdentity, "server" | "answer">,
  current: Credential,
  runtime: Runtime,
): Promise<NodeIdentity> {
  await server.refresh();
  const key = createDeliveredKey();
  const { nonce } = await server.call({ method: "GET", target: "/v1/nonce", schema: nonceAnswer });
  const proof = { nonce, enrolmentSha256: current.svid.leaf.sha256 };
  const body = encodeBody({
    spki: encodeBase64url(key.key.spki),
    possession: issuePossession(proof, key.key.signer),
  });
  const next = await server.call({
    agent: current.serverAgent,
    method: "POST",
    target: "/v1/svids/renew",
    body,
    schema: identityAnswer,
    timeoutMs: JOIN_TIMEOUT_MS,
  });
  if (next.spiffe_id !== answer.spiffe_id)
    throw new TrustWardenError("server_untrusted", { reason: "other id" });
  return createNodeIdentity({ answer: next, key, server, runtime });
}

/** Writes the identity for the next start: whole, or not at all. */
export function saveNodeIdentity(
  dataDir: string,
  { server, answer, key }: Pick<NodeIdentity, "server" | "answer" | "key">,
): void {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  chmodSync(dataDir, 0o700);
  const { url, trustDomain, authoritiesSha256 } = server.address;
  const document = {
    v: 1,
    url,
    trust_domain: trustDomain,
    authorities_sha256: authoritiesSha256,
    bundle: formatTrustBundle(server.bundle),
    answer: JSON.stringify(answer),
    key: encodeBase64url(key.pkcs8),
  };
  const path = join(dataDir, FILE);
  rmSync(`${path}.new`, { force: true });
  writeFileSync(`${path}.new`, formatCanonicalJson(document), { mode: 0o600, flush: true });
  renameSync(`${path}.new`, path);
}

/** The credential of a node, which says so in its id. @throws TrustWardenError `server_untrusted`. */
function createNodeIdentity(options: {
  readonly answer: IdentityAnswer;
  readonly key: DeliveredKey;
  readonly server: TrustServer;
  readonly runtime: Runtime;
}): NodeIdentity {
  const { answer, key, server, runtime } = options;
  const id = parseSpiffeId(answer.spiffe_id);
  const name = NODE_PATH.exec(pathOf(id))?.[1];
  if (name === undefined || trustDomainOf(id) !== server.trustDomain)
    throw new TrustWardenError("server_untrusted", { reason: "not a node's id" });
  const credential = createCredential({ answer, key: key.key, server, runtime });
  return { server, name, instanceId: answer.instance_id, answer, credential, key };
}

function parseSaved(text: string) {
  try {
    const members = new Fields(parseJsonObject(text, MAX_FILE_CHARS), "config_invalid");
    members.version();
    const saved = {
      url: members.text("url"),
      trustDomain: parseTrustDomain(members.text("trust_domain")),
      authoritiesSha256: members.digest("authorities_sha256"),
      bundle: members.text("bundle", { maxChars: MAX_FILE_CHARS }),
      answer: identityAnswer.parse(parseAnswerText(members.text("answer", { maxChars: MAX_FILE_CHARS }))),
      key: openDeliveredKey(parseBase64url(members.text("key", { maxChars: 4096 }))),
    };
    members.end();
    return saved;
  } catch (cause) {
    throw new TrustWardenError("config_invalid", { file: FILE }, { cause });
  }
}

function parseAnswerText(text: string): JsonObject {
  return parseJsonObject(text, encodeUtf8(text).length);
}
