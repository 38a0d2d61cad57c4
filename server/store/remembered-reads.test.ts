/** What is remembered is never older than the latest commit. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { createReads } from "./reads.ts";
import { createCommitCount, rememberReads } from "./remembered-reads.ts";
import { openForReading, openForWriting } from "./schema.ts";

const root = mkdtempSync(join(tmpdir(), "remembered-reads-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const INSERT = "INSERT INTO owners (owner_id, name, spki, created_at) VALUES (?, ?, ?, 0)";

function openPlain() {
  const directory = mkdtempSync(join(root, "d"));
  const writer = openForWriting(directory);
  const database = openForReading(directory);
  const close = () => {
    database.close();
    writer.close();
  };
  return { database, close };
}

function open() {
  const directory = mkdtempSync(join(root, "d"));
  const writer = openForWriting(directory);
  const database = openForReading(directory);
  const plain = createReads(database, () => 0);
  const commits = createCommitCount();
  /** As the writer's thread does, after its commit and before its answer. */
  const count = () => Atomics.add(commits, 0, 1);
  let asked = 0;
  const counted = {
    ...plain,
    findOwner: (ownerId: string) => {
      asked += 1;
      return plain.findOwner(ownerId);
    },
  };
  const addUncounted = (id: string) => writer.run(INSERT, id, id, new TextEncoder().encode(id));
  const addOwner = (id: string) => {
    addUncounted(id);
    count();
  };
  return {
    writer,
    addOwner,
    addUncounted,
    count,
    reads: rememberReads(counted, { database, commits }),
    asked: () => asked,
    close: () => {
      database.close();
      writer.close();
    },
  };
}

describe("remembered reads", () => {
  it("ask the database once until something is committed, also for what is not there", () => {
    const { reads, addOwner, asked, close } = open();
    addOwner("own_1");
    for (let turn = 0; turn < 3; turn += 1) {
      expect(reads.findOwner("own_1")?.name).toBe("own_1");
      expect(reads.findOwner("own_2")).toBeUndefined();
    }
    expect(asked()).toBe(2);
    addOwner("own_2");
    expect(reads.findOwner("own_2")?.name).toBe("own_2");
    expect(reads.findOwner("own_1")?.name).toBe("own_1");
    expect(asked()).toBe(4);
    close();
  });

  it("are counts only where there are so many that counting holds everybody up", () => {
    const { database, close } = openPlain();
    let agents = 99_999;
    const counts = () => ({ owners: 1, agents, liveInstances: 1 });
    const reads = rememberReads(
      { ...createReads(database, () => 0), counts },
      { database, commits: createCommitCount() },
    );
    expect(reads.counts().agents).toBe(99_999);
    agents = 100_000;
    expect(reads.counts().agents).toBe(100_000);
    close();
  });

  it("show a revocation to the first read after its commit, and nothing before it", () => {
    const { reads, addOwner, count, writer, close } = open();
    addOwner("own_1");
    for (let epoch = 1; epoch <= 200; epoch += 1) {
      expect(reads.findOwner("own_1")?.isRevoked).toBe(false);
      writer.exec("BEGIN IMMEDIATE");
      writer.run("UPDATE owners SET revoked_epoch = ? WHERE owner_id = ?", epoch, "own_1");
      expect(reads.findOwner("own_1")?.isRevoked).toBe(false);
      writer.exec("COMMIT");
      count();
      expect(reads.findOwner("own_1")?.isRevoked).toBe(true);
      writer.run("UPDATE owners SET revoked_epoch = NULL WHERE owner_id = ?", "own_1");
      count();
    }
    close();
  });

  it("show what somebody else wrote behind the writer's back before long", async () => {
    const { reads, addUncounted, close } = open();
    expect(reads.findOwner("own_1")).toBeUndefined();
    addUncounted("own_1");
    await expect.poll(() => reads.findOwner("own_1")?.name).toBe("own_1");
    close();
  });

  it("keep a bounded number of answers", () => {
    const { reads, asked, close } = open();
    for (let turn = 0; turn < 2; turn += 1) {
      for (let owner = 0; owner < 4096; owner += 1) reads.findOwner(`own_${owner}`);
    }
    expect(asked()).toBe(4096);
    reads.findOwner("own_more");
    reads.findOwner("own_0");
    expect(asked()).toBe(4098);
    close();
  });
});
