import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { concatBytes, encodeBase64, encodeHex, encodeUtf8 } from "../bytes.ts";
import { sha256 } from "../crypto.ts";
import { TrustWardenError } from "../error.ts";
import { createTestLogSigner, startTestLog } from "./ledger.test.support.ts";
import type { Sequencer } from "./sequencer.ts";
import { rawEd25519Key } from "./signed-note.ts";
import { parseTlogPolicy, type TlogPolicy } from "./tlog-policy.ts";
import { formatTlogProof, verifyTlogProof } from "./tlog-proof.ts";

const refusal = (code: string) => expect.objectContaining({ code });
const entryOf = (index: number) => encodeUtf8(`entry ${index}`);

/** A witness as the specification describes it, written apart from the code under test. */
function witnessOf(name: string, seed: number) {
  const signer = createTestLogSigner(seed);
  const typed = concatBytes(Uint8Array.of(4), rawEd25519Key(signer.publicKey));
  const keyId = sha256(concatBytes(encodeUtf8(`${name}\n`), typed)).slice(0, 4);
  return {
    vkey: `${name}+${encodeHex(keyId)}+${encodeBase64(typed)}`,
    cosign: (note: string, time: number) => {
      const text = note.slice(0, note.lastIndexOf("\n\n") + 1);
      const stamp = new Uint8Array(8);
      new DataView(stamp.buffer).setBigUint64(0, BigInt(time));
      const signature = signer.sign(encodeUtf8(`cosignature/v1\ntime ${time}\n${text}`));
      return `${note}\u2014 ${name} ${encodeBase64(concatBytes(keyId, stamp, signature))}\n`;
    },
  };
}

const witnesses = [
  witnessOf("w1.test/a", 21),
  witnessOf("w2.test/b", 22),
  witnessOf("w3.test/c", 23),
] as const;

const startLog = () => startTestLog({ origin: "ledger.acme.test", now: 1 });

async function grow(log: Sequencer, count: number): Promise<void> {
  await log.append(Array.from({ length: count }, (_, at) => entryOf(log.size + at)));
  await log.waitForCheckpoint(log.size);
}

async function proofOf(log: Sequencer, index: number) {
  const checkpoint = log.checkpoint();
  return { index, proof: await log.proveInclusion(index, log.size), checkpoint };
}

describe("a tlog-proof", () => {
  const policyOf = (log: Sequencer, quorum = 2): TlogPolicy => {
    const lines = [
      `log ${log.vkey}`,
      ...witnesses.map(({ vkey }, index) => `witness w${index} ${vkey}`),
      ...(quorum === 0 ? ["quorum none"] : [`group enough ${quorum} w0 w1 w2`, "quorum enough"]),
    ];
    return parseTlogPolicy(`${lines.join("\n")}\n`);
  };

  it("proves an entry under a policy of log and witnesses, and says who saw it when (33)", async () => {
    const log = await startLog();
    await grow(log, 70);
    const parts = await proofOf(log, 41);
    const checkpoint = witnesses[2].cosign(
      witnesses[0].cosign(parts.checkpoint, 1_795_000_000),
      1_795_000_007,
    );
    const text = formatTlogProof({ ...parts, checkpoint });
    expect(text.startsWith("c2sp.org/tlog-proof@v1\nindex 41\n")).toBe(true);
    const proven = verifyTlogProof(text, { entry: entryOf(41), policy: policyOf(log) });
    expect(proven).toMatchObject({ index: 41, checkpoint: { size: 70 } });
    expect(proven.cosignatures).toEqual([
      { witness: "w1.test/a", cosignedAt: 1_795_000_000 },
      { witness: "w3.test/c", cosignedAt: 1_795_000_007 },
    ]);
    await log.stop();
  });

  it("fails without its cosignatures, with a forged one, for another entry; and ignores what nobody signed (34)", async () => {
    const log = await startLog();
    await grow(log, 9);
    const parts = await proofOf(log, 4);
    const one = witnesses[0].cosign(parts.checkpoint, 5);
    const both = witnesses[1].cosign(one, 6);
    const entry = entryOf(4);
    const check = (checkpoint: string, quorum = 2) =>
      verifyTlogProof(formatTlogProof({ ...parts, checkpoint }), { entry, policy: policyOf(log, quorum) });
    check(both);
    check(one, 1);
    check(parts.checkpoint, 0);
    for (const checkpoint of [parts.checkpoint, one, witnesses[0].cosign(one, 7)])
      expect(() => check(checkpoint)).toThrow(refusal("checkpoint_unwitnessed"));
    const at = both.indexOf("w2.test/b ") + 40;
    const forged = both.slice(0, at) + (both[at] === "A" ? "B" : "A") + both.slice(at + 1);
    expect(() => check(forged)).toThrow(refusal("checkpoint_untrusted"));
    const text = formatTlogProof({ ...parts, checkpoint: both });
    for (const other of [entryOf(5), encodeUtf8("entry 4 "), encodeUtf8("entrY 4")]) {
      expect(() => verifyTlogProof(text, { entry: other, policy: policyOf(log) })).toThrow(
        refusal("proof_invalid"),
      );
    }
    for (const extra of ["extra \n", "extra c29tZXRoaW5n\n"]) {
      verifyTlogProof(text.replace("index", `${extra}index`), { entry, policy: policyOf(log) });
    }
    await log.stop();
  });

  it("stays good when the log has grown tenfold and has ended (35)", async () => {
    const log = await startLog();
    await grow(log, 30);
    const early = formatTlogProof(await proofOf(log, 7));
    await grow(log, 300);
    const late = formatTlogProof(await proofOf(log, 7));
    await log.stop();
    for (const text of [early, late]) verifyTlogProof(text, { entry: entryOf(7), policy: policyOf(log, 0) });
  });

  it("is malformed with another header, index, hash or no checkpoint", async () => {
    const log = await startLog();
    await grow(log, 3);
    const text = formatTlogProof(await proofOf(log, 1));
    const policy = policyOf(log, 0);
    const wrong = [
      text.replace("@v1", "@v2"),
      text.replace("index 1", "index 01"),
      text.replace("index 1", "index -1"),
      text.replace("index 1\n", ""),
      text.replace("index 1\n", "index 1\nAAAA\n"),
      text.replace("index", "extra !\nindex"),
      text.replace("\n\n", "\n"),
      "",
    ];
    for (const bad of wrong)
      expect(() => verifyTlogProof(bad, { entry: entryOf(1), policy })).toThrow(TrustWardenError);
    for (const bad of wrong.slice(0, 6))
      expect(() => verifyTlogProof(bad, { entry: entryOf(1), policy })).toThrow(refusal("proof_malformed"));
    fc.assert(
      fc.property(fc.nat(text.length), fc.string({ minLength: 1, maxLength: 2 }), (at, junk) => {
        try {
          verifyTlogProof(text.slice(0, at) + junk + text.slice(at), { entry: entryOf(1), policy });
        } catch (error) {
          expect(error).toBeInstanceOf(TrustWardenError);
        }
      }),
    );
    await log.stop();
  });
});
