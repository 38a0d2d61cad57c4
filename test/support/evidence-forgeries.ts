/**
 * Evidence bundles as a forger would have them: whoever carries the file, and the operator, who has the server's key and
 * signs the manifest anew. Every verifier must refuse all of them (or, where something is only missing, say so).
 */
import { deflateRawSync } from "node:zlib";
import { encodeArchive, parseArchive } from "@trustwarden/core/agentledger/archive.ts";
import { issueCheckpoint, verifyCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import {
  CHECKPOINT_FILE,
  EVENTS_FILE,
  type EventList,
  encodeEvidenceBundle,
  formatEntryPath,
  formatEventList,
  formatProofPath,
  MANIFEST_FILE,
  openEvidenceBundle,
  SUMS_FILE,
  TRUST_FILE,
} from "@trustwarden/core/agentledger/evidence-bundle.ts";
import {
  formatPolicyDigest,
  formatPolicySum,
  policyFilesOf,
} from "@trustwarden/core/agentledger/evidence-policies.ts";
import { createTestLogSigner } from "@trustwarden/core/agentledger/ledger.test.support.ts";
import { concatBytes, encodeBase64, encodeUtf8, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { encodePae, issueEnvelope, parseEnvelope, parseUnverifiedPayload } from "@trustwarden/core/dsse.ts";
import { formatCanonicalJson, type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import type { Signer } from "@trustwarden/core/signer.ts";

/** A bundle that proves nothing. */
export interface Forgery {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** The key of a server, as its operator has it. */
export interface ManifestKey {
  readonly signer: Signer;
  readonly keyid: string;
}

type Files = Map<string, Uint8Array>;

/** The key that signed a bundle's manifest, in the hands of the operator. */
export function manifestKeyOf(bytes: Uint8Array, signer: Signer): ManifestKey {
  return { signer, keyid: openEvidenceBundle(bytes).envelope.unverifiedKeyid };
}

/** A bundle with other content and a manifest that the server's key signed for it. */
export function resign(
  bytes: Uint8Array,
  key: ManifestKey,
  change: (files: Files, manifest: Record<string, unknown>) => void,
): Uint8Array {
  const files = new Map(parseArchive(bytes));
  const envelope = parseEnvelope(parseUtf8(files.get(MANIFEST_FILE) ?? new Uint8Array()));
  const manifest: Record<string, unknown> = { ...parseUnverifiedPayload(envelope) };
  files.delete(MANIFEST_FILE);
  files.delete(SUMS_FILE);
  change(files, manifest);
  return encodeEvidenceBundle(files, (sums_sha256) => {
    const payload: JsonObject = JSON.parse(JSON.stringify({ ...manifest, sums_sha256 }));
    return issueEnvelope("evidence", payload, key.signer, key.keyid);
  });
}

/** One byte flipped at some places: every field of the container, and every file. */
export function flippedBytes(bytes: Uint8Array, count: number): readonly Forgery[] {
  const step = Math.max(1, Math.floor(bytes.length / count));
  const places = Array.from({ length: count }, (_, index) => index * step);
  // The end record, the first header and the last one of the directory, byte by byte.
  const edges = [...Array(30).keys(), ...Array.from({ length: 80 }, (_, back) => bytes.length - 1 - back)];
  return [...new Set([...places, ...edges])].map((place) => {
    const flipped = Uint8Array.from(bytes);
    flipped[place] = (flipped[place] ?? 0) ^ 1;
    return { name: `byte ${place} flipped`, bytes: flipped };
  });
}

/** A byte flipped in each file, with a container that is whole again. */
export function flippedFiles(bytes: Uint8Array): readonly Forgery[] {
  return [...parseArchive(bytes)].map(([path, content]) => {
    const flipped = Uint8Array.from(content);
    const at = Math.floor(flipped.length / 2);
    flipped[at] = (flipped[at] ?? 0) ^ 1;
    return {
      name: `${path} altered`,
      bytes: encodeArchive(new Map([...parseArchive(bytes), [path, flipped]])),
    };
  });
}

/** Containers that no reader may open. */
export function brokenArchives(bytes: Uint8Array): readonly Forgery[] {
  const files = parseArchive(bytes);
  const [first] = files;
  const zeros = new Uint8Array(30_000_000);
  return [
    { name: "truncated", bytes: bytes.subarray(0, bytes.length - 7) },
    { name: "cut in half", bytes: bytes.subarray(0, Math.floor(bytes.length / 2)) },
    { name: "bytes after the end", bytes: concatBytes(bytes, encodeUtf8("more")) },
    { name: "bytes before the beginning", bytes: concatBytes(encodeUtf8("MZ"), bytes) },
    { name: "empty", bytes: new Uint8Array(0) },
    { name: "no file", bytes: encodeArchive(new Map()) },
    { name: "a file twice", bytes: encodeZip([...files, ...(first === undefined ? [] : [first])]) },
    { name: "a path that leads out", bytes: encodeZip([["../evil", encodeUtf8("x")], ...files]) },
    { name: "an absolute path", bytes: encodeZip([["/etc/evil", encodeUtf8("x")], ...files]) },
    {
      name: "a compressed bomb",
      bytes: encodeZip([...files, ["zeros", deflateRawSync(zeros)]], zeros.length),
    },
    {
      name: "a file that nobody named",
      bytes: encodeArchive(new Map([...files, ["extra", encodeUtf8("x")]])),
    },
  ];
}

/** What the operator can do to a bundle of an agent's events, signing the manifest anew. */
export function operatorForgeries(bytes: Uint8Array, key: ManifestKey): readonly Forgery[] {
  const { list } = openEvidenceBundle(bytes);
  const forge = (name: string, change: Parameters<typeof resign>[2]): Forgery => ({
    name,
    bytes: resign(bytes, key, change),
  });
  const event = list.events.find(({ indexes }) => indexes.length === 3);
  if (event === undefined) throw new Error("a bundle with an action and its outcome");
  const [one = 0, two = 0] = event.indexes;
  return [
    forge("an entry altered", (files) =>
      rewrite(files, formatEntryPath(one), "read:transactions", "read:transaction5"),
    ),
    forge("proofs of each other's entries", (files) =>
      swap(files, formatProofPath(one), formatProofPath(two)),
    ),
    forge("entries in each other's place", (files) =>
      swap(files, formatEntryPath(one), formatEntryPath(two)),
    ),
    forge("a decision that the server signs anew", (files) => reverse(files, formatEntryPath(two), key)),
    forge("certificates of another", (files) => exchangeChains(files)),
    forge("the root of another log", (files, manifest) => replaceLog(files, manifest, bytes)),
    forge("an event under another id", (files) =>
      putList(files, { ...list, events: list.events.map((known) => ({ ...known, event_id: "another" })) }),
    ),
    forge("a decision left out of its event", (files, manifest) => {
      drop(files, manifest, list, new Set([two]));
    }),
    forge("the issue events left out", (files, manifest) => {
      drop(files, manifest, list, new Set(indexesOf(files, '"kind":"issue"')));
    }),
    forge("another policy under the digest that decided", (files) => {
      const path = [...files.keys()].find((one) => one.endsWith("/data.json")) ?? "";
      files.set(path, encodeUtf8(textOf(files, path).replace("{", '{"also":true,')));
    }),
    forge("a policy without its data", (files) => {
      files.delete([...files.keys()].find((one) => one.endsWith("/data.json")) ?? "");
    }),
    forge("a policy that is the sum of more than ever decide together", (files) => {
      const alone = Array.from({ length: 9 }, (_, at) => {
        const material = { wasm: encodeUtf8(`module ${at}`), data: encodeUtf8("{}") };
        return [formatPolicyDigest(material), material] as const;
      });
      const sum = formatPolicySum(alone.map(([digest]) => digest));
      for (const [path, content] of policyFilesOf(sum, new Map(alone))) files.set(path, content);
    }),
    { name: "text that is no Unicode", bytes: withLoneSurrogate(bytes, key) },
    forge("another time", (_files, manifest) => {
      manifest.time = "2001-01-01T00:00:00.000Z";
    }),
    forge("a range that it has not", (_files, manifest) => {
      manifest.range = { start: one, end: two + 1 };
    }),
    forge("an unknown member of the manifest", (_files, manifest) => {
      manifest.log = { ...Object(manifest.log), size: 1 };
    }),
    {
      name: "a manifest that somebody else signed",
      bytes: resign(bytes, { ...key, signer: strangerOf(key) }, () => {}),
    },
  ];
}

/** An agent's second event left out, by the operator: what is there is true, and the agent's own count has a gap. */
export function withoutSecondIntent(bytes: Uint8Array, key: ManifestKey): Uint8Array {
  const { list, entries } = openEvidenceBundle(bytes);
  const second = list.events.find(({ indexes }) => payloadOf(entries.get(indexes[0] ?? -1)).seq === 2);
  return resign(bytes, key, (files, manifest) => drop(files, manifest, list, new Set(second?.indexes ?? [])));
}

/** A manifest with a text that not every language can hold: readers of its JSON would see different words. */
function withLoneSurrogate(bytes: Uint8Array, key: ManifestKey): Uint8Array {
  const files = new Map(parseArchive(bytes));
  const { payload: unverifiedPayload, payloadType } = parseEnvelope(textOf(files, MANIFEST_FILE));
  const payload = encodeUtf8(parseUtf8(unverifiedPayload).replace('"withheld":[', '"withheld":["\\ud800",'));
  files.delete(MANIFEST_FILE);
  files.delete(SUMS_FILE);
  const sig = encodeBase64(key.signer.sign(encodePae(payloadType, payload)));
  const signatures = [{ keyid: key.keyid, sig }];
  return encodeEvidenceBundle(files, () =>
    formatCanonicalJson({ payload: encodeBase64(payload), payloadType, signatures }),
  );
}

/** A range with one entry left out, by the operator. */
export function withoutOneEntry(bytes: Uint8Array, key: ManifestKey): Uint8Array {
  const { list } = openEvidenceBundle(bytes);
  const last = list.events.at(-1);
  return resign(bytes, key, (files, manifest) => drop(files, manifest, list, new Set(last?.indexes ?? [])));
}

/** A range with all its entries, one event of which is shown to nobody: its entries stand under what verdicts rest on. */
export function withHiddenEvent(bytes: Uint8Array, key: ManifestKey): Uint8Array {
  const { list } = openEvidenceBundle(bytes);
  const hidden = list.events.at(-1)?.indexes ?? [];
  return resign(bytes, key, (files, manifest) => {
    putList(files, { events: list.events.slice(0, -1), support: [...list.support, ...hidden] });
    manifest.events = list.events.length - 1;
  });
}

/** The gap of `withoutSecondIntent` in a bundle that says it is of another trust domain, whose agents count differently. */
export function underAnotherDomain(bytes: Uint8Array, key: ManifestKey): Uint8Array {
  return resign(withoutSecondIntent(bytes, key), key, (_files, manifest) => {
    manifest.trust_domain = "elsewhere.example";
  });
}

/** A bundle whose checkpoint has other lines after its own signature, with all its proofs. */
export function withCheckpoint(bytes: Uint8Array, key: ManifestKey, note: string): Uint8Array {
  return resign(bytes, key, (files) => putCheckpoint(files, note));
}

function putCheckpoint(files: Files, note: string): void {
  const before = textOf(files, CHECKPOINT_FILE);
  files.set(CHECKPOINT_FILE, encodeUtf8(note));
  for (const path of files.keys())
    if (path.startsWith("proofs/")) files.set(path, encodeUtf8(textOf(files, path).replace(before, note)));
}

function drop(
  files: Files,
  manifest: Record<string, unknown>,
  list: EventList,
  gone: ReadonlySet<number>,
): void {
  const keep = (indexes: readonly number[]) => indexes.filter((index) => !gone.has(index));
  const events = list.events
    .map((event) => ({ ...event, indexes: keep(event.indexes) }))
    .filter(({ indexes }) => indexes.length > 0);
  const support = keep(list.support);
  for (const index of gone) {
    files.delete(formatEntryPath(index));
    files.delete(formatProofPath(index));
  }
  putList(files, { events, support });
  manifest.events = events.length;
  manifest.entries = events.flatMap(({ indexes }) => indexes).length + support.length;
}

function putList(files: Files, list: EventList): void {
  files.set(EVENTS_FILE, encodeUtf8(formatEventList(list)));
}

function rewrite(files: Files, path: string, find: string, replacement: string): void {
  const { payload, ...rest } = parseJsonObject(textOf(files, path));
  const before = Buffer.from(String(payload), "base64").toString();
  const text = before.replace(find, replacement);
  if (text === before) throw new Error(`${path} does not say ${find}`);
  files.set(path, encodeUtf8(JSON.stringify({ payload: Buffer.from(text).toString("base64"), ...rest })));
}

/** The operator has the server's key, so the signature is good; the log holds another decision. */
function reverse(files: Files, path: string, { signer, keyid }: ManifestKey): void {
  const payload = payloadOf(files.get(path));
  const decision: JsonObject = JSON.parse(JSON.stringify({ ...payload, allow: payload.allow !== true }));
  files.set(path, encodeUtf8(issueEnvelope("decision", decision, signer, keyid)));
}

/** Two issue events change their certificates, signatures included where they are the operator's. */
function exchangeChains(files: Files): void {
  const [left, right] = indexesOf(files, '"kind":"issue"').map(formatEntryPath);
  if (left === undefined || right === undefined) throw new Error("a bundle with two issue events");
  const chainOf = (path: string) =>
    /"svid_chain":\[[^\]]*\]/.exec(JSON.stringify(payloadOf(files.get(path))))?.[0] ?? "";
  const chains = { left: chainOf(left), right: chainOf(right) };
  rewrite(files, left, chains.left, chains.right);
  rewrite(files, right, chains.right, chains.left);
}

function replaceLog(files: Files, manifest: Record<string, unknown>, bytes: Uint8Array): void {
  const { log } = openEvidenceBundle(bytes).unverifiedManifest;
  const head = verifyCheckpoint(textOf(files, CHECKPOINT_FILE), log.vkey);
  putCheckpoint(files, issueCheckpoint({ ...head, root: new Uint8Array(32) }, createTestLogSigner(9)));
  manifest.log = { ...log, root: encodeBase64(new Uint8Array(32)) };
}

/** Paths of entries by what their payload says. */
function indexesOf(files: Files, said: string): readonly number[] {
  return [...files.keys()]
    .filter(
      (path) => path.startsWith("entries/") && JSON.stringify(payloadOf(files.get(path))).includes(said),
    )
    .map((path) => Number(/\d+/.exec(path)?.[0]));
}

function payloadOf(entry: Uint8Array | undefined): JsonObject {
  return parseUnverifiedPayload(parseEnvelope(parseUtf8(entry ?? new Uint8Array())));
}

function textOf(files: Files, path: string): string {
  return parseUtf8(files.get(path) ?? new Uint8Array());
}

/** Two files change places. */
export function swap(files: Files, left: string, right: string): void {
  const kept = files.get(left) ?? new Uint8Array();
  files.set(left, files.get(right) ?? new Uint8Array());
  files.set(right, kept);
}

/** A signature of the right form by nobody. */
function strangerOf({ signer }: ManifestKey): Signer {
  return { ...signer, sign: (data) => signer.sign(concatBytes(data, encodeUtf8("."))) };
}

/** A bundle with the trust roots of somebody else. */
export function withRoots(bytes: Uint8Array, key: ManifestKey, bundleText: string): Uint8Array {
  return resign(bytes, key, (files) => files.set(TRUST_FILE, encodeUtf8(bundleText)));
}

/** A zip of any names, as other programs write them. @param inflated - size of the last file, which is compressed. */
function encodeZip(files: readonly (readonly [string, Uint8Array])[], inflated?: number): Uint8Array {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const [at, [name, content]] of files.entries()) {
    const isLast = inflated !== undefined && at === files.length - 1;
    const fields = Buffer.alloc(26);
    fields.writeUInt16LE(20, 0);
    fields.writeUInt16LE(isLast ? 8 : 0, 4);
    fields.writeUInt16LE(0x21, 8);
    fields.writeUInt32LE(content.length, 14);
    fields.writeUInt32LE(isLast ? inflated : content.length, 18);
    fields.writeUInt16LE(name.length, 22);
    parts.push(Buffer.from("PK\u0003\u0004"), fields, Buffer.from(name), Buffer.from(content));
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(offset, 10);
    directory.push(Buffer.from("PK\u0001\u0002\u0014\u0000"), fields, tail, Buffer.from(name));
    offset += 30 + name.length + content.length;
  }
  const central = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(files.length, 8);
  end.writeUInt16LE(files.length, 10);
  end.writeUInt32LE(central.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, central, end]);
}
