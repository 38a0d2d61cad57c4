/** Pages of the tree: whole, in order, each line once, and bounded where a tree is wide. */
import { describe, expect, it } from "vitest";
import { openInMemory } from "./schema.ts";
import type { SqliteDatabase } from "./sqlite-database.ts";
import type { TreePlace } from "./tree-ports.ts";
import { createTreeReads } from "./tree-reads.ts";

const NOW = 1_000;
const INSERT_AGENT = "INSERT INTO agents VALUES (?, ?, ?, ?, ?, 1, 0, NULL)";

function addOwner(database: SqliteDatabase, id: string, name: string): void {
  database.run("INSERT INTO owners VALUES (?, ?, ?, 1, NULL)", id, name, new TextEncoder().encode(id));
}

/** Two owners; one with two roots, of which one has three children. */
function smallTree(): SqliteDatabase {
  const database = openInMemory();
  addOwner(database, "own_1", "alice");
  addOwner(database, "own_2", "bob");
  database.run(INSERT_AGENT, "agt_1", "team", "writer", "own_1", null);
  database.run(INSERT_AGENT, "agt_2", "team", "reader", "own_1", null);
  for (const n of [3, 4, 5]) database.run(INSERT_AGENT, `agt_${n}`, "team", `write-${n}`, "own_1", "agt_1");
  database.run(INSERT_AGENT, "agt_6", "other", "writer", "own_2", null);
  return database;
}

function readAll(database: SqliteDatabase, place: TreePlace, limit: number): readonly string[] {
  const reads = createTreeReads(database, () => NOW);
  const ids: string[] = [];
  let after = null;
  do {
    const page = reads.readTree(place, { after, limit });
    ids.push(...page.nodes.map(({ id }) => id));
    after = page.next;
  } while (after !== null);
  return ids;
}

describe("the tree", () => {
  it("shows owners, their roots and the children of an agent, each by name and once, in pages of any size", () => {
    const database = smallTree();
    for (const limit of [1, 2, 10]) {
      expect(readAll(database, { kind: "owners", prefix: "" }, limit)).toEqual(["own_1", "own_2"]);
      expect(readAll(database, { kind: "below-owner", ownerId: "own_1" }, limit)).toEqual(["agt_2", "agt_1"]);
      expect(readAll(database, { kind: "below-agent", ownerId: "own_1", agentId: "agt_1" }, limit)).toEqual([
        "agt_3",
        "agt_4",
        "agt_5",
      ]);
    }
  });

  it("finds agents by the beginning of their name, everywhere, of one owner, or at one path", () => {
    const database = smallTree();
    for (const limit of [1, 2, 10]) {
      expect(readAll(database, { kind: "named", prefix: "writ", ownerId: null }, limit)).toEqual([
        "agt_3",
        "agt_4",
        "agt_5",
        "agt_1",
        "agt_6",
      ]);
      expect(readAll(database, { kind: "named", prefix: "writer", ownerId: "own_2" }, limit)).toEqual([
        "agt_6",
      ]);
      expect(readAll(database, { kind: "at", path: "team", prefix: "r", ownerId: null }, limit)).toEqual([
        "agt_2",
      ]);
      expect(readAll(database, { kind: "at", path: "team", prefix: "r", ownerId: "own_2" }, limit)).toEqual(
        [],
      );
    }
  });

  it("names no stranger's agent in the cursor of a page of one owner", () => {
    const reads = createTreeReads(smallTree(), () => NOW);
    const place = { kind: "at", path: "team", prefix: "", ownerId: "own_2" } as const;
    expect(reads.readTree(place, { after: null, limit: 1 })).toEqual({ nodes: [], next: null });
    expect(reads.readTree({ ...place, ownerId: "own_1" }, { after: null, limit: 1 }).next).not.toBeNull();
  });

  it("counts what is below a line", () => {
    const reads = createTreeReads(smallTree(), () => NOW);
    const { nodes } = reads.readTree({ kind: "below-owner", ownerId: "own_1" }, { after: null, limit: 10 });
    expect(nodes.map(({ name, below, isMore, isLive }) => ({ name, below, isMore, isLive }))).toEqual([
      { name: "reader", below: 0, isMore: false, isLive: false },
      { name: "writer", below: 3, isMore: false, isLive: false },
    ]);
  });

  it("passes over strangers of the same name a bounded number a page, and still finds an owner's own", () => {
    const database = smallTree();
    database.exec("BEGIN");
    for (let n = 0; n < 2100; n += 1) {
      database.run(INSERT_AGENT, `agt_x${n}`, `p${n}`, "zed", "own_1", null);
    }
    database.run(INSERT_AGENT, "agt_z", "p", "zed", "own_2", null);
    database.exec("COMMIT");
    const reads = createTreeReads(database, () => NOW);
    const place = { kind: "named", prefix: "z", ownerId: "own_2" } as const;
    const first = reads.readTree(place, { after: null, limit: 10 });
    expect(first.nodes).toEqual([]);
    expect(first.next).toEqual({ name: "", id: expect.stringMatching(/^agt_x/) });
    expect(readAll(database, place, 10)).toEqual(["agt_z"]);
    const { nodes } = reads.readTree({ kind: "owners", prefix: "a" }, { after: null, limit: 10 });
    expect(nodes[0]).toMatchObject({ name: "alice", below: 1000, isMore: true });
  });
});
