import { describe, expect, it } from "vitest";
import { encodeUtf8 } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";
import { issueAcknowledgement } from "./acknowledgement.ts";
import { issueCheckpoint } from "./checkpoint.ts";
import { createTestLogSigner } from "./ledger.test.support.ts";
import { leafHash } from "./merkle.ts";
import { compareCheckpoint, type Followed, followLog, redeemAcknowledgement } from "./monitor.ts";
import type { LogReader } from "./ports.ts";
import { formatVkey, rawEd25519Key } from "./signed-note.ts";
import { EMPTY_EDGE, growTree } from "./tree-edge.ts";

const ORIGIN = "ledger.acme.test";
const signer = createTestLogSigner(1);
const vkey = formatVkey(ORIGIN, rawEd25519Key(signer.publicKey));
const refusal = (code: string) => expect.objectContaining({ code });

/** The files of a log of `size` entries; with `forkAt`, of another one under the same key. */
function logOf(size: number, forkAt = Number.POSITIVE_INFINITY) {
  const entries = Array.from({ length: size }, (_, index) =>
    encodeUtf8(index < forkAt ? `entry ${index}` : `other ${index}`),
  );
  const leaves = entries.map((entry) => ({ entry, leafHash: leafHash(entry) }));
  const { objects, root } = growTree(EMPTY_EDGE, leaves);
  const files = new Map(objects.map(({ path, bytes }) => [path, bytes]));
  const reads: string[] = [];
  const reader: LogReader = {
    readObject: async (path) => {
      reads.push(path);
      const bytes = files.get(path);
      if (bytes === undefined) throw new TrustWardenError("not_found", { path });
      return bytes;
    },
    readCheckpoint: async () => null,
  };
  return { reader, files, reads, note: issueCheckpoint({ origin: ORIGIN, size, root }, signer), leaves };
}
const follow = ({ reader, note }: ReturnType<typeof logOf>, before: Followed | null = null) =>
  followLog(reader, { vkey, note, before, withEntries: true });

describe("following a log", () => {
  it("reads every tile and bundle once, and goes on from where it was", async () => {
    const small = logOf(300);
    const first = await follow(small);
    expect(new Set(small.reads)).toEqual(new Set(small.files.keys()));
    const large = logOf(1000);
    const second = await follow(large, first);
    expect(second.head.size).toBe(1000);
    expect(large.reads).not.toContain("tile/entries/000");
    expect(large.reads).toContain("tile/entries/001");
    expect(large.reads).toContain("tile/1/000.p/3");
    expect(await follow(large, second)).toEqual(second);
  });

  it.each([3, 255, 256, 299])(
    "finds a second history that begins at %i, by leaves that give its root",
    async (forkAt) => {
      const first = await follow(logOf(300));
      const forked = logOf(600, forkAt);
      await expect(follow(forked, first)).rejects.toThrow(refusal("log_misbehaved"));
      await follow(logOf(600, 300), first);
    },
  );

  it("convicts by two notes of one size alone, whatever tiles are shown with the second", async () => {
    const first = await follow(logOf(300));
    const { reader } = logOf(300);
    await expect(follow({ ...logOf(300, 120), reader }, first)).rejects.toThrow(refusal("log_misbehaved"));
  });

  it("tells damaged files from a second history", async () => {
    const first = await follow(logOf(300));
    for (const path of ["tile/0/001", "tile/entries/001", "tile/1/000.p/2"]) {
      const damaged = logOf(600);
      const bytes = damaged.files.get(path);
      if (bytes === undefined) throw new Error("it is there");
      bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
      await expect(follow(damaged, first)).rejects.toThrow(refusal("ledger_corrupt"));
      await expect(follow(damaged)).rejects.toThrow(refusal("ledger_corrupt"));
    }
  });

  it("believes no checkpoint of another key", async () => {
    const log = logOf(3);
    const other = formatVkey(ORIGIN, rawEd25519Key(createTestLogSigner(2).publicKey));
    await expect(
      followLog(log.reader, { vkey: other, note: log.note, before: null, withEntries: false }),
    ).rejects.toThrow(refusal("checkpoint_untrusted"));
  });
});

describe("a checkpoint that somebody else was shown", () => {
  it.each([0, 1, 255, 256, 299, 300])("is of the same history at size %i", async (size) => {
    const log = logOf(300);
    const followed = await follow(log);
    expect(await compareCheckpoint(log.reader, { note: logOf(size).note, vkey, followed })).toEqual({
      kind: "consistent",
      size,
    });
  });

  it("is of another history, whether smaller or as large; or of a later tree, which says nothing yet", async () => {
    const log = logOf(300);
    const followed = await follow(log);
    for (const [size, forkAt] of [
      [300, 0],
      [300, 299],
      [299, 298],
      [256, 9],
      [1, 0],
    ] as const) {
      const { note } = logOf(size, forkAt);
      expect(await compareCheckpoint(log.reader, { note, vkey, followed })).toEqual({ kind: "split", size });
    }
    const { note } = logOf(301);
    expect(await compareCheckpoint(log.reader, { note, vkey, followed })).toEqual({
      kind: "ahead",
      size: 301,
    });
  });
});

describe("a signed promise", () => {
  const promise = (index: number, hash: Uint8Array, acknowledgedAt = 1000) =>
    issueAcknowledgement({ origin: ORIGIN, index, leafHash: hash, acknowledgedAt }, signer);

  it("is kept, pending, or broken: late, or by another entry in its place", async () => {
    const log = logOf(300);
    const followed = await follow(log);
    const redeem = (acknowledgement: string, now = 1010) =>
      redeemAcknowledgement(log.reader, { acknowledgement, vkey, followed, now, delaySeconds: 60 });
    const hashAt = (index: number) => leafHash(encodeUtf8(`entry ${index}`));
    for (const index of [0, 255, 256, 299]) expect(await redeem(promise(index, hashAt(index)))).toBe("kept");
    expect(await redeem(promise(300, hashAt(300)), 1060)).toBe("pending");
    expect(await redeem(promise(300, hashAt(300)), 1061)).toBe("late");
    for (const index of [0, 256, 299]) expect(await redeem(promise(index, hashAt(index + 1)))).toBe("broken");
    await expect(redeem(log.note)).rejects.toThrow(refusal("receipt_invalid"));
  });
});
