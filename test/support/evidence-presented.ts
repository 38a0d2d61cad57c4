/**
 * Bundles of actions for which the agent presented a token instead of an intent, and what an operator could make of them
 * who has the server's key *and* the log's: a log in which other records stand.
 */
import { issueCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import {
  CHECKPOINT_FILE,
  EVENTS_FILE,
  encodeEvidenceBundle,
  formatEntryPath,
  formatEventList,
  formatProofPath,
  MANIFEST_FILE,
  openEvidenceBundle,
  SUMS_FILE,
} from "@trustwarden/core/agentledger/evidence-bundle.ts";
import { inclusionRanges } from "@trustwarden/core/agentledger/inclusion-proof.ts";
import { createTestLogSigner } from "@trustwarden/core/agentledger/ledger.test.support.ts";
import { leafHash, rootOf } from "@trustwarden/core/agentledger/merkle.ts";
import { formatVkey, rawEd25519Key } from "@trustwarden/core/agentledger/signed-note.ts";
import { formatTlogProof } from "@trustwarden/core/agentledger/tlog-proof.ts";
import { discovery } from "@trustwarden/core/api/ledger.ts";
import { encodeBase64, encodeBase64url, encodeUtf8, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { issueDpopProof } from "@trustwarden/core/dpop.ts";
import {
  issueEnvelope,
  parseEnvelope,
  parseUnverifiedPayload,
  payloadTypeOf,
} from "@trustwarden/core/dsse.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { createOwner, enrolAgent, type TestInstance } from "./actors.ts";
import { openKeys } from "./authority-keys.ts";
import { type Forgery, type ManifestKey, manifestKeyOf } from "./evidence-forgeries.ts";
import { jsonOf, send, sendAdmin } from "./http.ts";
import { createTestSigner, type TestKey, tokenOf } from "./oauth.ts";
import { show, startShop, WRITE } from "./presented.ts";
import { startTestServer, type TestServer } from "./server.ts";
import { showWit, WIT_ON, witOf } from "./wit.ts";

/** What a server signs. */
const RECORDS = ["presented-intent", "decision", "outcome", "control"] as const;
/** The log of a forger's own. */
export const forgersLog = createTestLogSigner(17);

/** A bundle of what an agent did with tokens, and what an auditor trusts. */
export interface PresentedStory {
  readonly bytes: Buffer;
  readonly vkey: string;
  readonly bundleText: string;
  readonly key: ManifestKey;
  /** The key that the access token is bound to. */
  readonly tokenKey: TestKey;
  readonly close: () => Promise<void>;
}

/** A read and a signed write with an access token, and a read with a WIT-SVID. */
export async function createPresentedStory(): Promise<PresentedStory> {
  const server = await startTestServer({ gateway: { port: 0 }, ...WIT_ON });
  const shop = await startShop(server);
  const agent = await enrolAgent(server, await createOwner(server), { scope: ["read:items", "write:items"] });
  const tokenKey = createTestSigner();
  await useTokens(server, { agent, tokenKey });
  const target = `/v1/evidence?agent=${agent.answer.agent_id}`;
  const { bytes } = await sendAdmin(server.adminSocket, { target });
  const found = jsonOf(await send(server.url, { target: "/.well-known/trustwarden" }));
  const { serverSigner } = await openKeys(server.home);
  return {
    bytes,
    vkey: discovery.parse(found).log_vkey,
    bundleText: (await send(server.url, { target: "/v1/bundle" })).text,
    key: manifestKeyOf(bytes, serverSigner),
    tokenKey,
    close: async () => {
      await server.close();
      shop.close();
      server.home.remove();
    },
  };
}

async function useTokens(
  server: TestServer,
  { agent, tokenKey }: { readonly agent: TestInstance; readonly tokenKey: TestKey },
): Promise<void> {
  const gateway = server.gatewayUrl ?? "";
  const asked = { resource: `${gateway}/shop`, scope: "read:items write:items", key: tokenKey };
  const token = await tokenOf(server, agent, asked);
  const answers = [
    await show(gateway, { token, signer: tokenKey }),
    await show(gateway, { token, signer: tokenKey, message: tokenKey, ...WRITE }),
    await showWit(gateway, await witOf(server, agent)),
  ];
  for (const { status, text } of answers) if (status !== 200) throw new Error(`${status} ${text}`);
}

/** The log's key under which the forgeries are whole. */
export function forgersVkey(vkey: string): string {
  return formatVkey(vkey.slice(0, vkey.indexOf("+")), rawEd25519Key(forgersLog.publicKey));
}

/** The members of a record that a forgery changes. */
export type Payload = Record<string, unknown>;

/**
 * Logs in which another record stands. Each is whole and signed by the server; only what the agent's key signed, and what
 * the log itself says of the token, can show the lie.
 */
export function presentedForgeries({ bytes, key, tokenKey, vkey }: PresentedStory): readonly Forgery[] {
  const forge = (name: string, change: (kind: string, payload: Payload) => void): Forgery => ({
    name,
    bytes: relog(bytes, { key, vkey, change }),
  });
  const ofPresented = (name: string, change: (payload: Payload) => void) =>
    forge(name, (kind, payload) => {
      if (kind === "presented-intent" && payload.wit_key === undefined) change(payload);
    });
  const ofToken = (name: string, change: (details: Payload) => void) =>
    forge(name, (kind, payload) => {
      if (kind === "control" && payload.kind === "token") change(Object(payload.details));
    });
  const ofWit = (name: string, change: (details: Payload) => void) =>
    forge(name, (kind, payload) => {
      if (kind === "control" && payload.kind === "wit") change(Object(payload.details));
    });
  return [
    ofPresented("a proof whose signature is of another request", (payload) => {
      payload.proof = `${String(payload.proof).slice(0, -4)}AAAA`;
    }),
    ofPresented("a proof by a key of the operator's", (payload) => {
      payload.proof = proofBy(createTestSigner());
    }),
    ofPresented("a proof of the token's key that shows no token", (payload) => {
      payload.proof = proofBy(tokenKey, {});
    }),
    ofPresented("a proof of long ago", (payload) => {
      payload.proof = proofBy(tokenKey, { now: 1_700_000_000, accessToken: "t" });
    }),
    ofPresented("one proof for two actions", (payload) => {
      payload.proof = proofBy(tokenKey, { jti: "the-same-one", accessToken: "t" });
    }),
    ofPresented("a write whose body nobody signed", (payload) => {
      payload.signature = null;
    }),
    ofToken("a token of another agent", (details) => {
      details.client_id = "spiffe://acme.test/team/elsewhere/inst-01ARZ3NDEKTSV4RRFFQ69G5FAV";
    }),
    ofToken("a token that was never issued", (details) => {
      details.jti = "another-token";
    }),
    ofToken("a token that had expired", (details) => {
      details.expires_at = 1_700_000_000;
    }),
    ofToken("a token for another key", (details) => {
      details.cnf = { jkt: encodeBase64url(new Uint8Array(32)) };
    }),
    ofWit("a WIT-SVID for another key", (details) => {
      details.confirmation_thumbprint = encodeBase64url(new Uint8Array(32));
    }),
  ];
}

function proofBy(
  signer: TestKey,
  changes: Partial<Parameters<typeof issueDpopProof>[0]> = { accessToken: "t" },
) {
  const now = Math.floor(Date.now() / 1000);
  const jti = encodeBase64url(sha256(encodeUtf8(`${Math.random()}`)));
  return issueDpopProof({ method: "GET", url: "https://shop.test/x", jti, now, signer, ...changes });
}

/** The bundle as it would be had the log held other records: signed by the server anew, proven in a tree of its own. */
export function relog(
  bytes: Uint8Array,
  options: {
    readonly key: ManifestKey;
    readonly vkey: string;
    readonly change: (kind: string, payload: Payload) => void;
    /** Control records that stand behind all others, made of those that are there. */
    readonly more?: (controls: readonly Payload[]) => readonly Payload[];
  },
): Uint8Array {
  const { files: before, entries, list, unverifiedManifest } = openEvidenceBundle(bytes);
  const { size: oldSize } = unverifiedManifest.log;
  const rewritten = rewriteEntries(entries, options);
  const more = moreEntries(rewritten, options).map((entry, at) => [oldSize + at, entry] as const);
  const changed = new Map([...rewritten, ...more]);
  const size = oldSize + more.length;
  const leaves = Array.from({ length: size }, (_, index) =>
    leafHash(changed.get(index) ?? new Uint8Array(1)),
  );
  const root = rootOf(leaves);
  const origin = options.vkey.slice(0, options.vkey.indexOf("+"));
  const note = issueCheckpoint({ origin, size, root }, forgersLog);
  const files = new Map(before);
  files.delete(MANIFEST_FILE);
  files.delete(SUMS_FILE);
  files.set(CHECKPOINT_FILE, encodeUtf8(note));
  const support = [...list.support, ...more.map(([index]) => index)];
  files.set(EVENTS_FILE, encodeUtf8(formatEventList({ ...list, support })));
  for (const [index, entry] of changed) {
    const proof = inclusionRanges(index, size).map(({ start, end }) => rootOf(leaves.slice(start, end)));
    files.set(formatEntryPath(index), entry);
    files.set(formatProofPath(index), encodeUtf8(formatTlogProof({ index, proof, checkpoint: note })));
  }
  const log = { vkey: forgersVkey(options.vkey), size, root: encodeBase64(root) };
  return encodeEvidenceBundle(files, (sums_sha256) => {
    const manifest: JsonObject = JSON.parse(
      JSON.stringify({ ...unverifiedManifest, log, entries: changed.size, sums_sha256 }),
    );
    return issueEnvelope("evidence", manifest, options.key.signer, options.key.keyid);
  });
}

/** Each record of the server's with its change, and with the digest of the intent that it now stands behind. */
function rewriteEntries(
  entries: ReadonlyMap<number, Uint8Array>,
  { key, change }: Pick<Parameters<typeof relog>[1], "key" | "change">,
): ReadonlyMap<number, Uint8Array> {
  const digests = new Map<unknown, string>();
  const digestOf = (bytes: Uint8Array) => encodeBase64url(sha256(bytes));
  return new Map(
    [...entries].map(([index, entry]) => {
      const envelope = parseEnvelope(parseUtf8(entry));
      const name = RECORDS.find((one) => payloadTypeOf(one) === envelope.payloadType);
      if (envelope.unverifiedKeyid !== key.keyid || name === undefined) return [index, entry] as const;
      const payload: Payload = JSON.parse(JSON.stringify(parseUnverifiedPayload(envelope)));
      payload.intent_sha256 = digests.get(payload.intent_sha256) ?? payload.intent_sha256;
      change(name, payload);
      const signed: JsonObject = JSON.parse(JSON.stringify(payload));
      const written = encodeUtf8(issueEnvelope(name, signed, key.signer, key.keyid));
      digests.set(digestOf(entry), digestOf(written));
      return [index, written] as const;
    }),
  );
}

/** More records of the server's, each an event of its own. */
function moreEntries(
  entries: ReadonlyMap<number, Uint8Array>,
  { key, more }: Pick<Parameters<typeof relog>[1], "key" | "more">,
): readonly Uint8Array[] {
  if (more === undefined) return [];
  const controls = [...entries.values()].flatMap((entry): readonly Payload[] => {
    const envelope = parseEnvelope(parseUtf8(entry));
    const isControl = envelope.payloadType === payloadTypeOf("control");
    return isControl ? [JSON.parse(JSON.stringify(parseUnverifiedPayload(envelope)))] : [];
  });
  return more(controls).map((payload, at) => {
    const eventId = `${String(payload.event_id).slice(0, -4)}${String(at).padStart(4, "0")}`;
    const record: JsonObject = JSON.parse(JSON.stringify({ ...payload, event_id: eventId }));
    return encodeUtf8(issueEnvelope("control", record, key.signer, key.keyid));
  });
}
