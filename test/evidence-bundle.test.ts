/** Evidence bundles of a real server, before our own verifier: what is proven, answered, and refused. */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArchive } from "@trustwarden/core/agentledger/archive.ts";
import { issueCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import { openEvidenceBundle } from "@trustwarden/core/agentledger/evidence-bundle.ts";
import { encodeBase64url, encodeHex, encodeUtf8, parseBase64, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import type { Signer } from "@trustwarden/core/signer.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { verifyEvidence } from "../sdk/verify-evidence.ts";
import { createOwner, enrolAgent, ownerRequest, serverIdOf } from "./support/actors.ts";
import { openKeys, openLogSigner } from "./support/authority-keys.ts";
import {
  askTravelling,
  type BundleStory,
  createBundleStory,
  STORY_JOB,
  verdictOf,
} from "./support/evidence.ts";
import {
  brokenArchives,
  flippedBytes,
  flippedFiles,
  type ManifestKey,
  manifestKeyOf,
  operatorForgeries,
  underAnotherDomain,
  withHiddenEvent,
  withoutOneEntry,
  withoutSecondIntent,
  withRoots,
} from "./support/evidence-forgeries.ts";
import { codeOf, type RawAnswer, send, sendAdmin } from "./support/http.ts";
import { startTestServer } from "./support/server.ts";

let story: BundleStory;
let agentBundle: Buffer;
let rangeBundle: Buffer;
let key: ManifestKey;
let logSigner: Signer;

beforeAll(async () => {
  story = await createBundleStory();
  agentBundle = await story.make(`agent=${story.agentId}`);
  rangeBundle = await story.make("since=2020-01-01T00:00:00Z");
  const { serverSigner } = await openKeys(story.server.home);
  logSigner = await openLogSigner(story.server.home);
  key = manifestKeyOf(agentBundle, serverSigner);
});
afterAll(async () => {
  await story.server.close();
  story.server.home.remove();
});

/** What `verify.mjs` says at its end, against the story's own anchors. */
function refusalOf(bytes: Uint8Array): string {
  const { status, stdout } = askTravelling(bytes, story.bundleText, ["--vkey", story.vkey]);
  return status === 1 ? (stdout.trim().split("\n").at(-1) ?? "") : `exit code ${status}`;
}

describe("a bundle of one event", () => {
  it("says which agent did it, who authorized it up to the owner, and what stopped it", async () => {
    const report = story.verify(await story.make(`event=${story.eventId}`));
    const [answer] = report.events;
    expect(answer?.event).toMatchObject({
      agent_id: story.agentId,
      agent_identity: story.child.answer.spiffe_id,
      action: "read:transactions",
      outcome: "success",
    });
    expect(answer?.authorizedBy).toMatchObject([
      { by: story.owner.ownerId, document: "ticket", subject: story.parent.answer.spiffe_id },
      { by: story.parent.answer.spiffe_id, document: "grant", subject: story.child.answer.spiffe_id },
    ]);
    expect(answer?.stoppedBy).toEqual([
      expect.stringMatching(/^revoked: .*payment-agent\/inst-\S+ at epoch 1,/),
    ]);
    expect(report.alarms).toEqual([]);
    expect(report.signatures).toBe(report.entries);
  });

  it("holds the policies that decided, code and data, under the digests that the decisions name", async () => {
    const bytes = await story.make(`event=${story.eventId}`);
    expect(story.verify(bytes).policies).toEqual({ named: 1, held: 1 });
    const paths = [...parseArchive(bytes).keys()].filter((path) => path.startsWith("policies/"));
    expect(paths).toEqual([
      expect.stringMatching(/^policies\/[0-9a-f]{64}\/data\.json$/),
      expect.stringMatching(/^policies\/[0-9a-f]{64}\/policy\.wasm$/),
    ]);
  });

  it("names the reasons of a refusal", async () => {
    const { events } = story.verify(await story.make(`event=${story.deniedId}`));
    expect(events[0]?.stoppedBy[0]).toMatch(/^denied: scope_not_covered \(policy:/);
  });

  it("is verified against the fingerprint of a root, and refused under another", async () => {
    const bytes = await story.make(`event=${story.eventId}`);
    const [root = ""] = JSON.parse(story.bundleText).keys.find(
      ({ use }: { use: string }) => use === "x509-svid",
    ).x5c;
    const fingerprint = encodeHex(sha256(parseBase64(root)));
    const trust = (text: string) => ({ log: { vkey: story.vkey }, roots: { fingerprints: [text] } });
    expect(verifyEvidence(bytes, trust(fingerprint.toUpperCase())).events).toHaveLength(1);
    expect(verdictOf(() => verifyEvidence(bytes, trust("00".repeat(32))))).toBe("evidence_bundle_invalid");
  });
});

describe("a bundle of more", () => {
  it("of a job holds its actions", async () => {
    const { manifest, events } = story.verify(await story.make(`job=${STORY_JOB}`));
    expect(manifest.selection).toMatchObject({ kind: "job", value: STORY_JOB });
    expect(events.map(({ event }) => event.outcome)).toEqual(["success", "success", "denied"]);
  });

  it("of an agent holds its subtree", async () => {
    const { events } = story.verify(await story.make(`agent=${story.parent.answer.agent_id}`));
    expect(events.map(({ event }) => event.event_id)).toContain(story.eventId);
    expect(events.some(({ event }) => event.kind === "issue")).toBe(true);
  });

  it("of a time range holds every entry between its first and its last", () => {
    const { manifest, entries } = story.verify(rangeBundle);
    const { start = 0, end = 0 } = manifest.range ?? {};
    expect([start, entries]).toEqual([0, end]);
    expect(parseArchive(rangeBundle).has("range.proof")).toBe(true);
  });

  it("says which events an agent's own count shows to be missing", () => {
    const { alarms } = story.verify(withoutSecondIntent(agentBundle, key));
    expect(alarms.map(({ code }) => code)).toEqual(["sequence_gap"]);
  });

  it("opens with any unzip and lists digests that sha256sum reads", () => {
    const { files } = openEvidenceBundle(agentBundle);
    const sums = parseUtf8(files.get("SHA256SUMS") ?? new Uint8Array());
    expect(sums).toContain(`${encodeHex(sha256(files.get("VERIFY.md") ?? encodeUtf8("")))}  VERIFY.md\n`);
  });
});

describe("that the log was not rewritten since a checkpoint", () => {
  const since = (note: string) => `earlier=${encodeBase64url(encodeUtf8(note))}`;
  const checkpointNow = async () => (await send(story.server.url, { target: "/ledger/checkpoint" })).text;

  it("is shown by a bundle to whoever holds it, by both verifiers, and said to be missing without it", async () => {
    const earlier = await checkpointNow();
    const plain = await story.make(`event=${story.eventId}`);
    await expect.poll(checkpointNow).not.toBe(earlier);
    const bytes = await story.make(`event=${story.eventId}&${since(earlier)}`);
    expect(story.verify(bytes).earlier).toMatchObject({ isYours: false });
    const trust = { log: { vkey: story.vkey }, roots: { bundle: story.bundleText }, earlier };
    const size = Number(earlier.split("\n")[1]);
    expect(verifyEvidence(bytes, trust).earlier).toMatchObject({ isYours: true, size });
    expect(verifyEvidence(plain, trust).alarms).toMatchObject([{ code: "earlier_checkpoint_missing" }]);
    const file = join(mkdtempSync(join(tmpdir(), "warden-earlier-")), "checkpoint");
    writeFileSync(file, earlier);
    const ask = (of: Uint8Array) =>
      askTravelling(of, story.bundleText, ["--vkey", story.vkey, "--since", file]);
    expect(ask(bytes)).toMatchObject({ status: 0, stdout: expect.stringContaining(", as you hold it\n") });
    expect(ask(plain)).toMatchObject({
      status: 3,
      stdout: expect.stringContaining("missing: nothing leads"),
    });
    const later = { ...trust, earlier: await checkpointNow() };
    expect(verdictOf(() => verifyEvidence(bytes, later))).toBe("evidence_bundle_invalid");
  });

  it("is not asked of a checkpoint of another log, or of one that this log never had", async () => {
    const ask = (note: string) =>
      sendAdmin(story.server.adminSocket, { target: `/v1/evidence?event=${story.eventId}&${since(note)}` });
    const foreign = issueCheckpoint(
      { origin: "ledger.other.test", size: 1, root: sha256(encodeUtf8("x")) },
      logSigner,
    );
    expect(codeOf(await ask(foreign))).toBe("checkpoint_untrusted");
    const own = { origin: story.vkey.split("+")[0] ?? "", root: sha256(encodeUtf8("x")) };
    for (const size of [1, 1_000_000])
      expect(codeOf(await ask(issueCheckpoint({ ...own, size }, logSigner)))).toBe("proof_invalid");
    expect(codeOf(await ask("trust me"))).toBe("checkpoint_untrusted");
  });
});

describe("a forged bundle", () => {
  it("with one byte flipped is refused, wherever the byte is", () => {
    for (const { name, bytes } of flippedBytes(agentBundle, 150))
      expect([name, verdictOf(() => story.verify(bytes))]).toEqual([name, "evidence_bundle_malformed"]);
  });

  it("with a file altered in a whole container is refused", () => {
    for (const { name, bytes } of flippedFiles(agentBundle))
      expect([name, verdictOf(() => story.verify(bytes))]).not.toEqual([name, "verified"]);
  });

  it("is not opened when its container has another spelling", () => {
    for (const { name, bytes } of brokenArchives(agentBundle))
      expect([name, verdictOf(() => story.verify(bytes))]).toEqual([name, "evidence_bundle_malformed"]);
  });

  it("is refused when the operator himself signs it", () => {
    for (const { name, bytes } of operatorForgeries(agentBundle, key))
      expect([name, verdictOf(() => story.verify(bytes))]).not.toEqual([name, "verified"]);
    for (const { name, bytes } of operatorForgeries(agentBundle, key).filter((one) =>
      /sum|Unicode/.test(one.name),
    ))
      expect([name, refusalOf(bytes)]).toEqual([name, expect.stringMatching(/^NOT VERIFIED/)]);
    expect(verdictOf(() => story.verify(withoutOneEntry(rangeBundle, key)))).not.toBe("verified");
  });

  it("of a range is refused when one of its events is shown to nobody", () => {
    expect(verdictOf(() => story.verify(withHiddenEvent(rangeBundle, key)))).toBe("evidence_bundle_invalid");
    expect(refusalOf(withHiddenEvent(rangeBundle, key))).toMatch(
      /^NOT VERIFIED: entry \d+: of the range, and/,
    );
  });

  it("is refused when it says that it is of a trust domain that is not its signer's", () => {
    expect(verdictOf(() => story.verify(underAnotherDomain(agentBundle, key)))).not.toMatch(
      /verified|missing/,
    );
    expect(refusalOf(underAnotherDomain(agentBundle, key))).toContain("of another trust domain");
  });

  it("is refused under the key of another log and under the roots of another domain", async () => {
    const other = await startTestServer();
    const text = (await send(other.url, { target: "/v1/bundle" })).text;
    await other.close();
    other.home.remove();
    const { vkey } = story;
    const roots = { bundle: story.bundleText };
    const foreign = `${vkey.slice(0, -4)}AAA=`;
    expect(verdictOf(() => verifyEvidence(agentBundle, { log: { vkey: foreign }, roots }))).toMatch(
      /^(checkpoint|witness_policy)_/,
    );
    expect(verdictOf(() => verifyEvidence(agentBundle, { log: { vkey }, roots: { bundle: text } }))).toBe(
      "evidence_bundle_invalid",
    );
    expect(verdictOf(() => verifyEvidence(withRoots(agentBundle, key, text), { log: { vkey }, roots }))).toBe(
      "verified",
    );
  });
});

describe("GET /v1/evidence", () => {
  const ask = (query: string): Promise<RawAnswer> =>
    sendAdmin(story.server.adminSocket, { target: `/v1/evidence${query}` });

  it("gives an owner its own agents' events, and nobody else's, nor a time range", async () => {
    const aud = await serverIdOf(story.server);
    const bob = await createOwner(story.server, "bob");
    await enrolAgent(story.server, bob, { name: "bobs" });
    const asOwner = (owner: typeof bob, query: string) =>
      send(story.server.url, ownerRequest(owner, { target: `/v1/evidence?${query}`, aud }));
    const own = await asOwner(story.owner, `event=${story.eventId}`);
    expect(story.verify(own.bytes).events).toHaveLength(1);
    expect(codeOf(await asOwner(bob, `event=${story.eventId}`))).toBe("not_found");
    expect(codeOf(await asOwner(bob, `agent=${story.agentId}`))).toBe("not_found");
    expect(codeOf(await asOwner(bob, `job=${STORY_JOB}`))).toBe("not_found");
    expect(codeOf(await asOwner(bob, "since=2020-01-01T00:00:00Z"))).toBe("denied");
    expect(codeOf(await asOwner(story.owner, `event=${story.eventId}&payloads=true`))).toBe("denied");
  });

  it("refuses a question that names nothing or two things, and what is not there", async () => {
    expect(codeOf(await ask(""))).toBe("request_malformed");
    expect(codeOf(await ask(`?event=${story.eventId}&job=x`))).toBe("request_malformed");
    expect(codeOf(await ask("?since=yesterday"))).toBe("request_malformed");
    expect(codeOf(await ask("?job=nobody"))).toBe("not_found");
  });
});
