/**
 * Verifies a TrustWarden evidence bundle (`.twb`) with nothing but Node's own modules, and answers for each event:
 * which agent did this, who authorized it, what stops or stopped it.
 *
 *   node verify.mjs <file.twb> (--vkey <log key> | --policy <file>) (--bundle <trust bundle> | --root <sha256>...)
 *                   [--since <checkpoint>]
 *
 * Whom to believe comes from these arguments and never from the bundle: the log's key (alone, or in a C2SP tlog-policy
 * with witnesses and their quorum), and the trust roots (a SPIFFE bundle that you kept, or fingerprints of roots). With a
 * checkpoint that you kept, also that the log was not rewritten since.
 * Written from the specifications (RFC 6962, C2SP signed-note, tlog-cosignature, tlog-proof and tlog-policy, DSSE v1,
 * X509-SVID); shares no code with the project or with `verify.go`, whose output is the same.
 *
 * Exit code 0: verified; 3: verified, and something is missing that somebody must explain; 1: not verified; 2: usage.
 */
import { createHash, createHmac, createPublicKey, verify, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";

const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest();
const base64url = (bytes) => Buffer.from(bytes).toString("base64url");
const refuse = (why) => need(false, why);
function need(condition, why) {
  if (!condition) throw new Error(why);
}
/** Text of others cannot move the cursor or colour the verdict. */
const printable = (text) => text.replaceAll(/[^\x20-\x7e]/g, "?");
const utf8 = (bytes) => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);

// ---- 1. The container: a zip of stored files in which no byte is free ----
const MAX_BYTES = 24_000_000;
const PATH = /^[A-Za-z0-9_][A-Za-z0-9._-]*(\/[A-Za-z0-9_][A-Za-z0-9._-]*)*$/;
const CRC = Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});
const crc32 = (bytes) => ~bytes.reduce((value, byte) => (value >>> 8) ^ CRC[(value ^ byte) & 255], -1) >>> 0;

function readZip(bytes) {
  need(bytes.length <= MAX_BYTES, "the file is too long");
  const files = new Map();
  const directory = [];
  let at = 0;
  let last = "";
  while (at + 30 <= bytes.length && bytes.readUInt32LE(at) === 0x04034b50) {
    const start = at + 30 + bytes.readUInt16LE(at + 26);
    const end = start + bytes.readUInt32LE(at + 22);
    need(end <= bytes.length, "the file is cut off");
    const name = bytes.toString("latin1", at + 30, start);
    need(PATH.test(name) && name.length <= 128 && name > last, "a file's name");
    const content = bytes.subarray(start, end);
    const fields = Buffer.alloc(26);
    fields.writeUInt16LE(20, 0);
    fields.writeUInt16LE(0x21, 8);
    fields.writeUInt32LE(crc32(content), 10);
    fields.writeUInt32LE(content.length, 14);
    fields.writeUInt32LE(content.length, 18);
    fields.writeUInt16LE(name.length, 22);
    need(bytes.subarray(at + 4, at + 30).equals(fields), `a header of ${name}`);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(at, 10);
    directory.push(Buffer.from("504b01021400", "hex"), fields, tail, Buffer.from(name));
    files.set(name, content);
    last = name;
    at = end;
  }
  const central = Buffer.concat(directory);
  const close = Buffer.alloc(22);
  close.writeUInt32LE(0x06054b50, 0);
  close.writeUInt16LE(files.size, 8);
  close.writeUInt16LE(files.size, 10);
  close.writeUInt32LE(central.length, 12);
  close.writeUInt32LE(at, 16);
  need(bytes.subarray(at).equals(Buffer.concat([central, close])), "the directory of the zip");
  return files;
}

// ---- 2. JSON and DSSE ----
/** RFC 8785 text; only this spelling is accepted, so no key can be there twice. */
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  // Half a character is written as it was read here, and as another one elsewhere.
  if (typeof value === "string") need(value.isWellFormed(), "text that is not Unicode");
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const keys = Object.keys(value).sort();
  need(
    keys.every((key) => key.isWellFormed()),
    "text that is not Unicode",
  );
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join(",")}}`;
}

function parseCanonical(bytes) {
  const text = utf8(bytes);
  const value = JSON.parse(text);
  return canonical(value) === text ? value : refuse("JSON is not canonical");
}

function parseBase64(text) {
  const bytes = Buffer.from(text, "base64");
  return bytes.toString("base64") === text ? bytes : refuse("base64 is not canonical");
}

const PAYLOAD_TYPE = /^application\/vnd\.trustwarden\.([a-z-]+)\.v1\+json$/;
function parseEnvelope(bytes) {
  const { payload, payloadType, signatures, ...rest } = parseCanonical(bytes);
  const [, kind] = PAYLOAD_TYPE.exec(payloadType) ?? refuse("unknown payload type");
  need(signatures.length === 1 && Object.keys(rest).length === 0, "not one signature");
  const [{ keyid, sig, webauthn, ...more }] = signatures;
  need(Object.keys(more).length === 0, "a signature with more members");
  const raw = parseBase64(payload);
  return { kind, raw, payloadType, value: parseCanonical(raw), keyid, sig: parseBase64(sig), webauthn };
}

const paeOf = ({ raw, payloadType }) =>
  Buffer.concat([Buffer.from(`DSSEv1 ${payloadType.length} ${payloadType} ${raw.length} `), raw]);
const isP256 = (key, bytes, sig) =>
  sig.length === 64 && verify("sha256", bytes, { key, dsaEncoding: "ieee-p1363" }, sig);

/** DSSE: the signature is over type and payload, each behind its length. */
const isSignedBy = (key, envelope) =>
  envelope.webauthn === undefined && isP256(key, paeOf(envelope), envelope.sig);

const CLIENT_DATA =
  /^\{"type":"webauthn\.get","challenge":"([A-Za-z0-9_-]{43})","origin":"(https?:\/\/([a-z0-9.-]{1,253})(?::[0-9]{1,5})?)","crossOrigin":false[,}]/;

/** WebAuthn: an assertion whose challenge is the digest of what a file's key would sign, by a user whom the device verified. */
function isAsserted(passkey, envelope) {
  const { authenticator_data: data, client_data: client, ...more } = envelope.webauthn;
  const [device, browser] = [parseBase64(data), parseBase64(client)];
  const isGood = (signed) => isP256(passkey.key, signed, envelope.sig);
  return Object.keys(more).length === 0 && isAsserting(passkey, paeOf(envelope), { device, browser, isGood });
}

/** The device's word for some bytes, whatever form its signature has. */
function isAsserting({ rpId }, bytes, { device, browser, isGood }) {
  const match = CLIENT_DATA.exec(browser.toString("latin1"));
  if (match === null || device.length !== 37 || browser.length > 1024) return false;
  const [, challenge, origin, host] = match;
  // Present, verified, and nothing behind the count.
  const isVerified = (device[32] & 0xc5) === 0x05;
  const isOfHost = device.subarray(0, 32).equals(sha256(host)) && (typeof rpId !== "string" || rpId === host);
  const isThere = isOfHost && (origin.startsWith("https://") || host === "localhost");
  const isForThis = challenge === base64url(sha256(bytes));
  return isVerified && isThere && isForThis && isGood(Buffer.concat([device, sha256(browser)]));
}

// ---- 3. The log: notes, cosignatures, policy, proofs ----
function parseVkey(vkey) {
  const [, name, id, base64] = /^([^\s+]+)\+([0-9a-f]{8})\+(.+)$/.exec(vkey) ?? refuse("malformed key");
  const typed = parseBase64(base64);
  need(typed.length === 33 && (typed[0] === 1 || typed[0] === 4), "a key that is not Ed25519");
  need(sha256(`${name}\n`, typed).toString("hex", 0, 4) === id, "a key does not match its id");
  const jwk = { kty: "OKP", crv: "Ed25519", x: base64url(typed.subarray(1)) };
  return { vkey, name, id, type: typed[0], typed, key: createPublicKey({ key: jwk, format: "jwk" }) };
}

/** A ledger is one log, or several one after the other: the next ones have a quarter behind its name. */
const SHARD = /^([1-9]\d{3})q([1-4])(?:\.([2-9]|[1-9]\d{1,2}))?$/;

/** Where a log stands among those of a ledger: 0 is the first. Refuses the name of another. */
function rankOf(origin, { name }) {
  if (origin === name) return 0;
  const shard = origin.startsWith(`${name}/`) ? SHARD.exec(origin.slice(name.length + 1)) : null;
  const [, year, quarter, count] = shard ?? refuse("the checkpoint is not signed by your log");
  return (Number(year) * 4 + Number(quarter)) * 1000 + Number(count ?? 1);
}

/** The key of one of a ledger's logs: the bytes of the key in force under the log's own name. */
function keyUnder(log, name) {
  const id = sha256(`${name}\n`, log.typed).toString("hex", 0, 4);
  return { ...log, name, id, vkey: `${name}+${id}+${log.typed.toString("base64")}` };
}

/** C2SP tlog-policy: one log, witnesses, groups of them, and which group is the quorum. Nothing is said twice. */
function parsePolicy(text) {
  const policy = { log: undefined, witnesses: new Map(), groups: new Map(), quorum: undefined };
  const define = (name) => {
    const isNew =
      name !== undefined && name !== "none" && !policy.witnesses.has(name) && !policy.groups.has(name);
    return isNew ? name : refuse("a name stands twice in the policy");
  };
  for (const line of text.split("\n")) {
    const [word, ...rest] = line.trim().split(/\s+/);
    if (word === "log") {
      need(policy.log === undefined, "a policy of several logs");
      policy.log = parseVkey(rest[0]);
    } else if (word === "witness") policy.witnesses.set(define(rest[0]), parseVkey(rest[1]));
    else if (word === "group") policy.groups.set(define(rest[0]), { count: rest[1], members: rest.slice(2) });
    else if (word === "quorum") {
      need(policy.quorum === undefined && rest.length === 1, "a policy of several quorums");
      policy.quorum = rest[0];
    } else need(word === "" || word.startsWith("#"), "an unknown line in the policy");
  }
  need(policy.log?.type === 1 && policy.quorum !== undefined, "a policy without log or quorum");
  // One witness under two names, or twice in a group, must not count twice.
  const keys = [...policy.witnesses.values()].map(({ vkey }) => vkey.split("+").at(-1));
  const members = [...policy.groups.values()].flatMap((group) => group.members);
  for (const names of [keys, members]) need(new Set(names).size === names.length, "a witness counts twice");
  return policy;
}

function isMet(name, { witnesses, groups }, signed, depth = 0) {
  if (name === "none") return true;
  if (witnesses.has(name)) return signed.has(name);
  const { count, members } = groups.get(name) ?? refuse("the policy names somebody unknown");
  need(depth < 8 && members.length > 0, "the policy's groups");
  const wanted = count === "any" ? 1 : count === "all" ? members.length : Number(count);
  need(Number.isInteger(wanted) && wanted > 0 && wanted <= members.length, "a group's number");
  return members.filter((member) => isMet(member, { witnesses, groups }, signed, depth + 1)).length >= wanted;
}

/** A checkpoint that the ledger's key signed, whoever else did. */
function verifyLogged(note, ledger) {
  const split = note.lastIndexOf("\n\n");
  const text = note.slice(0, split + 1);
  const [, origin, size, root] =
    /^([^\n]+)\n(0|[1-9]\d{0,15})\n(.{44})\n$/.exec(text) ?? refuse("the checkpoint's text");
  need(note.endsWith("\n") && parseBase64(root).length === 32, "the checkpoint's form");
  need(Number.isSafeInteger(Number(size)), "the checkpoint's form");
  const lines = note
    .slice(split + 2, -1)
    .split("\n")
    .map(parseSignatureLine);
  const rank = rankOf(origin, ledger);
  const { name, id, key, vkey } = keyUnder(ledger, origin);
  const own = lines.filter((line) => line.name === name && line.id === id);
  need(own.length > 0, "the checkpoint is not signed by your log");
  const isGood = ({ blob }) => verify(null, Buffer.from(text), key, blob);
  need(own.every(isGood), "the checkpoint's signature is bad");
  return { note, text, lines, origin, rank, vkey, size: Number(size), root };
}

function verifyCheckpoint(note, policy, ledger) {
  const { text, lines, ...head } = verifyLogged(note, ledger);
  const signed = new Map();
  for (const [name, witness] of policy.witnesses) {
    const own = lines.filter((line) => line.name === witness.name && line.id === witness.id);
    const times = own.map(({ blob }) => verifyCosignature(text, blob, witness));
    if (times.length > 0) signed.set(name, Math.min(...times));
  }
  need(isMet(policy.quorum, policy, signed), "too few of your witnesses signed the checkpoint");
  return { ...head, signed };
}

function parseSignatureLine(line) {
  const [, name, base64] = /^\u2014 (\S+) (\S+)$/u.exec(line) ?? refuse("a signature line of the checkpoint");
  const blob = parseBase64(base64);
  return { name, id: blob.toString("hex", 0, 4), blob: blob.subarray(4) };
}

function verifyCosignature(text, blob, { key, type }) {
  need(blob.length === 72 && type === 4, "a cosignature's form");
  const time = blob.readBigUInt64BE();
  const body = Buffer.from(`cosignature/v1\ntime ${time}\n${text}`);
  need(verify(null, body, key, blob.subarray(8)), "a cosignature is bad");
  return Number(time);
}

const leafHash = (entry) => sha256(Buffer.of(0), entry);
const nodeHash = (left, right) => sha256(Buffer.of(1), left, right);
const splitOf = (size) => {
  let half = 1;
  while (half * 2 < size) half *= 2;
  return half;
};

/** Root of a tree of which only leaves [start, end) are known; whatever lies outside is the proof's next hash. */
function rootOf({ start, end, leaves, next }, from, to) {
  if (to <= start || from >= end) return next();
  if (to - from === 1) return leaves[from - start] ?? refuse("an entry is missing");
  const middle = from + splitOf(to - from);
  const left = rootOf({ start, end, leaves, next }, from, middle);
  return nodeHash(left, rootOf({ start, end, leaves, next }, middle, to));
}

function requireRange(head, { start, end, leaves, proof }) {
  need(start < end && end <= head.size && leaves.length === end - start, "the range is not of the tree");
  let used = 0;
  const next = () => {
    used += 1;
    return proof[used - 1] ?? refuse("a proof is too short");
  };
  const root = rootOf({ start, end, leaves, next }, 0, head.size);
  need(used === proof.length && root.toString("base64") === head.root, "a proof does not lead to the root");
}

/** RFC 6962: the hashes of an inclusion proof, from the leaf's sibling up. */
function requireIncluded(head, { index, leaf, proof }) {
  need(index < head.size, "an index beyond the tree");
  const rest = [...proof];
  const climb = (from, to) => {
    if (to - from === 1) return leaf;
    const middle = from + splitOf(to - from);
    const last = rest.pop() ?? refuse("a proof is too short");
    return index < middle ? nodeHash(climb(from, middle), last) : nodeHash(last, climb(middle, to));
  };
  const root = climb(0, head.size);
  need(rest.length === 0 && root.toString("base64") === head.root, "a proof does not lead to the root");
}

const toHash = (line) => (line.length === 44 ? parseBase64(line) : refuse("a hash in a proof"));
function requireProof(head, { index, entry, text }) {
  const split = text.indexOf("\n\n");
  const [header, indexLine, ...hashes] = text.slice(0, split).split("\n");
  const isForm = header === "c2sp.org/tlog-proof@v1" && indexLine === `index ${index}`;
  need(isForm && text.slice(split + 2) === head.note, "a proof of another entry or tree");
  requireIncluded(head, { index, leaf: leafHash(entry), proof: hashes.map(toHash) });
}

/** RFC 6962: a tree of the first `size` leaves, and that of the head, from the same hashes. */
function requireGrown(head, { size, root, proof }) {
  const rest = [...proof];
  const next = () => rest.pop() ?? refuse("a proof is too short");
  // Both roots of leaves [from, to): the old one of those below `size`.
  const climb = (from, to, isWhole) => {
    if (size === to) {
      const hash = isWhole ? parseBase64(root) : next();
      return { old: hash, now: hash };
    }
    const middle = from + splitOf(to - from);
    const other = next();
    if (size <= middle) {
      const { old, now } = climb(from, middle, isWhole);
      return { old, now: nodeHash(now, other) };
    }
    const { old, now } = climb(middle, to, false);
    return { old: nodeHash(other, old), now: nodeHash(other, now) };
  };
  need(size > 0 && size <= head.size, "the log is shorter than the earlier checkpoint");
  const { old, now } = climb(0, head.size, true);
  const isSame = old.toString("base64") === root && now.toString("base64") === head.root;
  need(isSame && rest.length === 0, "the log did not grow out of the earlier checkpoint");
}

/** @param range in the tree of the head, whose entry 0 is at `head.first` of the ledger. */
function requireRangeProof(head, { range, entries, text }) {
  const [header, line, ...hashes] = text.split("\n");
  const isForm = header === "trustwarden.dev/range-proof@v1" && hashes.pop() === "";
  need(isForm && line === `range ${range.start} ${range.end}`, "a proof of another range");
  const leaves = [];
  for (let index = range.start; index < range.end; index += 1)
    leaves.push(leafHash(entries.get(head.first + index) ?? refuse("an entry of the range is missing")));
  requireRange(head, { ...range, leaves, proof: hashes.map(toHash) });
}

// ---- 4. The bundle: manifest, digests, entries in the log ----
function openBundle(bytes) {
  const files = readZip(bytes);
  const file = (name) => files.get(name) ?? refuse(`${name} is missing`);
  const envelope = parseEnvelope(file("manifest.json"));
  const manifest = envelope.value;
  need(envelope.kind === "evidence" && manifest.v === 1, "the manifest is another document");
  const others = [...files].filter(([name]) => name !== "manifest.json" && name !== "SHA256SUMS");
  const sums = others.map(([name, content]) => `${sha256(content).toString("hex")}  ${name}\n`).join("");
  need(file("SHA256SUMS").toString("latin1") === sums, "a file is not what SHA256SUMS says");
  need(base64url(sha256(sums)) === manifest.sums_sha256, "SHA256SUMS is not what the manifest says");
  const list = parseCanonical(file("events.json"));
  const numbers = others
    .map(([name]) => /^entries\/(0|[1-9]\d{0,15})\.json$/.exec(name)?.[1])
    .filter(Boolean);
  const indexes = numbers.map(Number).sort((left, right) => left - right);
  const entries = new Map(indexes.map((index) => [index, file(`entries/${index}.json`)]));
  const named = [...list.events.flatMap((event) => event.indexes), ...list.support];
  const isSame = new Set(named).size === named.length && named.length === entries.size;
  need(isSame && named.every((index) => entries.has(index)), "entries that events.json does not name");
  need(list.events.length > 0 && manifest.events === list.events.length, "another number of events");
  need(manifest.entries === entries.size, "another number of entries");
  return { files, file, envelope, manifest, list, entries };
}

const END = /^trustwarden\.dev\/shard-end@v1\nnext (.+)\n$/;

/** The key of the next shard, when this is the end of one. That it is in the tree is shown like of any other entry. */
function parseShardEnd(entry) {
  const vkey = END.exec(entry?.toString("latin1") ?? "")?.[1];
  if (vkey === undefined) return undefined;
  const next = parseVkey(vkey);
  need(next.type === 1, "a shard's end names no key of a log");
  return next;
}

/**
 * The trees that entries are in, oldest first: that of `checkpoint`, or those of `shards/`, the newest of which it is. From your
 * key on: the end of a shard may name another key for the next one.
 */
function readHeads({ file, files, entries }, policy) {
  const newest = utf8(file("checkpoint"));
  const firsts = [...files.keys()]
    .map((name) => /^shards\/(0|[1-9]\d{0,15})\.checkpoint$/.exec(name)?.[1])
    .filter(Boolean)
    .map(Number)
    .sort((left, right) => left - right);
  const named = firsts.map((first) => [
    first,
    utf8(file(`shards/${first}.checkpoint`)),
    `shards/${first}.range.proof`,
  ]);
  const all = named.length > 0 ? named : [[0, newest, "range.proof"]];
  let ledger = policy.log;
  const heads = all.map(([first, note, path]) => {
    const head = { first, path, ledger, ...verifyCheckpoint(note, policy, ledger) };
    const next = parseShardEnd(entries.get(first + head.size - 1));
    if (next !== undefined) ledger = keyUnder(next, policy.log.name);
    return { ...head, next };
  });
  need(all.at(-1)[1] === newest, "the newest shard is not the one of the checkpoint");
  const isPlaced = ({ first, rank }) => Number.isSafeInteger(first) && (first === 0) === (rank === 0);
  need(heads.every(isPlaced), "a shard begins elsewhere");
  return heads;
}

function requireInLog({ file, manifest, entries }, heads) {
  const { log, range, selection } = manifest;
  const newest = heads.at(-1);
  need(log.size === newest.size && log.root === newest.root, "the manifest names another tree");
  need((selection.kind === "range") === (range !== null), "the manifest's range");
  if (range !== null) requireRangeInLogs(heads, { file, range, entries });
  for (const [index, entry] of entries) {
    const head = heads.findLast(({ first }) => first <= index) ?? refuse("an entry of no shard");
    // The beginning of a shard is proven by itself also where it lies in the range.
    const isStart = index > 0 && head.first === index;
    if (range !== null && index >= range.start && index < range.end && !isStart) continue;
    requireProof(head, { index: index - head.first, entry, text: utf8(file(`proofs/${index}.tlog-proof`)) });
  }
}

/** A range is whole in each shard that it touches, and these follow one another. */
function requireRangeInLogs(heads, { file, range, entries }) {
  let next = range.start;
  for (const head of heads) {
    const { first, size, path } = head;
    if (next < first || next >= Math.min(range.end, first + size)) continue;
    const part = { start: next - first, end: Math.min(range.end - first, size) };
    requireRangeProof(head, { range: part, entries, text: utf8(file(path)) });
    next = first + part.end;
  }
  need(next === range.end && range.start < range.end, "the range is not of the tree");
}

const START = /^trustwarden\.dev\/shard-start@v1\nfirst (0|[1-9]\d{0,15})\n\n(.*)$/s;

/**
 * Each shard but the first begins where its own entry 0 says, with the final checkpoint of the one before, and is the one that
 * this one's end names. Gives the entries that are no records: beginnings and ends.
 */
function requireShardStarts({ entries }, heads) {
  const marks = new Set();
  for (const [at, head] of heads.entries()) {
    const { first, size, next } = head;
    if (next !== undefined) {
      need(isNamed(head, heads[at + 1]), "a shard names another one than follows");
      marks.add(first + size - 1);
    }
    if (first === 0) continue;
    const [, place, note] = START.exec(utf8(entries.get(first) ?? Buffer.alloc(0))) ?? [];
    need(Number(place) === first, "a shard begins elsewhere");
    // A shard between two that are here has the key of the later one: every end that changes it is brought along.
    const before = heads[at - 1];
    const { ledger } = before?.origin === note.split("\n", 1)[0] ? before : head;
    need(isBehind(head, verifyLogged(note, ledger), before), "a shard does not follow the one before");
    marks.add(first);
  }
  return marks;
}

/** Whether what a shard's end names is a later shard, and the next one here, where that begins right behind. */
function isNamed({ first, size, rank, ledger, next }, after) {
  const named = rankOf(next.name, ledger);
  if (named <= rank) return false;
  if (after === undefined) return true;
  const end = first + size;
  return after.first === end ? after.vkey === next.vkey : after.first > end && after.rank > named;
}

/** Whether a shard can follow the one that ended so, and that one the shard which the bundle has before it. */
function isBehind({ first, rank }, ended, before) {
  const isPlaced = ended.rank === 0 ? ended.size === first : ended.size < first;
  if (!isPlaced || ended.size === 0 || ended.rank >= rank) return false;
  if (before === undefined) return true;
  if (before.rank !== ended.rank) return before.first + before.size < first && before.rank < ended.rank;
  const isSame = before.size < ended.size || (before.size === ended.size && before.root === ended.root);
  return before.first + ended.size === first && isSame;
}

const isSameTree = (left, right) =>
  left.origin === right.origin && left.size === right.size && left.root === right.root;

/**
 * What the log grew out of, shard by shard, without being rewritten; nothing when the bundle does not show it.
 * @param held the checkpoint that you kept, if any.
 */
function readGrowth({ files, file, entries }, heads, held) {
  if (!files.has("checkpoint.prev") && !files.has("consistency.txt")) return undefined;
  const note = utf8(file("checkpoint.prev"));
  const at = heads.findIndex(({ origin }) => origin === note.split("\n", 1)[0]);
  need(at >= 0, "the shard of the earlier checkpoint is not here");
  const earlier = verifyLogged(note, heads[at].ledger);
  const [title, sizes, ...hashes] = utf8(file("consistency.txt")).split("\n");
  const isForm = title === "trustwarden.dev/consistency-proof@v1" && hashes.pop() === "";
  need(isForm && sizes === `sizes ${earlier.size} ${heads[at].size}`, "a proof of other trees");
  requireGrown(heads[at], { ...earlier, proof: hashes.map(toHash) });
  for (const [index, { first }] of heads.slice(at + 1).entries()) {
    const before = heads[at + index];
    const [, , start] = START.exec(utf8(entries.get(first) ?? Buffer.alloc(0))) ?? [];
    const isNext = isSameTree(verifyLogged(start ?? "", before.ledger), before);
    need(isNext, "a shard does not begin with the tree before");
  }
  const isYours = held === undefined || isSameTree(verifyLogged(held, heads[at].ledger), earlier);
  need(isYours, "another tree than you hold");
  return earlier;
}

/** Policies that decide together. */
const MAX_PARTS = 8;

/** Policies, code and data, under the digests by which decisions name them. @returns the digests. */
function readPolicies({ files }) {
  const folders = new Map();
  for (const [path, content] of files) {
    if (!path.startsWith("policies/")) continue;
    const [, folder, name] =
      /^policies\/([0-9a-f]{64})\/(policy\.wasm|data\.json|parts)$/.exec(path) ??
      refuse(`${path} is no policy's`);
    folders.set(folder, { ...folders.get(folder), [name]: content });
  }
  const isHere = (digest) =>
    base64url(unbase64url(digest)) === digest && folders.has(unbase64url(digest).toString("hex"));
  for (const [folder, { "policy.wasm": wasm, "data.json": data, parts }] of folders) {
    const isOne = wasm !== undefined && data !== undefined && parts === undefined;
    const isSum = parts !== undefined && wasm === undefined && data === undefined;
    const digests = isSum ? utf8(parts).split(" ") : [];
    const isWhole = isOne || (isSum && digests.length <= MAX_PARTS && digests.every(isHere));
    need(isWhole, `policies/${folder} is not whole`);
    const digest = isOne ? sha256(sha256(wasm), sha256(data)) : sha256(parts);
    need(digest.toString("hex") === folder, `policies/${folder} is another policy`);
  }
  return new Set([...folders.keys()].map((folder) => base64url(Buffer.from(folder, "hex"))));
}

// ---- 5. Certificates ----
const parseCertificate = (der) => new X509Certificate(Buffer.from(der, "base64"));
const isIssuedBy = (one, issuer) => one.checkIssued(issuer) && one.verify(issuer.publicKey);
const fingerprintOf = (certificate) => sha256(certificate.raw).toString("hex");
const rootsOf = (text) =>
  JSON.parse(text)
    .keys.filter(({ use }) => use === "x509-svid")
    .map(({ x5c: [der] }) => parseCertificate(der));

function uriOf({ subjectAltName }) {
  const [, uri] = /^URI:([^,\s]+)$/.exec(subjectAltName ?? "") ?? refuse("not exactly one URI name");
  return uri;
}

/** Follows a certificate of the log to a root that was valid, as everything between, at that time. */
function verifySvid(keyid, { chains, roots, foreign, verified }, time) {
  const chain = chains.get(keyid) ?? refuse("the bundle does not carry the signer's certificate");
  const id = uriOf(chain[0]);
  const [, , domain] = id.split("/");
  const isForeign = !roots.some((root) => uriOf(root) === `spiffe://${domain}`);
  const trusted = isForeign ? (foreign.get(domain) ?? []) : roots;
  const root = trusted.find((one) => isIssuedBy(chain.at(-1), one)) ?? refuse("no trust root issued it");
  const at = Date.parse(time);
  [...chain, root].forEach((certificate, depth, path) => {
    const { publicKey, ca, validFrom, validTo } = certificate;
    need(isIssuedBy(certificate, path[depth + 1] ?? root), "a certificate is not its issuer's");
    need(ca === depth > 0, "a certificate has the wrong role");
    const isP256 = isForeign || publicKey.asymmetricKeyDetails?.namedCurve === "prime256v1";
    need(isP256, "a certificate's key is not P-256");
    need(Date.parse(validFrom) <= at && at < Date.parse(validTo) + 1000, "a certificate was not valid then");
  });
  need(uriOf(root) === `spiffe://${domain}`, "the certificate is of another trust domain");
  verified.add(keyid);
  return { id, key: chain[0].publicKey, isForeign };
}

// ---- 6. Records ----
const isServerId = (id) => /^spiffe:\/\/[^/]+\/trustwarden\/server\/[^/]+$/.test(id);
const isIntent = ({ kind }) => kind === "intent" || kind === "presented-intent";

function readRecords(entries, { roots, marks }) {
  const log = { roots, foreign: new Map(), chains: new Map(), owners: new Map(), issues: new Map() };
  Object.assign(log, { approvals: new Map(), records: new Map(), revocations: [], verified: new Set() });
  Object.assign(log, { holders: new Map(), transfers: new Set(), approvalUses: new Map() });
  Object.assign(log, { narrowed: new Map(), used: new Set(), nodes: new Map(), removed: new Set() });
  Object.assign(log, { erased: new Map(), approvalsUsed: new Set(), confirmations: new Map() });
  Object.assign(log, { tokens: new Map(), endedTokens: new Map(), proofs: new Set() });
  Object.assign(log, { payloads: new Map(), credentials: new Map() });
  for (const [index, entry] of entries) {
    if (marks.has(index)) continue;
    try {
      const record = { ...parseEnvelope(entry), index, sha256: base64url(sha256(entry)) };
      // A certificate needs nobody's word: it leads to a root or it does not.
      const chain = (record.value.details?.svid_chain ?? []).map(parseCertificate);
      if (chain.length > 0) log.chains.set(base64url(sha256(chain[0].raw)), chain);
      record.signer = verifySigner(record, log);
      record.isRepeated = isRepeated(record, log);
      log.records.set(index, record);
      if (record.isRepeated) continue;
      if (record.kind === "presented-intent") record.token = requirePresented(record.value, log);
      const { allow, kind } = record.value;
      if (record.kind === "control" && allow && Object.hasOwn(COLLECTORS, kind))
        COLLECTORS[kind](record, log);
    } catch (error) {
      throw new Error(`entry ${index}: ${error.message}`);
    }
  }
  return log;
}

/**
 * Whether a record is there already: the same payload by the same signer about the same intent, however its signature is spelled.
 * Another payload in its place contradicts it.
 */
function isRepeated({ kind, value, keyid, raw, sha256: digest }, { payloads, credentials }) {
  const of =
    kind === "intent" ? value.agent.svid_sha256 : kind === "presented-intent" ? value.token.jkt : null;
  if (of !== null && !credentials.has(digest)) credentials.set(digest, of);
  const credential = of ?? credentials.get(value.intent_sha256) ?? "-";
  const key = [kind, keyid, credential, value.event_id].join(" ");
  const [payload, known] = [base64url(sha256(raw)), payloads.get(key)];
  need(known === undefined || known === payload, "another record of the same event by the same signer");
  payloads.set(key, payload);
  return known !== undefined;
}

const KINDS = ["intent", "presented-intent", "decision", "outcome", "control"];
function verifySigner(record, log) {
  const { kind, value, keyid } = record;
  need(KINDS.includes(kind), `a ${kind} is no record`);
  const signer = verifySvid(keyid, log, value.time);
  need(isSignedBy(signer.key, record), "the signature is bad");
  const isServer = isServerId(signer.id) && !signer.isForeign;
  need(isServer || kind === "intent" || kind === "outcome", `a ${kind} that no server signed`);
  const isOwn =
    kind !== "intent" || (signer.id === value.agent.spiffe_id && keyid === value.agent.svid_sha256);
  need(isOwn, "the intent names another agent than signed it");
  return signer;
}

/** What each kind of allowed event says that later records stand on. */
const COLLECTORS = {
  owner({ value: { subject, details } }, log) {
    if (!details.spki) return;
    need(!log.owners.has(subject), "an owner registered twice");
    collectKey(subject, details, log);
    if (details.person) collectPerson(details.person, details, log);
  },
  person({ value: { subject, chain, details } }, log) {
    if (chain.length > 0) collectPerson(chain[0].replace("owner:", ""), details, log);
    // People confirm in their own name, whether they are owners or not.
    collectPerson(subject, details, log);
  },
  confirmation: ({ value }, log) => collectConfirmation(value, log),
  revoke: ({ index, value: { subject, epoch, time } }, { revocations }) =>
    revocations.push({ subject, epoch, time, index }),
  transfer: collectTransfer,
  approval(record, log) {
    const { value } = record;
    if (value.details.change === "approve") collectApproval(record, log);
    if (value.details.change === "use") collectUse(value, log);
  },
  token: ({ index, value }, log) => collectToken(value, index, log),
  wit: ({ index, value }, log) => collectToken(value, index, log),
  narrow: ({ value: { subject, details, epoch } }, log) =>
    addTo(log.narrowed, subject, { scope: details.scope, epoch }),
  node: ({ value }, log) => collectNode(value, log),
  entry: ({ value: { subject, details } }, log) => collectEntry(subject, details, log),
  admin({ index, value: { details } }, { erased }) {
    const { change, event_id: id } = details;
    if (change === "erasure" && !erased.has(id)) erased.set(id, index);
  },
  federation({ value: { details } }, log) {
    const { trust_domain: domain, x509_authorities: authorities, change } = details;
    if (!authorities && change !== "removal") return;
    const isOwn = log.roots.some((root) => uriOf(root) === `spiffe://${domain}`);
    need(!isOwn, "a federation with our own trust domain");
    log.foreign.set(domain, (authorities ?? []).map(parseCertificate));
  },
  issue({ index, value: { details, subject, epoch, time, chain } }, log) {
    const issue = { ...details, subject, epoch, time, chain, index };
    issue.delegation = verifyIssue(issue, log);
    requireHolder(issue, log);
    addTo(log.issues, subject, issue);
  },
};

/** An owner's key is a file's, or it is the passkeys of a person; one that was recovered has others from then on. */
function collectKey(owner, { spki, credential_id: credential, rp_id: rpId }, { owners }) {
  const bytes = parseBase64(spki);
  const key = createPublicKey({ key: bytes, format: "der", type: "spki" });
  const keys = owners.get(owner) ?? { passkeys: new Map() };
  owners.set(owner, keys);
  if (credential === undefined) keys.ofFile = key;
  else keys.passkeys.set(base64url(sha256(bytes)), { key, rpId, credential });
}

function collectPerson(owner, details, log) {
  const { change, spki, credential_id: credential } = details;
  const passkeys = log.owners.get(owner)?.passkeys ?? new Map();
  if (change === "recover" || change === "end") passkeys.clear();
  // What a person comes with is never a file's key.
  if (spki) collectKey(owner, { credential_id: null, ...details }, log);
  else for (const [id, known] of passkeys) if (known.credential === credential) passkeys.delete(id);
}

/** Whether a document is signed by its owner: by a file's key plainly, by a passkey as an assertion. */
function isOwners(owner, document, { owners }) {
  const keys = owners.get(owner) ?? refuse("a document of an owner whose key is not here");
  if (document.webauthn === undefined) return keys.ofFile !== undefined && isSignedBy(keys.ofFile, document);
  const passkey = keys.passkeys.get(document.keyid);
  return passkey !== undefined && isAsserted(passkey, document);
}

/** Whether an envelope says by which of the owner's keys it is signed; a passkey is found by that. */
function isNamedKey(owner, { keyid, webauthn }, { owners }) {
  if (webauthn !== undefined) return true;
  return keyid === base64url(sha256(owners.get(owner).ofFile.export({ format: "der", type: "spki" })));
}

/** One asks, another confirms by a passkey exactly what was asked, and the asker does it, once. */
function collectConfirmation({ subject: id, principal, details }, log) {
  const { change, asked_by: asker, answered_by: person, digest } = details;
  const asked = log.confirmations.get(id);
  if (change === "ask") {
    need(asked === undefined && asker === principal, "a confirmation asked twice, or in another's name");
    log.confirmations.set(id, { asker, digest, by: undefined, isEnded: false });
    return;
  }
  need(asked?.isEnded === false, "a confirmation that nobody asked for, or that was used");
  need(asked.asker === asker && asked.digest === digest, "a confirmation of another request");
  if (change === "confirm") {
    const isOther = principal === `person:${person}` && principal !== asker && asked.by === undefined;
    need(isOther && isConfirmed(id, details, log), "a confirmation that no second person signed");
    asked.by = person;
    return;
  }
  need(change === "refuse" || change === "use", "an unknown change of a confirmation");
  const isUse = asked.by !== undefined && asked.by === person && principal === asker;
  need(change === "refuse" || isUse, "used without the word of a second one");
  // It stays known: asked anew under the same id, its one signature would serve again.
  asked.isEnded = true;
}

function isConfirmed(id, details, log) {
  const { asked_by, answered_by, digest, credential_id } = details;
  const known = [...(log.owners.get(answered_by)?.passkeys.values() ?? [])];
  const passkey = known.find(({ credential }) => credential === credential_id);
  if (passkey === undefined) return false;
  const [device, browser, sig] = [
    details.authenticator_data,
    details.client_data_json,
    details.signature,
  ].map(unbase64url);
  const isGood = (signed) => verify("sha256", signed, { key: passkey.key, dsaEncoding: "der" }, sig);
  const lines = ["trustwarden-confirmation-v1", id, asked_by, digest];
  return isAsserting(passkey, Buffer.from(lines.join("\n")), { device, browser, isGood });
}

function addTo(map, key, value) {
  map.set(key, [...(map.get(key) ?? []), value]);
}

const QUESTION = ["id", "intent_sha256", "owner", "agent", "action", "resource", "audience", "parameters"];
const APPROVAL = ["v", "aud", "answer", "iat", "exp", "policy_sha256", ...QUESTION].sort();

/** An answer that its owner signed, here and in time: yes to one question. */
function collectApproval({ signer, value: { subject, time, details } }, log) {
  const text = details.approval;
  const document = parseEnvelope(Buffer.from(text));
  const { v, aud, id, owner, answer, iat, exp, policy_sha256: policy, ...question } = document.value;
  const isForm = document.kind === "approval" && v === 1 && exp - iat <= 900;
  need(isForm && String(Object.keys(document.value).sort()) === String(APPROVAL), "an approval's form");
  const texts = [aud, id, owner, policy, ...Object.values(question)];
  need(
    texts.every((one) => typeof one === "string"),
    "an approval's form",
  );
  need(id === subject && answer === "approve", "an approval under another id, or a no");
  need(aud === signer.id.split("/", 3).join("/"), "an approval in another trust domain");
  const isOwn = isOwners(owner, document, log) && isNamedKey(owner, document, log);
  need(isOwn, "its approval is not the owner's");
  need(isCurrent({ iat, exp }, time, 0), "an approval that had expired, or of later");
  log.approvals.set(subject, { text, ...document.value });
}

/** The time of the use counts: the decision is written after it, and may be written late. */
function collectUse({ subject, time, details }, { approvals, approvalUses }) {
  const given = approvals.get(subject) ?? refuse("a use of an approval that nobody gave");
  need(details.envelope_sha256 === base64url(sha256(given.text)), "a use of another approval");
  need(typeof details.used_by === "string" && !approvalUses.has(subject), "an approval that was used before");
  need(Date.parse(time) < given.exp * 1000, "an approval that had expired");
  approvalUses.set(subject, details.used_by);
}

/** The last issue of a name before an entry: a workload of elsewhere may be registered anew when it had ended. */
const issueOf = (spiffeId, { issues }, before) =>
  issues.get(spiffeId)?.findLast(({ index }) => index < before);

/** A node under its own name, which held its key when it came. */
function collectNode({ subject, time, details }, log) {
  const [, , , area, kind, name] = subject.split("/");
  need(area === "trustwarden" && kind === "node" && name === details.name, "a node under another name");
  requireHeld({ subject, time, ...details }, details.evidence_sha256, log);
  log.nodes.set(subject, name);
}

/** A registered entry is its owner's before any instance of it. */
function collectEntry(subject, { change, entry_kind: kind, entry }, log) {
  if (change === "remove") log.removed.add(subject);
  if (change !== "create" || kind !== "agent") return;
  const document = parseEnvelope(Buffer.from(entry));
  const { jti, owner } = document.value;
  need(document.kind === "entry" && subject === `ent_${jti}`, "an entry under another id");
  need(document.webauthn === undefined && isOwners(owner, document, log), "the owner did not sign its entry");
}

/** Who has had an agent, from which epoch on; known from its first event here, which need not be its birth. */
function holdersOf(agent, owner, { holders }) {
  if (!holders.has(agent)) holders.set(agent, [{ since: -1, owner }]);
  return holders.get(agent);
}

/** An agent goes to another owner by one document that both have signed, once. */
function collectTransfer({ value: { subject, chain, details, epoch, time }, index, signer }, log) {
  const trustDomain = signer.id.split("/", 3).join("/");
  const at = Date.parse(time) / 1000;
  const signed = (text, side) => {
    const document = parseEnvelope(Buffer.from(text));
    const { kind, value } = document;
    const isNamed = kind === "transfer" && value.agent === subject && value.from === details.from;
    need(isNamed && canonical(chain) === canonical([`owner:${value.from}`, subject]), "another transfer");
    need(value.to !== value.from && value.to === details.owner, "a transfer to another owner");
    need(value.aud === trustDomain, "a transfer in another trust domain");
    need(value.exp - value.iat <= 3600 && at < value.exp, "a transfer that expired");
    need(value.iat < value.exp && Math.floor(at) >= value.iat - 30, "a transfer of later");
    need(isOwners(value[side], document, log), "an owner did not sign the transfer");
    return document;
  };
  const offer = signed(details.offer, "from");
  if (details.change === "offer") return;
  const { raw, value } = signed(details.acceptance, "to");
  const digest = base64url(sha256(raw));
  need(details.change === "accept" && raw.equals(offer.raw), "two owners signed different transfers");
  need(!log.transfers.has(digest), "a transfer that was used before");
  log.transfers.add(digest);
  const holders = holdersOf(subject, value.from, log);
  const last = holders.at(-1);
  need(last.owner === value.from && epoch > last.since, "a transfer by who did not have the agent");
  holders.push({ since: epoch, owner: value.to });
  log.revocations.push({ subject, epoch, time, index, to: value.to });
}

function requireHolder({ chain, epoch }, log) {
  if (chain.length < 2) return;
  const owner = chain[0].replace("owner:", "");
  const holder = holdersOf(chain[1], owner, log).findLast(({ since }) => since <= epoch);
  need(holder?.owner === owner, "an agent of another owner");
}

// ---- 7. Who let each instance be: a document of its owner or parent, and a proof of the new key ----
function verifyIssue(issue, log) {
  const document = parseEnvelope(Buffer.from(issue.enrolment));
  const { owner, parent, scope, spiffe_id: registered } = document.value;
  requireTimely(issue, document, log);
  if (issue.via !== "foreign") requireKeyNamed(document, requirePossession(issue, log));
  if (issue.via !== "foreign") requireNamed(issue, document);
  if (isService(document)) {
    const { id, key } = verifySvid(document.keyid, log, issue.time);
    need(
      document.kind === "ticket" && issue.via !== "foreign" && isServerId(id) && isSignedBy(key, document),
      "a service's ticket that no server signed",
    );
    return { by: id, what: "ticket", scope: [] };
  }
  need(canonical(scope) === canonical(issue.scope), "another scope than was signed");
  if (document.kind === "grant") return requireParent(issue, document, log);
  const what = { entry: "entry", foreign: "registration" }[issue.via] ?? "ticket";
  need(document.kind === (what === "ticket" ? "ticket" : "entry"), "another document than the event says");
  need(what !== "registration" || registered === issue.subject, "a registration of another workload");
  const isForm = what === "ticket" || document.webauthn === undefined;
  need(isForm && isOwners(owner, document, log), "the owner did not sign it");
  need(issue.chain.length === 2 && issue.chain[0] === `owner:${owner}`, "a document of another owner");
  if (what === "entry") requireEntry(issue, document.value, log);
  need(parent === undefined || what !== "ticket", "a ticket that names a parent");
  return { by: owner, what, scope, how: document.webauthn ? " by a passkey, the user verified," : "" };
}

const isService = ({ value: { kind } }) => kind === "verifier" || kind === "relay";

/** Whoever signed a document let somebody be of one trust domain, path and name, and no other. */
function requireNamed({ subject }, document) {
  const { kind, aud, path, name } = document.value;
  const parts = [aud, isService(document) ? `trustwarden/${kind}` : path, name];
  const place = parts.filter((part) => part !== "").join("/");
  need(subject.split("/").slice(0, -1).join("/") === place, "another name than was signed");
}

/** Clocks differ, and an event is written a moment after its document was looked at. Seconds. */
const SKEW = 30;

/** Whether a document says from when until when it is good, and a time is between. */
function isCurrent({ iat, exp }, time, late) {
  const at = Math.floor(Date.parse(time) / 1000);
  return Number.isFinite(iat) && Number.isFinite(exp) && iat < exp && iat <= at + SKEW && at < exp + late;
}

/** What was signed is in force, was not used before, and is of after every revocation of those whom it lets be. */
function requireTimely({ subject, chain, epoch, time, via }, { raw, value }, log) {
  need(isCurrent(value, time, SKEW), "a document that had expired, or of later");
  if (via === "foreign") return;
  const names = namesOf(subject, chain);
  const isBefore = (one) =>
    names.includes(one.subject) && one.epoch <= epoch && value.iat <= Math.floor(Date.parse(one.time) / 1000);
  need(!log.revocations.some(isBefore), "a document of before a revocation");
  if (via === "entry") return;
  const digest = base64url(sha256(raw));
  need(!log.used.has(digest), "a ticket or grant that was used before");
  log.used.add(digest);
}

/** An instance of an entry: the one that was signed, in force, for what was attested, at a node that it names. */
function requireEntry({ subject, time, entry_id: id, attested }, entry, log) {
  need(id === `ent_${entry.jti}`, "another entry than was signed");
  need(!log.removed.has(id), "an entry that had been removed");
  need(isCurrent(entry, time, 0), "an entry that had expired");
  const known = attested?.selectors ?? refuse("nothing was attested");
  need(
    entry.selectors.every((one) => known.includes(one)),
    "a selector that nobody attested",
  );
  if (attested.type !== "node") return;
  const name = log.nodes.get(attested.node) ?? refuse(`${subject}: a node that nobody admitted`);
  need(entry.nodes.includes("*") || entry.nodes.includes(name), "a node that the entry does not name");
  const claimed = [...new Set(known)].filter((one) => one.startsWith("node:"));
  need(String(claimed) === `node:${name}`, "a selector of another node");
}

const WORD = "(?:\\*|[a-z][a-z0-9_-]*)";
const SEGMENT = "(?:\\*|(?!\\.{1,2}(?:/|$))[A-Za-z0-9_.-]+)";
const ATOM = new RegExp(`^${WORD}:${WORD}(?::(?:\\*\\*|${SEGMENT}(?:/${SEGMENT})*(?:(?<!\\*)/\\*\\*)?))?$`);

/** Words of a permission `verb:type[:path]`; no path means everything below. */
function wordsOf(atom) {
  need(typeof atom === "string" && atom.length <= 256 && ATOM.test(atom), "a permission's form");
  const [verb, type, path = "**"] = atom.split(":");
  return [verb, type, ...path.split("/")];
}

/** `*` stands for one word, `**` at the end for any number of them. */
function isCovering(parent, child) {
  const [above, below] = [wordsOf(parent), wordsOf(child)];
  const open = above.indexOf("**");
  const count = open < 0 ? above.length : open;
  const isFit = open < 0 ? below.length === count : below.length >= count;
  return (
    isFit &&
    above.slice(0, count).every((word, at) => below[at] !== "**" && (word === "*" || word === below[at]))
  );
}

/** Each permission of a child is one of its parent's. */
function isWithin(scope, parents) {
  need(Array.isArray(scope) && Array.isArray(parents) && scope.length <= 64, "a scope's form");
  for (const atom of parents) wordsOf(atom);
  return scope.every((atom) => wordsOf(atom) && parents.some((parent) => isCovering(parent, atom)));
}

function requireParent(issue, document, log) {
  const { parent, svid_sha256, scope } = document.value;
  const { id, key } = verifySvid(svid_sha256, log, issue.time);
  const above = issueOf(parent, log, issue.index) ?? refuse("the issue event of the parent is not here");
  need(id === parent && isSignedBy(key, document), "the parent did not sign it");
  need(canonical(above.chain) === canonical(issue.chain.slice(0, -1)), "a grant of another parent");
  const names = namesOf(parent, above.chain);
  const isDead = (one) => names.includes(one.subject) && one.epoch > above.epoch && one.epoch <= issue.epoch;
  need(!log.revocations.some(isDead), "a grant of a parent that was revoked");
  const narrowed = (log.narrowed.get(parent) ?? []).filter((one) => one.epoch <= issue.epoch);
  for (const one of [above, ...narrowed])
    need(isWithin(issue.scope, one.scope), "a grant of more than the parent had");
  return { by: parent, what: "grant", scope };
}

function requirePossession(issue, log) {
  const { enrolment, attested } = issue;
  const isEvidence = attested && attested.type !== "node";
  return requireHeld(issue, isEvidence ? attested.evidence_sha256 : base64url(sha256(enrolment)), log);
}

/** The new key signed for this very document or evidence. */
function requireHeld({ subject, possession, svid_sha256, time }, bound, log) {
  const proof = parseEnvelope(Buffer.from(possession));
  const { id, key } = verifySvid(svid_sha256, log, time);
  need(typeof bound === "string", "nothing that its key signed for");
  const isBound = id === subject && proof.kind === "possession" && proof.value.enrolment_sha256 === bound;
  need(isBound && isSignedBy(key, proof), `${subject} did not prove that it holds its key`);
  return key;
}

/** A document that names the key which may use it lets in no other. */
function requireKeyNamed({ value: { child_thumbprint, holder_thumbprint } }, key) {
  const named = child_thumbprint ?? holder_thumbprint;
  need(named === undefined || named === thumbprintOf(key), "a document for another key");
}

/** RFC 7638, of a P-256 key. */
function thumbprintOf(key) {
  const { x, y } = key.export({ format: "jwk" });
  return base64url(sha256(`{"crv":"P-256","kty":"EC","x":"${x}","y":"${y}"}`));
}

// ---- 8. What an agent presents instead of an intent: a token, and a proof that it holds the token's key ----
function collectToken({ kind, subject, details, time }, index, log) {
  const { change, jti, client_id: client, cnf, confirmation_thumbprint: jkt, expires_at: end } = details;
  if (kind === "wit") log.tokens.set(jti, { isWit: true, client: subject, jkt, end, index });
  else if (change === "revoke") log.endedTokens.set(jti, Date.parse(time) / 1000);
  else if (change === "issue") log.tokens.set(jti, { isWit: false, client, jkt: cnf?.jkt, end, index });
}

/** The proof is by the token's key and of the record's time, and the ledger says that the token is this agent's. */
function requirePresented({ token, proof, wit_key: witKey, agent, time }, log) {
  const isWit = witKey !== undefined;
  const { claims, jkt } = verifyProof(proof, { typ: isWit ? "wpt+jwt" : "dpop+jwt", jwk: witKey });
  const at = Date.parse(time) / 1000;
  // A DPoP proof says when it was made; a workload proof when it ends, a minute later.
  const apart = isWit ? claims.exp - at : at - claims.iat;
  const isTimely = isWit ? apart >= -30 && apart <= 90 : Math.abs(apart) <= 90;
  const shown = isWit ? claims.wth : claims.ath;
  need(jkt === token.jkt, "its proof is by another key");
  need(isTimely && /^[A-Za-z0-9_-]{43}$/.test(shown), "its proof is of another time, or shows no token");
  const name = `${jkt} ${claims.jti}`;
  need(typeof claims.jti === "string" && !log.proofs.has(name), "its proof was used before");
  log.proofs.add(name);
  const issued = log.tokens.get(token.jti) ?? refuse("its token was never issued");
  need(issued.isWit === isWit && issued.client === agent.spiffe_id, "its token was issued to another");
  need(issued.jkt === jkt && at < issued.end, "its token is bound to another key, or had expired");
  need(!(at > log.endedTokens.get(token.jti) + 1), "its token was revoked");
  return issued;
}

const unbase64url = (text) => {
  const bytes = Buffer.from(text, "base64url");
  return base64url(bytes) === text ? bytes : refuse("base64url is not canonical");
};

/** A compact JWS by ES256. @param jwk its key; undefined for one that carries its own. */
function verifyProof(text, { typ, jwk }) {
  const [head, body, sig, ...rest] = text.split(".").map(String);
  need(sig !== undefined && rest.length === 0, "its proof is no compact JWS");
  const header = JSON.parse(utf8(unbase64url(head)));
  const isForm = header.alg === "ES256" && header.typ === typ && Object.keys(header).length === (jwk ? 2 : 3);
  const { kty, crv, x, y, d } = jwk ?? header.jwk ?? {};
  need(isForm && kty === "EC" && crv === "P-256" && d === undefined, "its proof has another form");
  const key = createPublicKey({ key: { kty, crv, x, y }, format: "jwk" });
  const input = Buffer.from(`${head}.${body}`);
  const isGood = verify("sha256", input, { key, dsaEncoding: "ieee-p1363" }, unbase64url(sig));
  need(isGood, "its proof's signature is bad");
  return { claims: JSON.parse(utf8(unbase64url(body))), jkt: thumbprintOf(key) };
}

// ---- 9. Events: the records of each tell one story ----
const groupOf = (record) =>
  isIntent(record) ? record.sha256 : (record.value.intent_sha256 ?? `control:${record.sha256}`);

/** Of a range nothing is hidden: whatever begins an event in it, as far as the bundle goes, is shown. */
function requireShown({ list, manifest: { range } }, groups) {
  const shown = new Set(list.events.map(({ indexes }) => indexes[0]));
  for (const [first] of groups.values()) {
    const { index } = first;
    const isInRange = range !== null && index >= range.start && index < range.end;
    const isBegin = isIntent(first) || first.kind === "control";
    need(
      !isInRange || !isBegin || shown.has(index),
      `entry ${index}: of the range, and in no event of events.json`,
    );
  }
}

function joinEvents({ list, manifest }, log, missing) {
  const groups = new Map();
  for (const record of log.records.values()) {
    const group = groups.get(groupOf(record)) ?? [];
    groups.set(groupOf(record), [...group, record]);
  }
  const events = [...groups.values()].map((records) => joinRecords(records, log, missing));
  requireShown({ list, manifest }, groups);
  return list.events.map(({ event_id, indexes }) => {
    const first = log.records.get(indexes[0]) ?? refuse("an event without records");
    const records = groups.get(groupOf(first));
    const isWhole =
      first.value.event_id === event_id && String(records.map((one) => one.index)) === String(indexes);
    need(isWhole, `${event_id}: its records are not those that events.json names`);
    return events.find((event) => event.records === records);
  });
}

function joinRecords(records, log, missing) {
  const event = { records };
  for (const record of records) {
    const part = isIntent(record) ? "intent" : record.kind;
    if (record.isRepeated) {
      missing.push(`entry ${record.index}: this record is in the log already`);
      continue;
    }
    const isFirst = event[part] === undefined || event.intent === undefined;
    need(isFirst, `entry ${record.index}: a second ${part} of one event`);
    event[part] = record;
  }
  if (event.intent !== undefined) checkAction(event, log, missing);
  else
    for (const { kind, index, isRepeated } of records)
      if (kind !== "control" && !isRepeated)
        missing.push(`entry ${index}: a ${kind} whose intent is not here`);
  return event;
}

function checkAction(event, log, missing) {
  const { records, intent, decision, outcome, control } = event;
  for (const record of records)
    need(record.value.event_id === intent.value.event_id, `entry ${record.index}: another event`);
  const decided = decision ?? control;
  if (decided === undefined) missing.push(`entry ${intent.index}: nobody decided about this intent`);
  else need(decided.index === intent.index + 1, `entry ${decided.index}: its intent is not the entry before`);
  if (decision) checkDecision(decision, intent, log, missing);
  if (outcome) checkOutcome(event);
  else if (decision?.value.allow)
    missing.push(`entry ${decision.index}: allowed, but how it ended is not recorded`);
}

const namesOf = (spiffeId, chain) => [
  ...chain.map((link) => link.replace("owner:", "")),
  spiffeId,
  spiffeId.split("/").at(-1),
];

function checkDecision({ value, index }, intent, log, missing) {
  const { agent } = intent.value;
  need(log.issues.has(agent.spiffe_id), `entry ${index}: the agent's issue event is not here`);
  const issue = issueOf(agent.spiffe_id, log, intent.index);
  need(issue !== undefined, `entry ${index}: decided about an agent that was not issued yet`);
  const isOwn = value.chain.at(-1) === agent.id && canonical(value.chain) === canonical(issue.chain);
  need(isOwn, `entry ${index}: decided about another chain than was issued`);
  const names = namesOf(agent.spiffe_id, value.chain);
  const isDead = ({ subject, epoch }) =>
    names.includes(subject) && epoch > issue.epoch && epoch <= value.lease_epoch;
  if (value.allow && log.revocations.some(isDead))
    missing.push(`entry ${index}: allowed although it was revoked`);
  if (value.approval !== null) checkApproval(value, intent, index, log);
  if (intent.kind !== "presented-intent") return;
  const isSigned = intent.value.signature !== null || (value.class === "C" && !intent.token.isWit);
  need(isSigned || !value.allow, `entry ${index}: allowed, but nobody had signed its body`);
}

function checkApproval({ approval, chain, allow, policy }, intent, index, log) {
  const given = log.approvals.get(approval.id) ?? refuse(`entry ${index}: its approval is not here`);
  const { agent, action, resource, aud, event_id: id } = intent.value;
  const isOwn = given.owner === approval.owner && chain[0] === `owner:${approval.owner}`;
  const isSame = base64url(sha256(given.text)) === approval.envelope_sha256;
  need(isOwn && isSame, `entry ${index}: its approval is not the owner's`);
  const isThis =
    given.agent === agent.spiffe_id &&
    given.action === action &&
    given.resource === resource &&
    given.audience === aud &&
    given.policy_sha256 === policy.bundle_sha256;
  need(isThis && allow, `entry ${index}: an approval of something else`);
  const isUsed = log.approvalUses.get(approval.id) === id && !log.approvalsUsed.has(approval.id);
  need(isUsed, `entry ${index}: an approval that was not used up for this, or twice`);
  log.approvalsUsed.add(approval.id);
}

function checkOutcome({ intent, decision, outcome }) {
  const place = `entry ${outcome.index}`;
  need(decision?.value.allow, `${place}: an outcome of what was not allowed`);
  const enforcer = decision.value.enforcement === "self" ? intent.value.agent.spiffe_id : intent.value.aud;
  need(outcome.signer.id === enforcer, `${place}: the outcome is not the enforcement point's`);
  need(outcome.value.decision_index === decision.index, `${place}: the outcome of another decision`);
}

/** What the selection promises to be whole: each instance's own count of its intents. */
function countGaps({ manifest, list }, { records }, missing) {
  const { kind, since } = manifest.selection;
  if (kind === "event" || kind === "job") return;
  const counts = new Map();
  const chosen = list.events.flatMap(({ indexes }) => indexes.map((index) => records.get(index)));
  for (const { value, raw } of chosen.filter((record) => record.kind === "intent")) {
    const id = value.agent.spiffe_id;
    if (id.split("/")[2] !== manifest.trust_domain) continue;
    const count = { seq: value.seq, prev: value.prev, own: base64url(sha256(raw)) };
    counts.set(id, [...(counts.get(id) ?? []), count]);
  }
  const before = kind === "agent" && since === null ? { seq: 0, own: null } : undefined;
  for (const [id, intents] of counts) countOne(id, intents, { before, missing });
}

function countOne(id, intents, { before, missing }) {
  let last = before;
  for (const intent of intents.sort((left, right) => left.seq - right.seq)) {
    if (last && intent.seq !== last.seq + 1) missing.push(`${id}: seq ${intent.seq} follows ${last.seq}`);
    else if (last && intent.prev !== last.own)
      missing.push(`${id}: seq ${intent.seq} names another intent before it`);
    last = intent;
  }
}

// ---- 10. Payloads: what was asked and answered, as intent and outcome commit to it ----
const commit = (salt, value) => base64url(createHmac("sha256", salt).update(canonical(value)).digest());

/** By event id: what is shown, or the entry of its erasure. */
function readPayloads({ files, list }, { records, erased }) {
  const states = new Map([...erased].map(([id, index]) => [id, { erased: index }]));
  for (const [path, content] of files) {
    if (!path.startsWith("payloads/")) continue;
    const [, id] = /^payloads\/([0-9a-f-]{36})\.json$/.exec(path) ?? refuse(`${path} is no payload's`);
    need(!states.has(id), `${path}: was erased`);
    const { method, target, ...rest } = parseCanonical(content);
    const [request, salt] = [unbase64url(rest.request), unbase64url(rest.salt)];
    const answer = rest.answer === null ? null : unbase64url(rest.answer);
    need(Object.keys(rest).length === 3 && salt.length === 32, `${path}: its form`);
    const asked = commit(salt, { body_sha256: base64url(sha256(request)), method, target });
    const answered = answer && commit(salt, { answer_sha256: base64url(sha256(answer)) });
    const isCommitted = ({ event_id, indexes }) => {
      const own = indexes.map((index) => records.get(index));
      const intent = own.find(({ kind }) => kind === "intent");
      const outcome = own.find(({ kind }) => kind === "outcome");
      const isAnswer = answer === null || outcome?.value.result === answered;
      return event_id === id && intent?.value.request === asked && isAnswer;
    };
    need(list.events.some(isCommitted), `${path}: is not what the log commits to`);
    states.set(id, { method, target, request, answer });
  }
  return states;
}

function payloadLines(state) {
  if (state === undefined) return [];
  if (state.erased !== undefined) return [`  payload: erased (entry ${state.erased})`];
  const { method, target, request, answer } = state;
  const what = answer === null ? "no answer that the log commits to" : `answer of ${answer.length} bytes`;
  return [
    `  payload: ${method} ${target}, request of ${request.length} bytes, ${what}; as the log commits to it`,
  ];
}

// ---- 11. The answers ----
/** Who let an agent be, up to the owner; each before the one that it let be. */
function delegationsOf(spiffeId, log, before) {
  const issue = issueOf(spiffeId, log, before);
  if (issue === undefined) return [];
  const { by, what, scope, how = "" } = issue.delegation;
  const line = `${by} signed${how} the ${what} of ${spiffeId} for ${scope.join(" ") || "nothing"} (entry ${issue.index})`;
  return [...(what === "grant" ? delegationsOf(by, log, issue.index) : []), line];
}

function outcomeOf({ decided, control, outcome }) {
  if (outcome) return outcome.value.status;
  if (!decided?.value.allow) return decided ? "denied" : "nobody decided";
  return control ? "done" : "not recorded";
}

function answer({ records, intent, decision, control, outcome }, log, payloads) {
  const { event_id } = records[0].value;
  const about =
    intent?.value.agent.spiffe_id ?? control?.value.details.spiffe_id ?? control?.value.subject ?? "nobody";
  const decided = decision ?? control;
  const chain = decided?.value.chain ?? [];
  const names = namesOf(about, chain);
  const policy = decision?.value.policy;
  const by = policy ? `policy ${policy.name} @ ${policy.bundle_sha256}` : decided?.value.principal;
  const verdict = decided?.value.allow ? "allowed" : `denied (${decided?.value.reasons.join(", ")})`;
  const did = intent
    ? `${intent.value.action} on ${intent.value.resource}`
    : `${control?.value.kind} of ${control?.value.subject}`;
  const stops = log.revocations.filter(({ subject }) => names.includes(subject));
  const isAgents = about.startsWith("spiffe://");
  const until = (decided ?? records[0]).index + 1;
  return [
    `event ${event_id}`,
    `  which agent: ${chain.at(-1) ?? "none"}, ${about}`,
    `  did: ${did} at ${records[0].value.time}; outcome: ${outcomeOf({ decided, control, outcome })}`,
    ...(intent?.kind === "presented-intent" ? presentedLines(intent) : []),
    ...delegationsOf(about, log, until).map((line) => `  who authorized it: ${line}`),
    ...(decided
      ? [`  who authorized it: ${verdict} by ${by}, signed by ${decided.signer.id} (entry ${decided.index})`]
      : []),
    ...(decided && !decided.value.allow ? [`  what stopped it: ${decided.value.reasons.join(", ")}`] : []),
    ...stops.map(
      ({ subject, epoch, time, to }) =>
        `  what stopped it: ${subject} was ${to ? `given to ${to}` : "revoked"} at epoch ${epoch}, ${time}`,
    ),
    ...(isAgents && stops.length === 0
      ? [`  what stops it: revoking ${names.at(-1)} or any of ${chain.join(", ")}`]
      : []),
    ...payloadLines(intent && payloads.get(event_id)),
  ];
}

/** The message signature's base holds the token and the query, so the log keeps its digest only. */
function presentedLines({ value, token }) {
  const what = token.isWit ? "WIT-SVID" : "access token";
  const lines = [
    `  proof: a key holder's, for the ${what} that was issued to this agent (entry ${token.index})`,
  ];
  if (value.signature) lines.push("  not checked here: the message signature, of which the log has a digest");
  return lines;
}

// ---- Main ----
function headLines({ origin, size, root, signed }) {
  const witnesses = [...signed].map(
    ([name, time]) => `witness: ${name} at ${new Date(time * 1000).toISOString()}`,
  );
  return [
    `log: ${origin}, size ${size}, root ${root}, signed by its key`,
    ...(witnesses.length > 0 ? witnesses : ["witness: none of yours; the log is unwitnessed here"]),
  ];
}

function growthLines(earlier, isYours) {
  if (earlier === undefined) return [];
  const what = `earlier: not rewritten since ${earlier.origin} had ${earlier.size} entries and root ${earlier.root}`;
  return [isYours ? `${what}, as you hold it` : `${what}; compare it with what you hold`];
}

function check(path, { vkey, policy: policyFile, bundle: bundleFile, root, since: sinceFile }) {
  const policy = parsePolicy(policyFile ? readFileSync(policyFile, "utf8") : `log ${vkey}\nquorum none\n`);
  const bundle = openBundle(readFileSync(path));
  const { manifest, envelope, list, entries, files, file } = bundle;
  const heads = readHeads(bundle, policy);
  need(manifest.log.vkey === policy.log.vkey, "the manifest names another log");
  requireInLog(bundle, heads);
  const marks = requireShardStarts(bundle, heads);
  const mine = sinceFile && readFileSync(sinceFile, "utf8");
  const earlier = readGrowth(bundle, heads, mine);
  const offered = rootsOf(bundleFile ? readFileSync(bundleFile, "utf8") : utf8(file("trust/bundle.json")));
  const wanted = (root ?? []).map((text) => text.replaceAll(":", "").toLowerCase());
  const roots = bundleFile ? offered : offered.filter((one) => wanted.includes(fingerprintOf(one)));
  need(roots.length > 0, "no trust root of the bundle is one of yours");
  const log = readRecords(entries, { roots, marks });
  const maker = verifySvid(envelope.keyid, log, manifest.time);
  need(isServerId(maker.id) && isSignedBy(maker.key, envelope), "the manifest is not signed by a server");
  // Whose agents' counts are judged is by its word, so it has to be the word of a server of yours about itself.
  const isOwn = !maker.isForeign && maker.id.split("/")[2] === manifest.trust_domain;
  need(isOwn, "the manifest is of another trust domain");
  const missing = mine && !earlier ? ["nothing leads from your checkpoint to this log"] : [];
  const events = joinEvents(bundle, log, missing);
  countGaps(bundle, log, missing);
  const policies = readPolicies(bundle);
  const payloads = readPayloads(bundle, log);
  const decisions = [...log.records.values()].filter((record) => record.kind === "decision");
  const named = [...new Set(decisions.map((record) => record.value.policy.bundle_sha256))];
  const held = named.filter((digest) => policies.has(digest)).length;
  const { kind, value, since, until } = manifest.selection;
  return {
    missing,
    lines: [
      `manifest: signed by ${maker.id} at ${manifest.time}, ${files.size} files, ${kind} ${value ?? ""}[${since ?? ""}, ${until ?? ""})`,
      ...heads.flatMap(headLines),
      ...growthLines(earlier, mine !== undefined),
      `entries: ${entries.size} in the log, ${log.records.size} signatures good, ${log.verified.size} certificate chains good at the time of each record`,
      manifest.range
        ? `complete: entries ${manifest.range.start} to ${manifest.range.end - 1}, none left out`
        : "complete: not claimed; single events were chosen",
      `policies: ${held} of ${named.length} that decided are here, code and data under their digests`,
      `events: ${list.events.length}`,
      ...events.flatMap((event) => answer(event, log, payloads)),
      ...manifest.withheld.map((text) => `withheld: ${text}`),
      ...missing.map((text) => `missing: ${text}`),
    ],
  };
}

function main() {
  const text = { type: "string" };
  const options = {
    vkey: text,
    policy: text,
    bundle: text,
    since: text,
    root: { type: "string", multiple: true },
  };
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  if (positionals.length !== 1 || !values.vkey === !values.policy || !values.bundle === !values.root) {
    console.error(
      "usage: verify.mjs <file.twb> (--vkey KEY | --policy FILE) (--bundle FILE | --root SHA256...) [--since FILE]",
    );
    return 2;
  }
  try {
    const { lines, missing } = check(positionals[0], values);
    for (const line of lines) console.log(printable(line));
    console.log(missing.length === 0 ? "VERIFIED" : "VERIFIED, WITH SOMETHING MISSING");
    return missing.length === 0 ? 0 : 3;
  } catch (error) {
    console.log(printable(`NOT VERIFIED: ${error.message}`));
    return 1;
  }
}

process.exitCode = main();
