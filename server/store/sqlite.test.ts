/** The file of the embedded store, and how it ends; what every store does is in `store-contract.test.ts`. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import {
  contextAt,
  createOwnerIn,
  createTestAuthority,
  createTestKey,
  dumpTables,
  NOW_MS,
  RULES,
  referenceOf,
  renewCommand,
  revokeIn,
  type TestAuthority,
  ticketCommand,
} from "./commands/fixture.test.support.ts";
import { openForReading } from "./schema.ts";
import { createSqliteStore, type SqliteStore, type SqliteStoreOptions } from "./sqlite.ts";

const authority: TestAuthority = createTestAuthority();
let dataDir: string;
let store: SqliteStore;
const onFatal = vi.fn();

const optionsWith = (change: Partial<SqliteStoreOptions> = {}): SqliteStoreOptions => ({
  dataDir,
  keys: authority.keys,
  rules: RULES,
  nowMs: () => NOW_MS,
  onFatal,
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
  const database = openForReading(dataDir);
  const tables = dumpTables(database);
  database.close();
  return tables;
};

beforeEach(async () => {
  dataDir = mkdtempSync(join(tmpdir(), "tw-store-"));
  onFatal.mockClear();
  store = await open();
});
afterEach(async () => {
  await store.close();
  rmSync(dataDir, { recursive: true, force: true });
});

describe("the file", () => {
  test("keeps everything over a restart: revocations, claims, epoch, and the server's id", async () => {
    const owner = await createOwner();
    const ticket = ticketCommand(owner);
    const { value } = await store.commands.issue(ticket);
    await revoke(value.instanceId);
    await store.close();
    store = await createSqliteStore(optionsWith());
    expect(store.reads.findInstance(value.instanceId)?.isRevoked).toBe(true);
    expect(store.reads.epoch()).toBe(1);
    const { commands } = store;
    await expect(commands.renew(renewCommand(referenceOf(value)))).rejects.toMatchObject({
      code: "identity_revoked",
    });
    const again = commands.issue({ ...ticket, spki: createTestKey().spki });
    await expect(again).rejects.toMatchObject({ code: "ticket_used" });
    const ids = (dump().meta ?? []).filter((row) => row.includes("server_id"));
    await commands.issueServerSvid({ context: contextAt(NOW_MS), reason: "start" });
    expect((dump().meta ?? []).filter((row) => row.includes("server_id"))).toEqual(ids);
  });

  test("is readable by its owner only, and holds no private key", async () => {
    await store.commands.issue(ticketCommand(await createOwner()));
    const files = readdirSync(dataDir).map((name) => join(dataDir, name));
    expect(files.length).toBeGreaterThan(0);
    const { serverKeyPkcs8 } = authority.keys;
    for (const file of files) {
      expect(statSync(file).mode & 0o077).toBe(0);
      for (const key of [...authority.privateKeys, serverKeyPkcs8]) {
        // The private scalar of a P-256 PKCS#8 key.
        expect(readFileSync(file).includes(key.subarray(36, 68))).toBe(false);
      }
    }
  });

  test("is not written by the connection that reads", () => {
    const database = openForReading(dataDir);
    expect(() => database.run("DELETE FROM instances")).toThrow(/readonly/);
    database.close();
  });
});

describe("an ending", () => {
  test("closing finishes what waits and refuses what comes later", async () => {
    const owner = await createOwner();
    const waiting = store.commands.issue(ticketCommand(owner));
    const closed = store.commands.close();
    await expect(waiting).resolves.toMatchObject({ value: { ownerId: owner } });
    await closed;
    await expect(revoke("inst-x")).rejects.toMatchObject({ code: "store_unavailable" });
    expect(onFatal).not.toHaveBeenCalled();
  });

  test("a key that is not the authority's keeps the store shut", async () => {
    const keys = { ...authority.keys, signingKeys: createTestAuthority().keys.signingKeys };
    const other = mkdtempSync(join(tmpdir(), "tw-store-"));
    await expect(createSqliteStore(optionsWith({ keys, dataDir: other }))).rejects.toMatchObject({
      code: "svid_untrusted",
    });
    rmSync(other, { recursive: true });
  });

  test("a directory that does not exist keeps the store shut", async () => {
    const dataDirOfNobody = join(dataDir, "none");
    await expect(createSqliteStore(optionsWith({ dataDir: dataDirOfNobody }))).rejects.toMatchObject({
      code: "store_unavailable",
    });
  });

  test("before the server has an SVID nothing is issued", async () => {
    await store.close();
    rmSync(dataDir, { recursive: true });
    dataDir = mkdtempSync(join(tmpdir(), "tw-store-"));
    store = await createSqliteStore(optionsWith());
    await expect(createOwner()).rejects.toMatchObject({ code: "store_unavailable" });
    expect(store.reads.counts().owners).toBe(0);
  });
});
