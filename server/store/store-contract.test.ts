/** What every state store does, wherever it is kept: through its real writer thread, on a real file. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { POSTGRESQL_BIN } from "../../test/support/postgresql.ts";
import {
  contextAt,
  createOwnerIn,
  createTestAuthority,
  createTestKey,
  dumpTables,
  grantCommand,
  NOW_MS,
  RULES,
  referenceOf,
  renewCommand,
  revokeIn,
  type TestAuthority,
  ticketCommand,
} from "./commands/fixture.test.support.ts";
import type { StateSettings } from "./postgres-state/protocol.ts";
import { startStateServer, type TestStateServer } from "./postgres-state/state-database.test.support.ts";
import { openForReading } from "./schema.ts";
import { createSqliteStore, type SqliteStore, type SqliteStoreOptions } from "./sqlite.ts";

if (POSTGRESQL_BIN === undefined)
  process.stderr.write("SKIPPED: the contract of state stores on PostgreSQL; install Debian's postgresql\n");

/** One PostgreSQL for all of its tests, started when the first needs it. */
let server: TestStateServer | undefined;
afterAll(() => server?.close());
async function createRemote(): Promise<StateSettings> {
  server ??= await startStateServer();
  return server.create();
}

const KINDS = [
  { name: "this machine's disk", file: "state.db", create: async () => undefined, isHere: true },
  {
    name: "PostgreSQL",
    file: "state-mirror.db",
    create: createRemote,
    isHere: POSTGRESQL_BIN !== undefined,
  },
] as const;

for (const { name, file, create, isHere } of KINDS) {
  describe.skipIf(!isHere)(`commands through the writer, on ${name}`, () => {
    const authority: TestAuthority = createTestAuthority();
    let dataDir: string;
    let store: SqliteStore;
    let remote: StateSettings | undefined;
    const onFatal = vi.fn();

    const optionsWith = (change: Partial<SqliteStoreOptions> = {}): SqliteStoreOptions => ({
      dataDir,
      keys: authority.keys,
      rules: RULES,
      nowMs: () => NOW_MS,
      onFatal,
      remote,
      ...change,
    });

    async function open(change: Partial<SqliteStoreOptions> = {}): Promise<SqliteStore> {
      const opened = await createSqliteStore(optionsWith(change));
      await opened.commands.issueServerSvid({ context: contextAt(NOW_MS), reason: "start" });
      return opened;
    }

    const createOwner = (name?: string) => createOwnerIn(store, name);
    const revoke = (id: string) => revokeIn(store, { kind: "instance", id });
    const dump = () => {
      const database = openForReading(dataDir, file);
      const tables = dumpTables(database);
      database.close();
      return tables;
    };
    const codesOf = (results: readonly PromiseSettledResult<unknown>[]) =>
      results.map((result) => (result.status === "fulfilled" ? "done" : Object(result.reason).code));

    beforeEach(async () => {
      dataDir = mkdtempSync(join(tmpdir(), "tw-store-"));
      onFatal.mockClear();
      remote = await create();
      store = await open();
    });
    afterEach(async () => {
      await store.close();
      rmSync(dataDir, { recursive: true, force: true });
    });

    test("a command's effect can be read as soon as it is answered", async () => {
      const owner = await createOwner();
      const committed = await store.commands.issue(ticketCommand(owner));
      expect(store.reads.findInstance(committed.value.instanceId)?.spiffeId).toBe(committed.value.spiffeId);
      expect(committed.entries[0]).toBeInstanceOf(Uint8Array);
      const { epoch } = await revoke(committed.value.instanceId);
      expect(store.reads.epoch()).toBe(epoch);
      expect(store.reads.findInstance(committed.value.instanceId)?.isRevoked).toBe(true);
    });

    test("refusals cross the threads with code and details, and leave nothing", async () => {
      const owner = await createOwner();
      const { value } = await store.commands.issue(ticketCommand(owner));
      const before = dump();
      const refused = store.commands.issue(
        grantCommand(referenceOf(value), { scope: ["read:tx", "delete:tx"] }),
      );
      await expect(refused).rejects.toMatchObject({
        name: "TrustWardenError",
        code: "scope_not_subset",
        details: { counterexample: "delete:tx" },
      });
      expect(dump()).toEqual(before);
    });

    test("a refused command takes nothing of its group with it", async () => {
      const owner = await createOwner();
      const results = await Promise.allSettled([
        store.commands.issue(ticketCommand(owner, { name: "a" })),
        store.commands.issue(ticketCommand("own_01JABCDEFGHJKMNPQRSTVWXYZ0", { name: "b" })),
        store.commands.issue(ticketCommand(owner, { name: "c" })),
      ]);
      expect(codesOf(results)).toEqual(["done", "owner_unknown", "done"]);
      expect(store.reads.counts().agents).toBe(2);
    });

    test("A2 of fifty parallel issues at one below the quota exactly one succeeds", async () => {
      const owner = await createOwner();
      for (let number = 1; number < RULES.quotas.agentsPerOwner; number += 1) {
        await store.commands.issue(ticketCommand(owner, { name: `a${number}` }));
      }
      const racing = Array.from({ length: 50 }, (_, index) =>
        store.commands.issue(ticketCommand(owner, { name: `race${index}` })),
      );
      const codes = codesOf(await Promise.allSettled(racing));
      expect(codes.filter((code) => code === "done")).toHaveLength(1);
      expect(codes.filter((code) => code === "quota_exceeded")).toHaveLength(49);
      expect(store.reads.counts().agents).toBe(RULES.quotas.agentsPerOwner);
    });

    test("B2 of fifty parallel uses of one ticket exactly one succeeds", async () => {
      const owner = await createOwner();
      const ticket = ticketCommand(owner);
      const racing = Array.from({ length: 50 }, () =>
        store.commands.issue({ ...ticket, spki: createTestKey().spki }),
      );
      const codes = codesOf(await Promise.allSettled(racing));
      expect(codes.filter((code) => code === "done")).toHaveLength(1);
      expect(codes.filter((code) => code === "ticket_used")).toHaveLength(49);
      expect(store.reads.counts().liveInstances).toBe(1);
    });

    test("B18 after a revocation is answered no renewal that was under way has an SVID that counts", async () => {
      const owner = await createOwner();
      const { value } = await store.commands.issue(ticketCommand(owner));
      const renewals = Array.from({ length: 20 }, () =>
        store.commands.renew(renewCommand(referenceOf(value))),
      );
      const revoked = revoke(value.instanceId);
      const later = Array.from({ length: 20 }, () => store.commands.renew(renewCommand(referenceOf(value))));
      const codes = codesOf(await Promise.allSettled([...renewals, revoked, ...later]));
      expect(codes.slice(21)).toEqual(Array(20).fill("identity_revoked"));
      const svids = (dump().svids ?? []).map((row) => JSON.parse(row)[0]);
      expect(svids.map((svid) => store.reads.findSvid(svid))).toEqual(svids.map(() => undefined));
    });

    test("J11 a revocation overtakes what waits", async () => {
      const owner = await createOwner();
      const { value } = await store.commands.issue(ticketCommand(owner));
      const answered: string[] = [];
      const flood = Array.from({ length: 300 }, () =>
        store.commands.renew(renewCommand(referenceOf(value))).then(
          () => answered.push("renewed"),
          () => answered.push("refused"),
        ),
      );
      await revoke(value.instanceId);
      const before = answered.length;
      await Promise.all(flood);
      expect(before).toBeLessThan(300);
      expect(answered.filter((answer) => answer === "refused").length).toBeGreaterThan(0);
    });

    test("what is sequenced leaves the outbox", async () => {
      const owner = await createOwner();
      const { outboxId } = await store.commands.issue(ticketCommand(owner));
      const pending = store.reads.pendingEntries().map((entry) => entry.outboxId);
      expect(pending.at(-1)).toBe(outboxId);
      await store.commands.markSequenced(pending);
      expect(store.reads.pendingEntries()).toEqual([]);
    });
  });
}
