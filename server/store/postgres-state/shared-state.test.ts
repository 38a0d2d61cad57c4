/** Several servers that write one state store, in a real PostgreSQL of Debian; each of them may end at any instant. */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { serialize } from "node:v8";
import { activeSlotOf, newTokenSlot } from "@trustwarden/core/agentid/authority-slots.ts";
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { encodeSpki } from "@trustwarden/core/crypto.ts";
import { parseEnvelope } from "@trustwarden/core/dsse.ts";
import { formatUlid } from "@trustwarden/core/id.ts";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { POSTGRESQL_BIN } from "../../../test/support/postgresql.ts";
import { sealBytes } from "../../signer/sealed-file.ts";
import { createPrivateKeyPkcs8, createSoftwareSigner } from "../../signer/software.ts";
import { openUnsealKey } from "../../signer/unseal-key.ts";
import type { ChangeAuthorityCommand } from "../authority-ports.ts";
import type { IssuingKeys } from "../commands/deps.ts";
import {
  contextAt,
  createOwnerIn,
  createTestAuthority,
  NOW_MS,
  RULES,
  revokeIn,
  ticketCommand,
} from "../commands/fixture.test.support.ts";
import { MIGRATIONS } from "../migrations/steps.ts";
import { VERSION_5 } from "../migrations/version-5.ts";
import { createSqliteStore, type SqliteStore } from "../sqlite.ts";
import { startProxy } from "./database-proxy.test.support.ts";
import type { StateSettings } from "./protocol.ts";
import { formatStateSchema, formatStateUpgrade } from "./schema-text.ts";
import type { SharedWork } from "./shared-writer.test.support.ts";
import { dumpMirror, shareStateServer } from "./state-server.test.support.ts";

const { keys } = createTestAuthority();
const { server, folder } = shareStateServer("servers that share a state store");
const WRITER = join(import.meta.dirname, "shared-writer.test.support.ts");
const PATIENT = { timeout: 60_000, interval: 20 };
const QUOTA = RULES.quotas.agentsPerOwner;
const onFatal = vi.fn();
const opened = new Map<SqliteStore, string>();
let settings: StateSettings;

beforeEach(async () => {
  if (POSTGRESQL_BIN !== undefined) settings = await server.create({ goesOn: false, isShared: true });
  onFatal.mockClear();
});
afterEach(async () => {
  for (const store of [...opened.keys()]) await close(store);
});

const directory = () => mkdtempSync(join(folder, "data-"));

async function open(
  remote = settings,
  dataDir = directory(),
  kept: IssuingKeys["kept"] = null,
): Promise<SqliteStore> {
  const store = await createSqliteStore({
    dataDir,
    remote,
    keys: { ...keys, kept },
    rules: RULES,
    nowMs: () => NOW_MS,
    onFatal,
  });
  opened.set(store, dataDir);
  await store.commands.issueServerSvid({ context: contextAt(NOW_MS), reason: "start" });
  return store;
}

/** One whose keys the others have, sealed under the key that all of them have in a file. */
function openKeeping(configDir: string, remote = settings): Promise<SqliteStore> {
  const dataDir = directory();
  mkdirSync(join(dataDir, "keys"), { mode: 0o700 });
  return open(remote, dataDir, { configDir, dataDir, trustDomain: keys.trustDomain });
}

const authorityStep = (
  { commands }: SqliteStore,
  step: Omit<ChangeAuthorityCommand, "context" | "succession" | "reason">,
) => commands.changeAuthority({ context: contextAt(NOW_MS), succession: null, reason: "by hand", ...step });

/** Makes the next key of JWT-SVIDs. @returns its id. */
async function prepareToken(store: SqliteStore, configDir: string): Promise<string> {
  const pkcs8 = createPrivateKeyPkcs8("ES256");
  const place = { custody: "sealed", keyRef: null } as const;
  const slot = newTokenSlot("jwt", encodeSpki(createSoftwareSigner(pkcs8).publicKey), place);
  const random = (length: number) => new Uint8Array(randomBytes(length));
  const dataDir = opened.get(store) ?? "";
  const unsealKey = openUnsealKey({
    configDir,
    dataDir,
    trustDomain: keys.trustDomain,
    create: true,
    random,
  });
  const file = { path: join(dataDir, "keys", `jwt-${slot.id}.key`), purpose: "jwt-key", unsealKey };
  const key = { kind: "sealed", pkcs8 } as const;
  await authorityStep(store, { step: { step: "prepare", slot }, key, sealed: sealBytes(file, pkcs8) });
  return slot.id;
}

const activateToken = (store: SqliteStore) =>
  authorityStep(store, { step: { step: "activate", kind: "jwt", isForced: true }, key: null });

async function close(store: SqliteStore): Promise<void> {
  opened.delete(store);
  await store.close();
}

const ticketIds = (count: number) =>
  Array.from({ length: count }, () => formatUlid(NOW_MS, (length) => new Uint8Array(randomBytes(length))));

async function countThere(table: string): Promise<number> {
  const [row] = await server.admin(settings, `select count(*)::int as n from trustwarden_state.${table}`);
  return Number(row?.n);
}

/** A writer's process; it says what became of each ticket until it is done, or is killed. */
async function spawnWriter(work: Omit<SharedWork, "store">) {
  const dataDir = directory();
  const file = join(dataDir, "work");
  const told: SharedWork = { ...work, store: { dataDir, keys, rules: RULES, remote: settings } };
  writeFileSync(file, serialize(told));
  const child = spawn(process.execPath, [WRITER, file], { stdio: ["pipe", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const ends = new Map<string, string>();
  const ready = Promise.withResolvers<void>();
  createInterface(child.stdout).on("line", (line) => {
    const [ticket = "", end] = line.split(" ");
    if (end === undefined) ready.resolve();
    else ends.set(ticket, end);
  });
  await Promise.race([ready.promise, exited]);
  return { dataDir, ends, exited, begin: () => child.stdin.write("\n"), kill: () => child.kill("SIGKILL") };
}

/** Codes of refusals are words; ids are not. */
const isIssued = (end: string) => !/^[a-z_]+$/.test(end);

describe.skipIf(POSTGRESQL_BIN === undefined)("servers that share a state store", () => {
  test("read what the others wrote, unasked, and write upon it", async () => {
    const [left, right] = [await open(), await open()];
    const told = vi.fn();
    right.watchFollowed(told);
    const owner = await createOwnerIn(left);
    await vi.waitFor(() => expect(right.reads.findOwnerByName("alice")?.ownerId).toBe(owner), PATIENT);
    // The copy has it a moment before anybody is told.
    await vi.waitFor(() => expect(told).toHaveBeenCalled(), PATIENT);
    const { value } = await right.commands.issue(ticketCommand(owner, { name: "agent" }));
    // A command knows what others committed before, whether it was heard of here or not.
    await revokeIn(left, { kind: "instance", id: value.instanceId });
    await vi.waitFor(() => expect(right.reads.findInstance(value.instanceId)?.isRevoked).toBe(true), PATIENT);
    await Promise.all([close(left), close(right)]);
  });

  test("tell nobody what others wrote once they are closed, when nothing can be read", async () => {
    const [left, right] = [await open(), await open()];
    let isClosed = false;
    const late = vi.fn();
    right.watchFollowed(() => {
      if (isClosed) late();
      else right.reads.authority();
    });
    await createOwnerIn(left);
    const asked = right.commands.markSequenced([]);
    const closing = close(right);
    isClosed = true;
    await Promise.all([asked, closing]);
    expect(late).not.toHaveBeenCalled();
  });

  test("sign with an SVID of their own whose event the ledger has, whatever else is committed before it", async () => {
    const [left, right] = [await open(), await open()];
    const owner = await createOwnerIn(left);
    let agents = 0;
    const signed = async () => {
      agents += 1;
      const { entries } = await left.commands.issue(ticketCommand(owner, { name: `agent-${agents}` }));
      return parseEnvelope(parseUtf8(entries.at(-1) ?? new Uint8Array(0))).unverifiedKeyid;
    };
    const issue = ({ commands }: SqliteStore, seconds: number) =>
      commands.issueServerSvid({ context: contextAt(NOW_MS + seconds * 1000), reason: "renew" });
    const first = await issue(left, 1);
    await left.commands.markSequenced([first.outboxId]);
    // Whose process may end before the ledger has it.
    const { value: others } = await issue(right, 2);
    expect(await signed()).toBe(first.value.svidSha256);
    const next = await issue(left, 3);
    expect(await signed()).toBe(first.value.svidSha256);
    await right.commands.markSequenced([next.outboxId]);
    expect(await signed()).toBe(next.value.svidSha256);
    expect(others.expiresAt).toBeGreaterThan(first.value.expiresAt);
  });

  test("A2 issue no more than the quota together, and each ticket once", async () => {
    const stores = [await open(), await open()];
    const [left, right] = stores;
    if (left === undefined || right === undefined) throw new Error("two stores");
    const owner = await createOwnerIn(left);
    const tickets = ticketIds(QUOTA + 5);
    const issued = await Promise.allSettled(
      tickets.flatMap((jti, at) =>
        [left, right].map(({ commands }) =>
          commands.issue(ticketCommand(owner, { jti, name: `agent-${at}` })),
        ),
      ),
    );
    const ends = issued.map((end) => (end.status === "fulfilled" ? "issued" : end.reason.code));
    expect(ends.filter((end) => end === "issued")).toHaveLength(QUOTA);
    expect(new Set(ends)).toEqual(new Set(["issued", "ticket_used", "quota_exceeded"]));
    expect(await countThere("instances")).toBe(QUOTA);
    const directories = stores.map((store) => opened.get(store) ?? "");
    await Promise.all(stores.map(close));
    // Whoever was behind at the end reads the rest when it opens.
    for (const dataDir of directories) await close(await open(settings, dataDir));
    expect(onFatal).not.toHaveBeenCalled();
  });

  test("lose nothing that was answered when one of them is killed, and the others do not wait for it", async () => {
    const here = await open();
    const owner = await createOwnerIn(here);
    const tickets = ticketIds(QUOTA);
    const writers = await Promise.all([
      spawnWriter({ ownerId: owner, tickets }),
      spawnWriter({ ownerId: owner, tickets }),
    ]);
    for (const { begin } of writers) begin();
    const hasIssued = ({ ends }: (typeof writers)[number]) => [...ends.values()].some(isIssued);
    // Which of them is faster is chance, and the slower one may have nothing to lose.
    await vi.waitFor(() => expect(writers.some(hasIssued)).toBe(true), PATIENT);
    const [doomed, other] = writers.toSorted(
      (left, right) => Number(hasIssued(right)) - Number(hasIssued(left)),
    );
    if (doomed === undefined || other === undefined) throw new Error("two writers");
    doomed.kill();
    await Promise.all(writers.map(({ exited }) => exited));
    const answered = [...doomed.ends, ...other.ends].filter(([, end]) => isIssued(end)).map(([, end]) => end);
    const there = await server.admin(settings, "select instance_id as id from trustwarden_state.instances");
    const ids = there.map(({ id }) => String(id));
    for (const id of answered) expect(ids).toContain(id);
    expect(new Set(answered).size).toBe(answered.length);
    expect(ids.length).toBeLessThanOrEqual(QUOTA);
    // The survivor had an end for every ticket: none was refused because the other was gone.
    expect(other.ends.size).toBe(tickets.length);
    expect([...other.ends.values()].filter((end) => !isIssued(end) && end !== "ticket_used")).toEqual([]);
    await vi.waitFor(() => expect(here.reads.counts().liveInstances).toBe(ids.length), PATIENT);
  });

  test("refuse what one of them cannot commit while it is cut off, stops too, and it goes on as the others did", async () => {
    const proxy = await startProxy(server.postgresql.port);
    const [cut, other] = [await open(proxy.of(settings)), await open()];
    const said: boolean[] = [];
    cut.watchLink(({ isLinked }) => said.push(isLinked));
    const owner = await createOwnerIn(other);
    await vi.waitFor(() => expect(cut.reads.findOwnerByName("alice")).toBeDefined(), PATIENT);
    proxy.cut();
    await expect(createOwnerIn(cut, "bob")).rejects.toMatchObject({ code: "store_unavailable" });
    await vi.waitFor(() => expect(said.at(-1)).toBe(false), PATIENT);
    await expect(revokeIn(cut, { kind: "job", id: "nightly" })).rejects.toMatchObject({
      code: "store_unavailable",
    });
    const { value } = await other.commands.issue(ticketCommand(owner, { name: "agent" }));
    await revokeIn(other, { kind: "instance", id: value.instanceId });
    expect(cut.reads.findInstance(value.instanceId)).toBeUndefined();
    proxy.mend();
    await vi.waitFor(() => expect(said.at(-1)).toBe(true), PATIENT);
    expect(cut.reads.findInstance(value.instanceId)?.isRevoked).toBe(true);
    await createOwnerIn(cut, "bob");
    expect(onFatal).not.toHaveBeenCalled();
    await close(cut);
    await proxy.close();
  });

  test("end in the same rows after an answer was lost on the way", async () => {
    const proxy = await startProxy(server.postgresql.port);
    const [left, right] = [await open(proxy.of(settings)), await open()];
    const said: boolean[] = [];
    left.watchLink(({ isLinked }) => said.push(isLinked));
    // From here on it knows of all that the other did at its start.
    await createOwnerIn(left, "carol");
    proxy.loseNextAnswer();
    await expect(createOwnerIn(left)).rejects.toMatchObject({ code: "store_unavailable" });
    await vi.waitFor(() => expect(said.at(-1)).toBe(true), PATIENT);
    // It was committed, and so it is known to both.
    await vi.waitFor(() => expect(right.reads.findOwnerByName("alice")).toBeDefined(), PATIENT);
    await createOwnerIn(left, "bob");
    await vi.waitFor(() => expect(right.reads.findOwnerByName("bob")).toBeDefined(), PATIENT);
    const [here, there] = [left, right].map((store) => dumpMirror(opened.get(store) ?? ""));
    expect(here).toEqual(there);
    await close(left);
    await proxy.close();
  });

  test("lose a step of the authority with its answer, and not what the other did: both go on with the same keys", async () => {
    const proxy = await startProxy(server.postgresql.port);
    const configDir = mkdtempSync(join(folder, "config-"));
    const [left, right] = [await openKeeping(configDir, proxy.of(settings)), await openKeeping(configDir)];
    const said: boolean[] = [];
    left.watchLink(({ isLinked }) => said.push(isLinked));
    // What it asks is on its way when the other takes its steps: behind, so that it reads these, and runs its own again.
    const isSent = proxy.hangAtGroup();
    const step = prepareToken(left, configDir).catch(({ code }) => code);
    await isSent;
    const kid = await prepareToken(right, configDir);
    await activateToken(right);
    proxy.loseNextAnswer();
    proxy.mend();
    expect(await step).toBe("store_unavailable");
    await vi.waitFor(() => expect(said.at(-1)).toBe(true), PATIENT);
    const keyOf = (store: SqliteStore) => activeSlotOf(store.reads.authority(), "jwt").id;
    expect([keyOf(left), keyOf(right)]).toEqual([kid, kid]);
    // It signs with what the other made, and with what it made itself: that was committed, and nobody heard of it.
    await createOwnerIn(left);
    await activateToken(left);
    await vi.waitFor(() => expect(keyOf(right)).toBe(keyOf(left)), PATIENT);
    expect(keyOf(right)).not.toBe(kid);
    await createOwnerIn(right, "bob");
    expect(onFatal).not.toHaveBeenCalled();
    await close(left);
    await proxy.close();
  });

  test("share a database of version 5 once it is brought up, with all that is in it", async () => {
    const shape = () =>
      server.admin(
        settings,
        `select table_schema, table_name, column_name, ordinal_position::int as at, data_type, is_nullable, null as grantee
           from information_schema.columns where table_schema like 'trustwarden%'
         union all select routine_schema, routine_name, privilege_type, 0, null, null, grantee
           from information_schema.routine_privileges where routine_schema like 'trustwarden%'
         union all select table_schema, table_name, privilege_type, 0, null, null, grantee
           from information_schema.table_privileges where table_schema like 'trustwarden%'
         union all select 'shapes', name, columns, 0, assignments, same_key, null from trustwarden_state_log.shapes
         union all select schemaname, indexname, indexdef, 0, null, null, null from pg_indexes where schemaname like 'trustwarden%'
         order by 1, 2, 3, 4, 7`,
      );
    const made = await shape();
    const before = formatStateSchema({ base: MIGRATIONS.base, steps: [VERSION_5] });
    expect(before).not.toContain("replicas");
    await server.admin(
      settings,
      `begin; drop schema trustwarden_state, trustwarden_state_log cascade; ${before}
       insert into trustwarden_state.owners (owner_id, name, spki, created_at) values ('own_1', 'old', '\\x00', 1); commit;`,
    );
    await expect(open()).rejects.toMatchObject({ code: "config_invalid" });
    await server.admin(settings, `begin; ${formatStateUpgrade(MIGRATIONS, 5)} commit;`);
    expect(await shape()).toEqual(made);
    const [left, right] = [await open(), await open()];
    expect(right.reads.findOwnerByName("old")?.ownerId).toBe("own_1");
    const owner = await createOwnerIn(left);
    await right.commands.issue(ticketCommand(owner, { name: "agent" }));
    await expect(
      server.admin(settings, `begin; ${formatStateUpgrade(MIGRATIONS, 5)} commit;`),
    ).rejects.toThrow("of another version");
  });

  test("keep out a server that wants the store alone, and wait for one that has it", async () => {
    const alone = { ...settings, goesOn: true, isShared: false, lockWaitMs: 0 };
    const shared = await open();
    await expect(open(alone)).rejects.toMatchObject({ code: "data_locked" });
    await close(shared);
    const single = await open(alone);
    await expect(open({ ...settings, lockWaitMs: 0 })).rejects.toMatchObject({ code: "data_locked" });
    await close(single);
    await close(await open());
  });
});
