/** Faults at each write: a group is on disk whole, or it is answered as failed and nothing goes on. */
import { describe, expect, test } from "vitest";
import { contextAt, createTestStore, NOW_MS, ticketCommand } from "./commands/fixture.test.support.ts";
import { SqliteDatabase, type SqlValue } from "./sqlite-database.ts";
import { runGroup } from "./writer-group.ts";

/** Passes everything on, but fails once: at the n-th write, or at the first constant SQL that it is told. */
class FailingDatabase extends SqliteDatabase {
  readonly #inner: SqliteDatabase;
  readonly #failingSql: string | undefined;
  #writesLeft: number;

  constructor(inner: SqliteDatabase, fault: { readonly atWrite?: number; readonly atSql?: string }) {
    super(":memory:", {});
    this.#inner = inner;
    this.#writesLeft = fault.atWrite ?? Number.POSITIVE_INFINITY;
    this.#failingSql = fault.atSql;
  }

  override get(sql: string, ...values: readonly SqlValue[]) {
    return this.#inner.get(sql, ...values);
  }

  override all(sql: string, ...values: readonly SqlValue[]) {
    return this.#inner.all(sql, ...values);
  }

  override run(sql: string, ...values: readonly SqlValue[]) {
    this.#writesLeft -= 1;
    if (this.#writesLeft === 0) throw new Error("disk I/O error");
    return this.#inner.run(sql, ...values);
  }

  override exec(sql: string): void {
    if (sql === this.#failingSql) throw new Error("disk I/O error");
    this.#inner.exec(sql);
  }
}

describe("a group", () => {
  test("I4 a fault at any write of a command leaves nothing of it", () => {
    const store = createTestStore();
    const owner = store.owner();
    const before = store.dump();
    let writes = 1;
    for (; ; writes += 1) {
      const request = { kind: "issue", command: ticketCommand(owner), id: 1 } as const;
      const database = new FailingDatabase(store.database, { atWrite: writes });
      const { replies, isFatal } = runGroup(database, store.deps, [request]);
      if (replies[0]?.isDone === true) break;
      // After the command itself come the group's own writes, whose failure is everybody's.
      if (isFatal) store.database.exec("ROLLBACK");
      expect(replies[0]?.code).toBe(isFatal ? "store_unavailable" : "internal");
      expect(store.dump()).toEqual(before);
    }
    // Claim, agent, instance, key, authority, SVID, outbox; then clock and two clean-ups.
    expect(writes).toBe(11);
    expect(store.dump()).not.toEqual(before);
  });

  test.each(["COMMIT", "RELEASE command", "SAVEPOINT command"])(
    "I4 a fault at %s answers nobody with success",
    (atSql) => {
      const store = createTestStore();
      const owner = store.owner();
      const before = store.dump();
      const requests = [1, 2].map((id) => ({ kind: "issue", command: ticketCommand(owner), id }) as const);
      const { replies, isFatal } = runGroup(
        new FailingDatabase(store.database, { atSql }),
        store.deps,
        requests,
      );
      expect(replies.map((reply) => reply.isDone)).toEqual([false, false]);
      if (isFatal) store.database.exec("ROLLBACK");
      expect(store.dump()).toEqual(before);
      expect(isFatal).toBe(atSql !== "RELEASE command");
    },
  );

  test("a group that cannot begin fails and is not fatal", () => {
    const store = createTestStore();
    store.database.exec("BEGIN");
    const request = { kind: "issue", command: ticketCommand("own_x"), id: 7 } as const;
    expect(runGroup(store.database, store.deps, [request])).toMatchObject({
      replies: [{ id: 7, isDone: false, code: "store_unavailable" }],
      isFatal: false,
    });
  });

  const MARK = { kind: "markSequenced", outboxIds: [1], id: 1 } as const;
  const levelOf = (database: SqliteDatabase) => database.get("PRAGMA synchronous")?.integer("synchronous");

  test("of marks alone waits for no disk, and the next one does", () => {
    const store = createTestStore();
    const owner = store.owner();
    const levels: (number | undefined)[] = [];
    const watched = new (class extends FailingDatabase {
      override exec(sql: string): void {
        super.exec(sql);
        if (sql === "SAVEPOINT command") levels.push(levelOf(store.database));
      }
    })(store.database, {});
    const issue = { kind: "issue", command: ticketCommand(owner), id: 2 } as const;
    for (const group of [
      [MARK],
      [issue],
      [
        { ...MARK, outboxIds: [2] },
        { ...issue, id: 3 },
      ],
    ])
      runGroup(watched, store.deps, group);
    expect(levels).toEqual([1, 2, 2, 2]);
    expect(levelOf(store.database)).toBe(2);
  });

  test.each(["COMMIT", "PRAGMA synchronous = FULL"])("of marks that fails at %s ends the writer", (atSql) => {
    const store = createTestStore();
    const { replies, isFatal } = runGroup(new FailingDatabase(store.database, { atSql }), store.deps, [MARK]);
    expect({ isDone: replies[0]?.isDone, isFatal }).toEqual({ isDone: false, isFatal: true });
  });

  test("of marks that cannot begin leaves the next one waiting for the disk", () => {
    const store = createTestStore();
    const database = new FailingDatabase(store.database, { atSql: "BEGIN IMMEDIATE" });
    expect(runGroup(database, store.deps, [MARK]).isFatal).toBe(false);
    expect(levelOf(store.database)).toBe(2);
  });

  test("commands of one group see one another in order", () => {
    const store = createTestStore();
    const owner = store.owner();
    const command = ticketCommand(owner);
    const { replies } = runGroup(store.database, store.deps, [
      { kind: "issue", command, id: 1 },
      {
        kind: "revoke",
        command: { context: contextAt(NOW_MS), target: { kind: "owner", id: owner }, reason: "" },
        id: 2,
      },
      { kind: "issue", command: ticketCommand(owner, { nowMs: NOW_MS + 2000 }), id: 3 },
    ]);
    expect(replies).toMatchObject([
      { isDone: true },
      { isDone: true },
      { isDone: false, code: "identity_revoked" },
    ]);
  });
});
