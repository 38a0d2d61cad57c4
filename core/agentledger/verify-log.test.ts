import { describe, expect, it } from "vitest";
import { encodeBase64, encodeBase64url, encodeUtf8, parseUtf8 } from "../bytes.ts";
import { sha256 } from "../crypto.ts";
import { parseEnvelope } from "../dsse.ts";
import { formatTime } from "../event.ts";
import type { JsonObject } from "../json.ts";
import { verifyCheckpoint } from "./checkpoint.ts";
import { startTestLog } from "./ledger.test.support.ts";
import { createMemoryMedium, MemoryLogStorage, type MemoryMedium } from "./memory-log-storage.ts";
import {
  createTestParty,
  formatTestEventId,
  issueTestControl,
  issueTestDecision,
  issueTestEnrolment,
  issueTestIntent,
  issueTestOutcome,
  issueTestOwner,
  issueTestSvid,
  TEST_NOW,
  type TestParty,
  testAgent,
  testCertificates,
  testEnrolmentDetails,
  testGateway,
  testOrchestrator,
  testServer,
} from "./record.test.support.ts";
import { parseRecord } from "./record.ts";
import { auditLog, type LogReport, verifyLog } from "./verify-log.ts";

const origin = "ledger.acme.test/2026q4";
/** The owner and the certificates of everybody, as the first entries of any log. */
const birth = [
  issueTestSvid(testServer, 0),
  issueTestOwner(),
  ...[testGateway, testOrchestrator, testAgent].map((party, index) => issueTestSvid(party, index + 1)),
];
const at = birth.length;

async function logOf(
  entries: readonly Uint8Array[],
): Promise<{ readonly medium: MemoryMedium; readonly vkey: string; readonly notes: readonly string[] }> {
  const medium = createMemoryMedium();
  const sequencer = await startTestLog({ origin, storage: new MemoryLogStorage(medium), now: TEST_NOW });
  await sequencer.append(birth);
  await sequencer.waitForCheckpoint(at);
  const first = sequencer.checkpoint();
  if (entries.length > 0) await sequencer.append(entries);
  await sequencer.stop();
  return { medium, vkey: sequencer.vkey, notes: [first, sequencer.checkpoint()] };
}

const auditOf = async (medium: MemoryMedium, vkey: string, windowSeconds = 0) =>
  auditLog({ reader: new MemoryLogStorage(medium), vkey, certificates: testCertificates, windowSeconds });

const parseTestTime = (entry: Uint8Array) => parseRecord(entry).unverified.value.time;

function parseTestDetails(entry: Uint8Array): JsonObject {
  const { unverified } = parseRecord(entry);
  return unverified.kind === "control" ? unverified.value.details : {};
}

async function audit(entries: readonly Uint8Array[], windowSeconds = 0): Promise<LogReport> {
  const { medium, vkey } = await logOf(entries);
  return auditOf(medium, vkey, windowSeconds);
}

const codes = (report: LogReport) => report.findings.map(({ code }) => code);

/** Intent, decision and outcome of one action, the `number`-th of its instance. */
function actionOf(
  number: number,
  prev: string | null,
): { readonly entries: readonly Uint8Array[]; readonly prev: string } {
  const event_id = formatTestEventId(number);
  const intent = issueTestIntent({ event_id, seq: number, prev });
  const decision_index = at + (number - 1) * 3 + 1;
  const entries = [
    intent,
    issueTestDecision(intent, { event_id }),
    issueTestOutcome(intent, { event_id, decision_index }),
  ];
  return { entries, prev: encodeBase64url(sha256(parseEnvelope(parseUtf8(intent)).payload)) };
}

function history(count: number): readonly Uint8Array[] {
  const entries: Uint8Array[] = [];
  let prev: string | null = null;
  for (let number = 1; number <= count; number += 1) {
    const action = actionOf(number, prev);
    entries.push(...action.entries);
    prev = action.prev;
  }
  return entries;
}

const intent = issueTestIntent();
const decision = issueTestDecision(intent);
const outcome = issueTestOutcome(intent, { decision_index: at + 1 });

describe("the audit of a log", () => {
  it("finds nothing in an honest one, and counts what it checked", async () => {
    const report = await audit(history(20));
    expect(report.findings).toEqual([]);
    expect(report.records).toEqual({
      intent: 20,
      "presented-intent": 0,
      decision: 20,
      outcome: 20,
      control: 5,
    });
    expect(report.signatures).toBe(65);
    expect(report.checkpoint.size).toBe(65);
  });

  it("refuses to begin without a checkpoint of the expected log", async () => {
    const { medium } = await logOf([]);
    const other = (await logOf([])).vkey.replace(origin, "other.test/log");
    await expect(auditOf(createMemoryMedium(), other)).rejects.toMatchObject({
      code: "checkpoint_malformed",
    });
    await expect(auditOf(medium, other)).rejects.toMatchObject({ code: "checkpoint_malformed" });
  });

  it("names the place of a flipped bit, wherever it is (I1)", async () => {
    const { medium, vkey } = await logOf(history(190));
    const reader = new MemoryLogStorage(medium);
    const names = [...medium.files.keys()];
    expect(names.sort()).toEqual([
      "checkpoint",
      "tile/0/000",
      "tile/0/001",
      "tile/0/002.p/63",
      "tile/1/000.p/2",
      "tile/entries/000",
      "tile/entries/001",
      "tile/entries/002.p/63",
    ]);
    let state = 12345;
    const random = (limit: number) => {
      state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
      return state % limit;
    };
    const slowly = { reader, vkey, certificates: testCertificates };
    for (let round = 0; round < 60; round += 1) {
      const path = names[round % names.length] ?? "";
      const bytes = medium.files.get(path) ?? new Uint8Array(0);
      const place = random(bytes.length);
      medium.files.set(path, bytes.with(place, (bytes[place] ?? 0) ^ (1 << random(8))));
      if (path === "checkpoint") {
        await expect(auditLog(slowly)).rejects.toMatchObject({
          code: expect.stringMatching(/^checkpoint_|^request_malformed/),
        });
      } else {
        const { findings } = await auditLog(slowly);
        const damage = findings.filter(({ code }) => /^(tile|bundle|root)_/.test(code));
        expect([path, ...damage.map((finding) => finding.place)]).toEqual([path, path]);
        // The same audit once more, for its refusal: once a path.
        if (round < names.length)
          await expect(verifyLog(slowly)).rejects.toMatchObject({ code: "ledger_corrupt" });
      }
      medium.files.set(path, bytes);
    }
    expect((await auditLog(slowly)).findings).toEqual([]);
  }, 120_000);

  it("names a missing file", async () => {
    const { medium, vkey } = await logOf(history(90));
    for (const path of ["tile/0/000", "tile/entries/000", "tile/1/000.p/1", "tile/entries/001.p/19"]) {
      const bytes = medium.files.get(path) ?? new Uint8Array(0);
      medium.files.delete(path);
      expect((await auditOf(medium, vkey)).findings).toContainEqual(
        expect.objectContaining({ code: "tile_missing", place: path }),
      );
      medium.files.set(path, bytes);
    }
  });

  it("finds a log that does not continue a checkpoint that somebody kept (21, 45)", async () => {
    const { medium, vkey, notes } = await logOf([intent]);
    const certificates = testCertificates;
    const reader = new MemoryLogStorage(medium);
    for (const olderCheckpoint of notes)
      expect(codes(await auditLog({ reader, vkey, certificates, olderCheckpoint }))).not.toContain(
        "root_mismatch",
      );
    const fork = await logOf([issueTestIntent({ action: "delete:transactions" })]);
    const longer = await logOf([intent, decision]);
    for (const olderCheckpoint of [fork.notes[1] ?? "", longer.notes[1] ?? ""]) {
      expect(codes(await auditLog({ reader, vkey, certificates, olderCheckpoint }))).toContain(
        "root_mismatch",
      );
    }
  });

  it("finds entries that are no records", async () => {
    expect(codes(await audit([encodeUtf8("{}")]))).toEqual(["record_unreadable"]);
  });

  it("finds a record by an agent whose certificate is unknown, untrusted or was not valid then (38, I5, I9)", async () => {
    const stranger = createTestParty("spiffe://acme.test/x/inst-01X");
    const untrusted = createTestParty("spiffe://acme.test/y/inst-01Y", { trusted: false });
    const expired = createTestParty("spiffe://acme.test/z/inst-01Z", { expiresAt: TEST_NOW });
    const alive = createTestParty("spiffe://acme.test/w/inst-01W", { expiresAt: TEST_NOW + 1 });
    expect(codes(await audit([issueTestIntent({ by: stranger })]))).toEqual(["svid_unknown"]);
    expect(codes(await audit([issueTestSvid(untrusted, 9), issueTestIntent({ by: untrusted })]))).toEqual([
      "enrolment_unproven",
      "svid_refused",
    ]);
    expect(codes(await audit([issueTestSvid(expired, 9), issueTestIntent({ by: expired })]))).toEqual([
      "enrolment_unproven",
      "svid_refused",
    ]);
    expect(codes(await audit([issueTestSvid(alive, 9), issueTestIntent({ by: alive })]))).toEqual([
      "intent_without_decision",
    ]);
  });

  it("finds a record whose signature is not of the certificate it names (I5)", async () => {
    const forged = {
      ...createTestParty("spiffe://evil.test/inst-01E"),
      sha256: testAgent.sha256,
      spiffeId: testAgent.spiffeId,
    };
    expect(codes(await audit([issueTestIntent({ by: forged })]))).toEqual(["signature_bad"]);
  });

  it("finds decisions and control records that no server signed, and outcomes of the wrong enforcement point", async () => {
    expect(codes(await audit([intent, issueTestDecision(intent, { by: testAgent }), outcome]))).toEqual([
      "signer_not_allowed",
    ]);
    expect(codes(await audit([issueTestControl({ by: testGateway })]))).toEqual(["signer_not_allowed"]);
    const byAgent = issueTestOutcome(intent, { by: testAgent, decision_index: at + 1 });
    expect(codes(await audit([intent, decision, byAgent]))).toEqual(["signer_not_allowed"]);
    expect(codes(await audit([intent, issueTestDecision(intent, { enforcement: "self" }), byAgent]))).toEqual(
      [],
    );
    expect(codes(await audit([intent, issueTestDecision(intent, { enforcement: "self" }), outcome]))).toEqual(
      ["signer_not_allowed"],
    );
  });

  it("finds what is missing: decision, intent, outcome", async () => {
    expect(codes(await audit([intent]))).toEqual(["intent_without_decision"]);
    expect(codes(await audit([intent, decision]))).toEqual(["decision_without_outcome"]);
    expect(
      codes(await audit([intent, issueTestDecision(intent, { allow: false, reasons: ["scope"] })])),
    ).toEqual([]);
    expect(codes(await audit([decision]))).toEqual(["decision_without_intent"]);
    expect(codes(await audit([intent, issueTestControl(), decision, outcome]))).toContain(
      "decision_without_intent",
    );
    expect(codes(await audit([outcome]))).toEqual(["outcome_without_decision"]);
  });

  it("finds an instance that nobody signed for, or for whom somebody else did", async () => {
    const child = createTestParty("spiffe://acme.test/team/child/inst-01C");
    const other = createTestParty("spiffe://acme.test/team/other/inst-01D");
    const run = async (party: TestParty, details: JsonObject) =>
      codes(await audit([issueTestSvid(party, 9, details)]));
    expect(await run(child, {})).toEqual([]);
    const forged = [
      { enrolment: null },
      { possession: null },
      { enrolment: issueTestEnrolment(child, testServer) },
      { enrolment: issueTestEnrolment(child, testAgent) },
      { enrolment: issueTestEnrolment(testGateway) },
      { enrolment: issueTestEnrolment(testOrchestrator) },
      { scope: ["write:transactions", "delete:transactions"] },
      { svid_sha256: testAgent.sha256 },
      { possession: parseTestDetails(issueTestSvid(other, 8)).possession ?? null },
    ];
    for (const details of forged) expect(await run(child, details)).toEqual(["enrolment_unproven"]);
    expect(codes(await audit([issueTestOwner()]))).toEqual(["record_repeated"]);
  });

  it("finds a decision that names another chain than the instance was issued with", async () => {
    const stolen = issueTestDecision(intent, { chain: ["owner:own_2", "agt_orchestrator", "agt_payment"] });
    expect(codes(await audit([intent, stolen, outcome]))).toEqual(["decision_mismatch"]);
  });

  it("finds records of one action that contradict one another", async () => {
    expect(
      codes(
        await audit([intent, issueTestDecision(intent, { chain: ["owner:own_1", "agt_other"] }), outcome]),
      ),
    ).toEqual(["decision_mismatch"]);
    expect(
      codes(await audit([intent, issueTestDecision(intent, { event_id: formatTestEventId(2) }), outcome])),
    ).toEqual(["decision_mismatch"]);
    expect(codes(await audit([intent, decision, issueTestOutcome(intent, { decision_index: 0 })]))).toEqual([
      "outcome_mismatch",
    ]);
    const denied = issueTestDecision(intent, { allow: false, reasons: ["scope"] });
    expect(codes(await audit([intent, denied, outcome]))).toEqual(["outcome_without_decision"]);
    const control = issueTestControl({ intent_sha256: encodeBase64url(sha256(intent)) });
    expect(codes(await audit([intent, control]))).toEqual([]);
    expect(codes(await audit([control]))).toEqual(["control_mismatch"]);
  });

  it("tells a record that is there twice from two records under one key (40)", async () => {
    expect(codes(await audit([intent, decision, outcome, outcome]))).toEqual(["record_repeated"]);
    const other = issueTestOutcome(intent, { decision_index: at + 1, status: "failure" });
    expect(codes(await audit([intent, decision, outcome, other]))).toEqual(["record_conflict"]);
  });

  it("tells gap, repeat and broken link of an instance's count apart (40)", async () => {
    const denied = (number: number, seq: number, prev: string | null) => {
      const event_id = formatTestEventId(number);
      const one = issueTestIntent({ event_id, seq, prev });
      return {
        entries: [one, issueTestDecision(one, { event_id, allow: false, reasons: ["scope"] })],
        prev: encodeBase64url(sha256(parseEnvelope(parseUtf8(one)).payload)),
      };
    };
    const first = denied(1, 1, null);
    const second = denied(2, 2, first.prev);
    const third = denied(3, 3, second.prev);
    const run = async (...actions: readonly { readonly entries: readonly Uint8Array[] }[]) =>
      codes(await audit(actions.flatMap(({ entries }) => entries)));
    expect(await run(first, second, third)).toEqual([]);
    expect(await run(third, first, second)).toEqual([]);
    expect(await run(first, third)).toEqual(["sequence_gap"]);
    expect(await run(second)).toEqual(["sequence_gap"]);
    expect(await run(first, second, denied(3, 2, first.prev))).toEqual(["sequence_repeated"]);
    expect(await run(first, denied(2, 2, null))).toEqual(["previous_mismatch"]);
    expect(await run(denied(1, 1, first.prev))).toEqual(["previous_mismatch"]);
  });

  it("misses an outcome, or an intent before another, only after its window in a log that grows (40)", async () => {
    const event_id = formatTestEventId(2);
    const early = issueTestIntent({ event_id, seq: 2, prev: null });
    const refused = issueTestDecision(early, { event_id, allow: false, reasons: ["scope"] });
    const laterBy = (seconds: number) =>
      issueTestControl({ time: formatTime(Date.parse(parseTestTime(decision)) + seconds * 1000) });
    const run = async (seconds: number, windowSeconds: number, ...entries: readonly Uint8Array[]) => {
      const report = await audit([...entries, laterBy(seconds)], windowSeconds);
      return [codes(report), report.notDue];
    };
    expect(await run(59, 60, intent, decision)).toEqual([[], 1]);
    expect(await run(60, 60, intent, decision)).toEqual([["decision_without_outcome"], 0]);
    expect(await run(0, 0, intent, decision)).toEqual([["decision_without_outcome"], 0]);
    expect(await run(59, 60, early, refused)).toEqual([[], 1]);
    expect(await run(60, 60, early, refused)).toEqual([["sequence_gap"], 0]);
    // What contradicts is wrong at once.
    expect(await run(0, 60, intent, outcome)).toEqual([
      ["outcome_without_decision", "intent_without_decision"],
      0,
    ]);
  });

  it("finds a decision that allowed what was revoked at its epoch, and not one made before", async () => {
    for (const subject of ["own_1", "agt_orchestrator", "agt_payment", testAgent.spiffeId]) {
      const revoke = issueTestControl({ kind: "revoke", subject, epoch: 8 });
      const late = issueTestDecision(intent, { lease_epoch: 8 });
      const moved = issueTestOutcome(intent, { decision_index: at + 2 });
      expect(codes(await audit([revoke, intent, late, moved]))).toEqual(["allowed_after_revocation"]);
      expect(codes(await audit([revoke, intent, decision, moved]))).toEqual([]);
    }
    const refused = issueTestControl({
      kind: "revoke",
      subject: "agt_payment",
      epoch: 7,
      allow: false,
      reasons: ["denied"],
    });
    expect(
      codes(await audit([refused, intent, decision, issueTestOutcome(intent, { decision_index: at + 2 })])),
    ).toEqual([]);
  });

  describe("after a revocation", () => {
    const again = createTestParty("spiffe://acme.test/team/finance/payment-agent/inst-01B");
    const revokedAt = TEST_NOW - 50;
    const revoke = (subject: string, epoch = 8) =>
      issueTestControl({
        kind: "revoke",
        subject,
        epoch,
        time: new Date(revokedAt * 1000).toISOString(),
        event_id: formatTestEventId(500 + epoch),
      });
    const enrolled = (iat: number, epoch: number) =>
      issueTestSvid(again, 9, testEnrolmentDetails(again, { iat }), epoch);
    const acts = (by: typeof again, first: number) => {
      const one = issueTestIntent({ by, event_id: formatTestEventId(700) });
      const event_id = formatTestEventId(700);
      return [
        one,
        issueTestDecision(one, { event_id, lease_epoch: 9 }),
        issueTestOutcome(one, { event_id, decision_index: at + first + 1 }),
      ];
    };

    it("an agent that was enrolled anew may act, its instance of before may not", async () => {
      const log = [revoke("agt_payment"), enrolled(revokedAt + 1, 9)];
      expect(codes(await audit([...log, ...acts(again, 2)]))).toEqual([]);
      expect(codes(await audit([...log, ...acts(testAgent, 2)]))).toEqual(["allowed_after_revocation"]);
    });

    it("an event that reached the log late counts by its epoch", async () => {
      const log = [revoke("agt_payment"), enrolled(revokedAt - 5, 7)];
      expect(codes(await audit([...log, ...acts(again, 2)]))).toEqual(["allowed_after_revocation"]);
    });

    it("finds an instance by a document of before it, and by a grant of a parent that was revoked", async () => {
      expect(codes(await audit([revoke("agt_payment"), enrolled(revokedAt, 9)]))).toEqual([
        "enrolment_unproven",
      ]);
      expect(codes(await audit([revoke(testOrchestrator.spiffeId), enrolled(revokedAt + 1, 9)]))).toEqual([
        "enrolment_unproven",
      ]);
    });
  });

  it("finds a grant that was used twice, and one of more than the parent had or was left with", async () => {
    const child = createTestParty("spiffe://acme.test/team/child/inst-01C");
    const twin = createTestParty("spiffe://acme.test/team/child/inst-01D");
    const run = async (...entries: readonly Uint8Array[]) => codes(await audit(entries));
    const shared = issueTestEnrolment(child);
    const twice = issueTestSvid(twin, 10, testEnrolmentDetails(twin, {}, shared));
    expect(await run(issueTestSvid(child, 9), twice)).toEqual(["enrolment_unproven"]);
    const more = (scope: string[]) =>
      issueTestSvid(child, 9, { ...testEnrolmentDetails(child, { scope }), scope });
    expect(await run(more(["delete:transactions"]))).toEqual(["enrolment_unproven"]);
    expect(await run(more(["write:transactions:eu"]))).toEqual([]);
    const narrow = (epoch: number) =>
      issueTestControl({
        kind: "narrow",
        subject: testOrchestrator.spiffeId,
        epoch,
        details: { scope: ["write:transactions:us"] },
      });
    expect(await run(narrow(1), more(["write:transactions:eu"]))).toEqual(["enrolment_unproven"]);
    expect(await run(narrow(2), more(["write:transactions:eu"]))).toEqual([]);
  });

  it("finds an instance by a document that had expired or is of later, but for half a minute", async () => {
    const child = createTestParty("spiffe://acme.test/team/child/inst-01C");
    const run = async (iat: number, exp: number) =>
      codes(await audit([issueTestSvid(child, 9, testEnrolmentDetails(child, { iat, exp }))]));
    expect(await run(TEST_NOW - 60, TEST_NOW - 29)).toEqual([]);
    expect(await run(TEST_NOW - 60, TEST_NOW - 30)).toEqual(["enrolment_unproven"]);
    expect(await run(TEST_NOW + 30, TEST_NOW + 60)).toEqual([]);
    expect(await run(TEST_NOW + 31, TEST_NOW + 60)).toEqual(["enrolment_unproven"]);
    expect(await run(TEST_NOW, TEST_NOW)).toEqual(["enrolment_unproven"]);
  });

  it("finds an intent that saw a tree that never was (41)", async () => {
    const { vkey, notes } = await logOf([]);
    const { root } = verifyCheckpoint(notes[0] ?? "", vkey);
    const run = async (seen: { readonly origin: string; readonly size: number; readonly root: string }) => {
      const one = issueTestIntent({ seen });
      return codes(
        await audit([one, issueTestDecision(one), issueTestOutcome(one, { decision_index: at + 1 })]),
      );
    };
    expect(await run({ origin, size: at, root: encodeBase64(root) })).toEqual([]);
    expect(await run({ origin: "other.test/log", size: 99, root: "x" })).toEqual([]);
    expect(await run({ origin, size: at, root: encodeBase64(sha256(root)) })).toEqual(["seen_mismatch"]);
    expect(await run({ origin, size: at + 1, root: encodeBase64(root) })).toEqual(["seen_mismatch"]);
  });

  it("gives every readable record in order", async () => {
    const { medium, vkey } = await logOf(history(3));
    const seen: string[] = [];
    await verifyLog({
      reader: new MemoryLogStorage(medium),
      vkey,
      certificates: testCertificates,
      onRecord: (index, record) => seen.push(`${index} ${record.unverified.kind}`),
    });
    expect(seen).toEqual(
      [...Array(5).fill("control"), ...Array(3).fill(["intent", "decision", "outcome"]).flat()].map(
        (kind, index) => `${index} ${kind}`,
      ),
    );
  });
});
