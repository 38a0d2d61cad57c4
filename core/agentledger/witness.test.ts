import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TrustWardenError } from "../error.ts";
import { formatSubmission, MAX_SUBMISSION_BYTES, parseSubmission, parseTlogSize } from "./add-checkpoint.ts";
import { issueCheckpoint, verifyCheckpoint } from "./checkpoint.ts";
import { verifyCosignatures, verifyWitnessedCheckpoint } from "./cosignature.ts";
import { createHistory, HISTORY_ORIGIN, HISTORY_VKEY } from "./history.test.support.ts";
import { createTestLogSigner } from "./ledger.test.support.ts";
import { EMPTY_ROOT, leafHash } from "./merkle.ts";
import {
  ALGORITHM_COSIGNATURE,
  createNoteSigner,
  formatVkey,
  parseVkey,
  rawEd25519Key,
} from "./signed-note.ts";
import { parseTlogPolicy } from "./tlog-policy.ts";
import { decideSubmission, originHash, readSubmission, type WitnessAnswer } from "./witness.ts";

const NOW = 1_795_000_000;
const logSigner = createTestLogSigner(1);
const vkey = HISTORY_VKEY;
const logs = new Map([[HISTORY_ORIGIN, { vkey, key: parseVkey(vkey) }]]);
const witnessSigner = createTestLogSigner(2);
const witness = createNoteSigner({
  name: "w.test/1",
  signer: witnessSigner,
  algorithm: ALGORITHM_COSIGNATURE,
});
const witnessKey = parseVkey(
  formatVkey("w.test/1", rawEd25519Key(witnessSigner.publicKey), ALGORITHM_COSIGNATURE),
);

/** A witness in memory: what `decideSubmission` is told and what it says to remember. */
function memoryWitness() {
  let remembered: string | null = null;
  return {
    remembered: () => remembered,
    submit: (body: string): WitnessAnswer => {
      const submission = readSubmission(body, logs);
      if ("status" in submission) return submission;
      const step = decideSubmission(submission, { remembered, witness, now: NOW });
      if (step.kind === "accepted") remembered = step.remember;
      return step.answer;
    },
  };
}

const sound = createHistory();
const submission = (oldSize: number, size: number, history = sound) => history.submission(oldSize, size);

describe("a witness", () => {
  it("takes the first checkpoint that it sees, with old size 0 and no proof (22)", () => {
    const own = memoryWitness();
    expect(own.submit(submission(0, 7)).status).toBe(200);
    const another = memoryWitness();
    const withProof = formatSubmission({ oldSize: 0, proof: [EMPTY_ROOT], checkpoint: sound.note(7) });
    expect(another.submit(withProof).status).toBe(422);
    expect(another.remembered()).toBeNull();
  });

  it("cosigns growth that is proven, under the time and the key that it says (23)", () => {
    const own = memoryWitness();
    own.submit(submission(0, 7));
    const { status, body } = own.submit(submission(7, 20));
    expect(status).toBe(200);
    const note = sound.note(20) + body;
    expect(verifyCosignatures(note, [witnessKey])).toEqual([{ witness: "w.test/1", cosignedAt: NOW }]);
    expect(verifyCheckpoint(note, vkey).size).toBe(20);
    expect(own.remembered()).toBe(note);
  });

  it("tells who is behind how far it is, so that the next attempt fits (24)", () => {
    const own = memoryWitness();
    own.submit(submission(0, 7));
    const stale = own.submit(submission(0, 20));
    expect(stale).toEqual({ status: 409, contentType: "text/x.tlog.size", body: "7\n" });
    expect(own.submit(submission(parseTlogSize(stale.body), 20)).status).toBe(200);
    expect(own.submit(submission(7, 20))).toMatchObject({ status: 409, body: "20\n" });
  });

  it("cosigns the same checkpoint again, and no other root for its size (25)", () => {
    const own = memoryWitness();
    own.submit(submission(0, 20));
    expect(own.submit(submission(20, 20)).status).toBe(200);
    const other = readSubmission(submission(20, 20, createHistory(3)), logs);
    if ("status" in other) throw new Error("it is signed by the log");
    const step = decideSubmission(other, { remembered: own.remembered(), witness, now: NOW });
    expect(step).toMatchObject({ kind: "refused", answer: { status: 422 } });
    const notes = step.kind === "refused" ? (step.contradiction ?? []) : [];
    expect(notes.map((note) => verifyCheckpoint(note, vkey).size)).toEqual([20, 20]);
  });

  it("refuses a history that forked before what it knows (26)", () => {
    for (const forkAt of [0, 3, 6]) {
      const own = memoryWitness();
      own.submit(submission(0, 7));
      expect(own.submit(submission(7, 20, createHistory(forkAt))).status).toBe(422);
      expect(own.submit(submission(7, 20)).status).toBe(200);
    }
    const later = memoryWitness();
    later.submit(submission(0, 7));
    expect(later.submit(submission(7, 20, createHistory(7))).status).toBe(200);
  });

  it("refuses an old size beyond the checkpoint (27)", () => {
    const own = memoryWitness();
    own.submit(submission(0, 7));
    const body = formatSubmission({ oldSize: 8, proof: [], checkpoint: sound.note(7) });
    expect(own.submit(body).status).toBe(400);
  });

  it("does not know other origins (28), and takes no other key for one that it knows (29)", () => {
    const foreign = createTestLogSigner(9);
    const head = { size: 1, root: EMPTY_ROOT };
    const unknown = issueCheckpoint({ origin: "ledger.other.test", ...head }, foreign);
    const forged = issueCheckpoint({ origin: HISTORY_ORIGIN, ...head }, foreign);
    const statusOf = (checkpoint: string) =>
      memoryWitness().submit(formatSubmission({ oldSize: 0, proof: [], checkpoint })).status;
    expect(statusOf(unknown)).toBe(404);
    expect(statusOf(forged)).toBe(403);
    expect(statusOf(sound.note(7).replace("\n7\n", "\n8\n"))).toBe(403);
  });

  it("takes one root for an empty log only", () => {
    const empty = issueCheckpoint({ origin: HISTORY_ORIGIN, size: 0, root: leafHash(EMPTY_ROOT) }, logSigner);
    const own = memoryWitness();
    expect(own.submit(formatSubmission({ oldSize: 0, proof: [], checkpoint: empty })).status).toBe(422);
    expect(own.submit(submission(0, 0)).status).toBe(200);
    expect(own.submit(submission(0, 5)).status).toBe(200);
  });

  it("remembers the log's lines and its own, not those of strangers", () => {
    const own = memoryWitness();
    const stranger = "\u2014 stranger.test AAAAAAAA\n";
    own.submit(formatSubmission({ oldSize: 0, proof: [], checkpoint: sound.note(7) + stranger }));
    expect(own.remembered()).not.toContain("stranger");
    expect(verifyCheckpoint(own.remembered() ?? "", vkey).size).toBe(7);
  });

  it("remembers one line of the log, however often it is repeated", () => {
    const own = memoryWitness();
    const [text = "", line = ""] = sound.note(7).split("\n\n");
    const repeated = `${text}\n\n${line.repeat(64)}`;
    expect(own.submit(formatSubmission({ oldSize: 0, proof: [], checkpoint: repeated })).status).toBe(200);
    expect(own.remembered()?.startsWith(sound.note(7))).toBe(true);
    expect(own.submit(submission(7, 9)).status).toBe(200);
  });

  it("is named in the address of what it remembers by the hash of the origin", () => {
    expect(originHash("example.com/foo")).toMatch(/^[0-9a-f]{64}$/);
    expect(originHash("example.com/foo")).not.toBe(originHash("example.com/fop"));
  });

  it("never goes back and never answers outside the protocol, whatever is submitted in whatever order", () => {
    const size = fc.nat(30);
    const step = fc.record({ oldSize: size, size, forkAt: fc.constantFrom(2, 10, 99), junk: fc.boolean() });
    const histories = new Map([2, 10, 99].map((forkAt) => [forkAt, createHistory(forkAt)]));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        const own = memoryWitness();
        let known = 0;
        for (const { oldSize, size: newSize, forkAt, junk } of steps) {
          const history = histories.get(forkAt) ?? sound;
          const proof = oldSize <= newSize ? history.proof(oldSize, newSize) : [];
          const body = formatSubmission({
            oldSize,
            proof: junk ? [...proof, EMPTY_ROOT] : proof,
            checkpoint: history.note(newSize),
          });
          const { status } = own.submit(body);
          expect([200, 400, 409, 422]).toContain(status);
          const remembered = own.remembered();
          const now = remembered === null ? 0 : verifyCheckpoint(remembered, vkey).size;
          expect(now).toBeGreaterThanOrEqual(known);
          if (status !== 200) expect(now).toBe(known);
          known = now;
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe("a submission", () => {
  it("is read as it was written", () => {
    const text = submission(7, 20);
    expect(parseSubmission(text)).toMatchObject({ oldSize: 7, checkpoint: sound.note(20) });
    expect(formatSubmission(parseSubmission(text))).toBe(text);
  });

  it("is malformed with another first line, a short hash, too many hashes or too many bytes", () => {
    const good = submission(7, 20);
    const hash = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";
    const withHashes = (count: number) => `old 1\n${hash.repeat(count)}\n${sound.note(20)}`;
    expect(parseSubmission(withHashes(63)).proof).toHaveLength(63);
    for (const bad of [
      good.replace("old 7", "old 07"),
      good.replace("old 7", "old -7"),
      good.replace("old 7", "new 7"),
      good.replace("old 7\n", ""),
      withHashes(64),
      `old 1\nAAAA\n\n${sound.note(20)}`,
      good + " ".repeat(MAX_SUBMISSION_BYTES),
      "",
    ]) {
      expect(() => parseSubmission(bad)).toThrow(expect.objectContaining({ code: "proof_malformed" }));
      expect(memoryWitness().submit(bad).status).toBe(400);
    }
    for (const bad of ["", "x", "-1\n", "01\n", "1\n\n"])
      expect(() => parseTlogSize(bad)).toThrow(expect.objectContaining({ code: "proof_malformed" }));
  });

  it("never breaks a witness, whatever it holds", () => {
    const good = submission(7, 20);
    fc.assert(
      fc.property(fc.nat(good.length), fc.string({ maxLength: 4 }), fc.nat(9), (at, junk, cut) => {
        const { status } = memoryWitness().submit(good.slice(0, at) + junk + good.slice(at + cut));
        expect([200, 400, 403, 404, 409, 422]).toContain(status);
      }),
    );
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(memoryWitness().submit(text).status).toBe(400);
      }),
    );
  });
});

describe("a witnessed checkpoint", () => {
  const witnessVkey = formatVkey("w.test/1", rawEd25519Key(witnessSigner.publicKey), ALGORITHM_COSIGNATURE);
  const policy = parseTlogPolicy(`log ${vkey}\nwitness one ${witnessVkey}\nquorum one\n`);

  it("is one only with the cosignatures of its policy; a reader without witness keys still takes the log's word (32)", () => {
    const own = memoryWitness();
    const note = sound.note(7) + own.submit(submission(0, 7)).body;
    expect(verifyWitnessedCheckpoint(note, policy)).toMatchObject({
      checkpoint: { size: 7 },
      cosignatures: [{ witness: "w.test/1", cosignedAt: NOW }],
    });
    expect(verifyCheckpoint(note, vkey).size).toBe(7);
    expect(() => verifyWitnessedCheckpoint(sound.note(7), policy)).toThrow(
      expect.objectContaining({ code: "checkpoint_unwitnessed" }),
    );
    // A line that was made for another checkpoint is a bad line of a known witness.
    const moved = sound.note(8) + own.submit(submission(7, 7)).body;
    expect(() => verifyWitnessedCheckpoint(moved, policy)).toThrow(
      expect.objectContaining({ code: "checkpoint_untrusted" }),
    );
  });

  it("is none when the policy does not name its log", () => {
    const other = parseTlogPolicy(`witness one ${witnessVkey}\nquorum none\n`);
    expect(() => verifyWitnessedCheckpoint(sound.note(7), other)).toThrow(
      expect.objectContaining({ code: "checkpoint_untrusted" }),
    );
    expect(() => verifyWitnessedCheckpoint("", policy)).toThrow(TrustWardenError);
  });
});
