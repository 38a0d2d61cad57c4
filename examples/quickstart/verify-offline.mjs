/**
 * Verifies an exported TrustWarden ledger with nothing but Node's own modules, and answers the three questions about
 * one event: which agent did this, who authorized it, how is it stopped.
 *
 *   node verify-offline.mjs <directory> --vkey <log key> --bundle <trust bundle file> [--event <event id>]
 *
 * Shares no code with the project: tree, notes, DSSE and certificate checks are written again from the specifications
 * (RFC 6962, C2SP signed-note and tlog-tiles, DSSE v1, X509-SVID). The log key and the trust bundle are what it
 * believes: get them from somebody else than whoever gave you the directory.
 *
 * Does not check path length, name constraints or revocation lists, and cannot know whether everybody is shown the
 * same log (compare the root). Exit code 0: all verified, 1: something did not, 2: wrong usage.
 */
import { createHash, createPublicKey, verify, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

const problems = [];
const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest();
const base64url = (bytes) => Buffer.from(bytes).toString("base64url");
const problem = (place, what) => problems.push(`${place}: ${what}`);
/** Text from the log cannot move the cursor or colour the verdict. */
const printable = (text) => text.replaceAll(/[^\x20-\x7e]/g, "?");
const refuse = (why) => need(false, why);
function need(condition, why) {
  if (!condition) throw new Error(why);
}

// ---- 1. The checkpoint: a note that the log's Ed25519 key signed (C2SP signed-note, tlog-checkpoint) ----
function parseVkey(vkey) {
  const [, name, id, base64] = /^([^\s+]+)\+([0-9a-f]{8})\+(.+)$/.exec(vkey) ?? refuse("malformed log key");
  const typed = Buffer.from(base64, "base64");
  need(typed.length === 33 && typed[0] === 1, "the log key is not Ed25519");
  need(sha256(`${name}\n`, typed).toString("hex", 0, 4) === id, "the log key does not match its id");
  const jwk = { kty: "OKP", crv: "Ed25519", x: base64url(typed.subarray(1)) };
  return { name, id, key: createPublicKey({ key: jwk, format: "jwk" }) };
}

function verifyCheckpoint(note, { name, id, key }) {
  const split = note.lastIndexOf("\n\n");
  const text = note.slice(0, split + 1);
  const ours = (note.slice(split + 2).match(/^.+$/gmu) ?? [])
    .filter((line) => line.startsWith(`\u2014 ${name} `))
    .map((line) => Buffer.from(line.slice(name.length + 3), "base64"))
    .filter((blob) => blob.toString("hex", 0, 4) === id);
  need(ours.length > 0, "the checkpoint is not signed by the log key");
  const isGood = (blob) => verify(null, Buffer.from(text), key, blob.subarray(4));
  need(ours.every(isGood), "the checkpoint's signature is bad");
  const [, origin, size, root] = /^([^\n]+)\n(0|[1-9]\d*)\n(.{44})\n$/.exec(text) ?? refuse("malformed text");
  need(origin === name, "the checkpoint is of another log");
  return { origin, size: Number(size), root };
}

// ---- 2. The tree: every entry, every hash tile (RFC 6962, C2SP tlog-tiles) ----
const leafHash = (entry) => sha256(Buffer.of(0), entry);

/** Merkle tree hash of hashes [from, to), split at the largest power of two below their number. */
function treeHash(hashes, from = 0, to = hashes.length) {
  if (to === from) return sha256("");
  if (to - from === 1) return hashes[from];
  let half = 1;
  while (half * 2 < to - from) half *= 2;
  return sha256(Buffer.of(1), treeHash(hashes, from, from + half), treeHash(hashes, from + half, to));
}

function tilePath(level, index, width) {
  const digits = String(index).padStart(Math.ceil(String(index).length / 3) * 3, "0");
  const groups = digits.match(/\d{3}/g).map((group, at, all) => (at < all.length - 1 ? `x${group}` : group));
  return `tile/${level}/${groups.join("/")}${width < 256 ? `.p/${width}` : ""}`;
}

function readEntries(directory, size) {
  const entries = [];
  for (let index = 0; index * 256 < size; index += 1) {
    const path = tilePath("entries", index, Math.min(256, size - index * 256));
    const bytes = readFileSync(join(directory, path));
    for (let at = 0, end = 0; at < bytes.length; at = end) {
      end = at + 2 + bytes.readUInt16BE(at);
      need(end <= bytes.length, `${path}: an entry is cut off`);
      entries.push(bytes.subarray(at + 2, end));
    }
    need(entries.length === Math.min(size, (index + 1) * 256), `${path} holds another number of entries`);
  }
  return entries;
}

/** Compares every stored hash tile with what the entries give; returns how many there are. */
function checkTiles(directory, leaves) {
  let tiles = 0;
  for (let level = 0, hashes = leaves; hashes.length > 0; level += 1) {
    const above = [];
    for (let index = 0; index * 256 < hashes.length; index += 1) {
      const own = hashes.slice(index * 256, index * 256 + 256);
      const path = tilePath(level, index, own.length);
      const isSame = readFileSync(join(directory, path)).equals(Buffer.concat(own));
      if (!isSame) problem(path, "is not what the entries give");
      if (own.length === 256) above.push(treeHash(own));
      tiles += 1;
    }
    hashes = above;
  }
  return tiles;
}

// ---- 3. Records: DSSE envelopes, and the certificates that the log itself carries ----
/** RFC 8785 text; only this spelling is accepted, so no key can be there twice. */
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const keys = Object.keys(value).sort();
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join(",")}}`;
}

function parseCanonical(bytes) {
  const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  const value = JSON.parse(text);
  return canonical(value) === text ? value : refuse("JSON is not canonical");
}

const PAYLOAD_TYPE = /^application\/vnd\.trustwarden\.([a-z-]+)\.v1\+json$/;
function parseEnvelope(bytes) {
  const { payload, payloadType, signatures } = parseCanonical(bytes);
  const [, kind] = PAYLOAD_TYPE.exec(payloadType) ?? refuse("unknown payload type");
  need(signatures.length === 1, "one signature expected");
  const [{ keyid, sig }] = signatures;
  const raw = Buffer.from(payload, "base64");
  return { kind, raw, payloadType, value: parseCanonical(raw), keyid, sig };
}

/** DSSE: the signature is over type and payload, each behind its length. */
function isSignedBy(key, { raw, payloadType, sig }) {
  const pae = Buffer.concat([Buffer.from(`DSSEv1 ${payloadType.length} ${payloadType} ${raw.length} `), raw]);
  const signature = Buffer.from(sig, "base64");
  return signature.length === 64 && verify("sha256", pae, { key, dsaEncoding: "ieee-p1363" }, signature);
}

function readRoots(file) {
  const { keys } = JSON.parse(readFileSync(file, "utf8"));
  return keys.filter(({ use }) => use === "x509-svid").map(({ x5c: [der] }) => parseCertificate(der));
}

const parseCertificate = (der) => new X509Certificate(Buffer.from(der, "base64"));
const isIssuedBy = (one, issuer) => one.checkIssued(issuer) && one.verify(issuer.publicKey);

function uriOf({ subjectAltName }) {
  const [, uri] = /^URI:([^,\s]+)$/.exec(subjectAltName ?? "") ?? refuse("not exactly one URI name");
  return uri;
}

/** Follows a certificate of the log to a root that was valid, as everything between, at that time. */
function verifySvid(keyid, { chains, roots }, time) {
  const chain = chains.get(keyid) ?? refuse("the log does not carry the signer's certificate");
  const root = roots.find((one) => isIssuedBy(chain.at(-1), one)) ?? refuse("no trust root issued it");
  const at = Date.parse(time);
  [...chain, root].forEach((certificate, depth, path) => {
    const { publicKey, ca, validFrom, validTo } = certificate;
    need(isIssuedBy(certificate, path[depth + 1] ?? root), "a certificate is not its issuer's");
    need(ca === depth > 0, "a certificate has the wrong role");
    need(publicKey.asymmetricKeyDetails?.namedCurve === "prime256v1", "a certificate's key is not P-256");
    need(Date.parse(validFrom) <= at && at < Date.parse(validTo) + 1000, "a certificate was not valid then");
  });
  const id = uriOf(chain[0]);
  need(id.startsWith(`${uriOf(root)}/`), "the certificate is of another trust domain");
  return { id, key: chain[0].publicKey };
}

/** Parses and checks every record; returns what the questions need. */
function checkRecords(entries, roots) {
  const [chains, owners, issues] = [new Map(), new Map(), new Map()];
  const log = { roots, chains, owners, issues, records: [], revocations: [] };
  entries.forEach((entry, index) => {
    try {
      const record = { ...parseEnvelope(entry), index, sha256: base64url(sha256(entry)) };
      // A certificate needs nobody's word: it leads to a root or it does not.
      const chain = (record.value.details?.svid_chain ?? []).map(parseCertificate);
      if (chain.length > 0) log.chains.set(base64url(sha256(chain[0].raw)), chain);
      record.signer = verifySigner(record, log);
      log.records.push(record);
      if (record.kind === "control" && record.value.allow) collect(record.value, log);
    } catch (error) {
      problem(`entry ${index}`, error.message);
    }
  });
  return log;
}

function verifySigner(record, log) {
  const { kind, value, keyid } = record;
  const signer = verifySvid(keyid, log, value.time);
  need(isSignedBy(signer.key, record), "the signature is bad");
  const isServer = /^spiffe:\/\/[^/]+\/trustwarden\/server\/[^/]+$/.test(signer.id);
  need(isServer || kind === "intent" || kind === "outcome", `a ${kind} that no server signed`);
  const isOwn =
    kind !== "intent" || (signer.id === value.agent.spiffe_id && keyid === value.agent.svid_sha256);
  need(isOwn, "the intent names another agent than signed it");
  return signer;
}

function collect({ kind, details, subject, epoch, time, chain }, { issues, owners, revocations }) {
  if (kind === "issue") issues.set(details.spiffe_id, { ...details, time, chain });
  if (kind === "owner" && details.spki) owners.set(details.owner, Buffer.from(details.spki, "base64"));
  if (kind === "revoke") revocations.push({ subject, epoch });
}

// ---- 4. Actions: intent, decision and outcome must tell one story ----
function checkActions({ records, revocations, issues }) {
  const actions = new Map();
  const payloads = new Map();
  for (const record of records) {
    const { kind, value, index, keyid, raw } = record;
    const intentSha256 = kind === "intent" ? record.sha256 : value.intent_sha256;
    const action = actions.get(intentSha256);
    const key = [kind, keyid, action?.intent.keyid, value.event_id].join(" ");
    if (payloads.get(key)?.equals(raw) === false) problem(`entry ${index}`, "a second record of its kind");
    payloads.set(key, raw);
    if (kind === "intent") actions.set(intentSha256, { intent: record });
    else if (action) checkPart(action, record, { revocations, issues });
    else if (intentSha256 !== null) problem(`entry ${index}`, `a ${kind} without its intent`);
  }
  return actions;
}

function checkPart(action, record, { revocations, issues }) {
  const { kind, value, index } = record;
  const { intent } = action;
  const place = `entry ${index}`;
  action[kind] = record;
  if (value.event_id !== intent.value.event_id) problem(place, "its intent has another event id");
  if (kind === "outcome") checkOutcome(place, action);
  else if (index !== intent.index + 1) problem(place, "its intent is not the entry before");
  if (kind !== "decision") return;
  const { id, spiffe_id } = intent.value.agent;
  if (value.chain.at(-1) !== id) problem(place, "decided about another agent");
  const issued = issues.get(spiffe_id)?.chain ?? [];
  if (canonical(value.chain) !== canonical(issued))
    problem(place, "decided about another chain than was issued");
  const names = [...value.chain.map((link) => link.replace("owner:", "")), spiffe_id];
  const isDead = ({ subject, epoch }) => names.includes(subject) && value.lease_epoch >= epoch;
  if (value.allow && revocations.some(isDead)) problem(place, "allowed although it was revoked");
}

function checkOutcome(place, { intent, decision, outcome }) {
  if (!decision?.value.allow) problem(place, "an outcome of what was not allowed");
  const isSelf = decision?.value.enforcement === "self";
  const enforcer = isSelf ? intent.value.agent.spiffe_id : intent.value.aud;
  if (outcome.signer.id !== enforcer) problem(place, "the outcome is not the enforcement point's");
}

/** What is no contradiction but must be explained: a crash or a stop between the records of one action. */
function notesOf({ intent, decision, outcome, control }) {
  if (!decision && !control) return [`entry ${intent.index}: an intent that nobody decided about`];
  if (!decision?.value.allow || outcome) return [];
  return [`entry ${decision.index}: allowed, but how it ended was never recorded`];
}

// ---- 5. The three questions ----
/** From an instance up to its owner: each link is a document signed by the one above, and a proof of the new key. */
function delegationOf(spiffeId, chain, log) {
  const issue = log.issues.get(spiffeId) ?? refuse(`the log has no issue event of ${spiffeId}`);
  const enrolment = parseEnvelope(Buffer.from(issue.enrolment));
  const { owner, parent, svid_sha256, scope } = enrolment.value;
  need(issue.agent_id === chain.at(-1) && chain.length > 1, "the chain names other agents");
  need(canonical(scope) === canonical(issue.scope), `${spiffeId} has another scope than was signed`);
  requirePossession(spiffeId, issue, log);
  const granted = `signed the ${enrolment.kind} of ${spiffeId} for ${scope.join(" ")}`;
  if (enrolment.kind === "ticket") {
    const spki = log.owners.get(owner) ?? refuse(`the log has no key of ${owner}`);
    const key = createPublicKey({ key: spki, format: "der", type: "spki" });
    const isOwners = enrolment.keyid === base64url(sha256(spki)) && isSignedBy(key, enrolment);
    need(isOwners && chain.length === 2 && chain[0] === `owner:${owner}`, `not so: ${owner} ${granted}`);
    return [`owner ${owner} ${granted}`];
  }
  const { id, key } = verifySvid(svid_sha256, log, issue.time);
  const isParents = id === parent && enrolment.keyid === svid_sha256 && isSignedBy(key, enrolment);
  need(isParents && enrolment.kind === "grant", `not so: ${parent} ${granted}`);
  return [...delegationOf(parent, chain.slice(0, -1), log), `${parent} ${granted}`];
}

/** Nobody is made by the server's word alone: an owner or a parent signed for each agent. */
function checkIssues(log) {
  for (const [spiffeId, issue] of log.issues) {
    try {
      if (issue.agent_id) delegationOf(spiffeId, issue.chain, log);
      else requireServiceTicket(spiffeId, issue, log);
    } catch (error) {
      problem(spiffeId, error.message);
    }
  }
}

/** A service's ticket is the server's, for an operator, who has no key. */
function requireServiceTicket(spiffeId, issue, log) {
  const ticket = parseEnvelope(Buffer.from(issue.enrolment));
  const { id, key } = verifySvid(ticket.keyid, log, issue.time);
  const isServers = /^spiffe:\/\/[^/]+\/trustwarden\/server\/[^/]+$/.test(id) && isSignedBy(key, ticket);
  const isService = spiffeId.split("/")[3] === "trustwarden" && ticket.value.kind === "verifier";
  need(
    isServers && isService && ticket.kind === "ticket",
    `the server did not sign the ticket of ${spiffeId}`,
  );
  requirePossession(spiffeId, issue, log);
}

function requirePossession(spiffeId, { enrolment, possession, svid_sha256, time }, log) {
  const proof = parseEnvelope(Buffer.from(possession));
  const { id, key } = verifySvid(svid_sha256, log, time);
  const isBound = id === spiffeId && proof.value.enrolment_sha256 === base64url(sha256(enrolment));
  const isProven = isBound && proof.kind === "possession" && isSignedBy(key, proof);
  need(isProven, `${spiffeId} did not prove that it holds its key`);
}

function answer(eventId, log, actions) {
  const action = [...actions.values()].find(({ intent }) => intent.value.event_id === eventId);
  const { intent, decision, outcome, control } = action ?? refuse(`no intent has the event id ${eventId}`);
  const { agent, action: name, resource, time } = intent.value;
  const decided = decision ?? control ?? refuse("nobody decided about this event");
  const { allow, reasons, policy, kind } = decided.value;
  const { chain } = log.issues.get(agent.spiffe_id) ?? refuse("the log has no issue event of the agent");
  need(!decision || canonical(decided.value.chain) === canonical(chain), "decided about another chain");
  const by = policy ? `policy ${policy.name} @ ${policy.bundle_sha256}` : `the server (${kind})`;
  const names = [agent.spiffe_id, agent.id, ...chain.map((link) => link.replace("owner:", ""))];
  const dead = log.revocations.filter(({ subject }) => names.includes(subject));
  return [
    "1. Which agent did this?",
    `   ${agent.id}, instance ${agent.spiffe_id}`,
    `   signed ${name} on ${resource} at ${time} (entry ${intent.index}, certificate ${agent.svid_sha256})`,
    `   outcome: ${outcome?.value.status ?? (allow ? "see the notes" : "denied")}`,
    "2. Who authorized it?",
    ...delegationOf(agent.spiffe_id, chain, log).map((link) => `   ${link}`),
    `   ${allow ? "allowed" : `denied (${reasons})`} by ${by}, signed by ${decided.signer.id} (entry ${decided.index})`,
    "3. How do we stop it, without stopping the rest?",
    `   revoke the instance ${agent.spiffe_id.split("/").at(-1)}, or the agent ${agent.id} with all below it`,
    ...dead.map(({ subject, epoch }) => `   revoked already: ${subject} at epoch ${epoch}`),
  ];
}

// ---- Main ----
function check(directory, { vkey, bundle, event }) {
  const head = verifyCheckpoint(readFileSync(join(directory, "checkpoint"), "utf8"), parseVkey(vkey));
  console.log(`checkpoint  ${head.origin}, ${head.size} entries, root ${head.root}: signature good`);
  const entries = readEntries(directory, head.size);
  const leaves = entries.map(leafHash);
  if (treeHash(leaves).toString("base64") !== head.root) problem("checkpoint", "not the root of the entries");
  const tiles = checkTiles(directory, leaves);
  console.log(`tree        ${entries.length} entries and ${tiles} hash tiles compared with the root`);
  const log = checkRecords(entries, readRoots(bundle));
  const counts = `${log.records.length} of ${entries.length} signatures good, ${log.chains.size} certificates`;
  console.log(`records     ${counts} under ${log.roots.length} trust root(s)`);
  checkIssues(log);
  console.log(`issues      ${log.issues.size} instances compared with what their owners and parents signed`);
  const actions = checkActions(log);
  console.log(`actions     ${actions.size} intents joined with their decisions and outcomes`);
  for (const note of [...actions.values()].flatMap(notesOf)) console.log(`note        ${note}`);
  // Questions are only answered from a log that verified.
  const lines = event && problems.length === 0 ? ["", ...answer(event, log, actions)] : [];
  for (const line of lines) console.log(printable(line));
}

function main() {
  const options = { vkey: { type: "string" }, bundle: { type: "string" }, event: { type: "string" } };
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  const [directory] = positionals;
  if (!directory || !values.vkey || !values.bundle) {
    console.error("usage: verify-offline.mjs <directory> --vkey <key> --bundle <file> [--event <id>]");
    return 2;
  }
  try {
    check(directory, values);
  } catch (error) {
    problem("stopped", error.message);
  }
  for (const one of problems) console.log(printable(`PROBLEM     ${one}`));
  const isGood = problems.length === 0;
  console.log(isGood ? "\nVERIFIED (unwitnessed: compare the root elsewhere)" : "\nNOT VERIFIED");
  return isGood ? 0 : 1;
}

process.exitCode = main();
