/**
 * A server is backed up while it works; what was stopped after that is never alive again, whatever is left of it. Its ledger
 * turns to another shard before the backup, and to one more after it.
 */
import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { formatTicketValue, parseTicketValue } from "@trustwarden/core/agentid/enrolment-value.ts";
import { SealedWriter } from "@trustwarden/server/backup/sealed-stream.ts";
import { loadConfig } from "@trustwarden/server/config.ts";
import { startServer } from "@trustwarden/server/main.ts";
import { AgentIdentity } from "trustwarden";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { createHome, type Ran, runWarden } from "./testing.ts";

type Running = Awaited<ReturnType<typeof startServer>>;

const home = createHome();
const places = { dataDir: join(home, "data"), configDir: join(home, "config") };
const backup = join(home, "monday.tw");
const old = join(home, "old");
const ledger = join(old, "ledger");
const key = ["--key", join(home, "backup.key")];
/** Of a ledger with witnesses; none is asked here. */
const WITNESSED = ["witnessed-checkpoint", "witnessed-checkpoint.2026q3"];
/** Copies of backups that were broken off, and when. */
const LEFT = [
  [".backup-old", new Date(Date.now() - 2 * 86_400_000)],
  [".backup-today", new Date()],
] as const;
let made: { readonly id: string; readonly madeBy: string };
const beside = new Set<string>();
let usedTicket = "";
let unusedTicket = "";

function warden(...args: readonly string[]): Promise<Ran> {
  return runWarden(home, [...args, "--data", places.dataDir, "--config-dir", places.configDir]);
}

async function facts(...args: readonly string[]) {
  const { exitCode, stdout } = await warden(...args, "--json");
  expect(exitCode, stdout).toBe(0);
  return JSON.parse(stdout);
}

async function refused(...args: readonly string[]): Promise<string> {
  const { exitCode, stdout } = await warden(...args, "--json");
  expect(exitCode).toBe(1);
  return JSON.parse(stdout).error.code;
}

function start(): Promise<Running> {
  const flags = { ...places, trustDomain: "acme.test", port: 0, stopPort: 0, logLevel: "silent" } as const;
  return startServer(loadConfig({ flags, environment: {} }));
}

async function ticketFor(name: string): Promise<string> {
  const { ticket } = await facts(
    "agent",
    "ticket",
    "--owner",
    "alice",
    "--name",
    name,
    "--scope",
    "read:files",
  );
  return ticket;
}

async function stateOf(name: string): Promise<readonly string[]> {
  const { agents } = await facts("agent", "list");
  const found = agents.filter((agent: { readonly name: string }) => agent.name === name);
  return found.flatMap((agent: { readonly instances: readonly { readonly status: string }[] }) =>
    agent.instances.map(({ status }) => status),
  );
}

/** The same ticket for the server where it listens now. */
function moved(value: string, server: Running): string {
  return formatTicketValue({ ...parseTicketValue(value), server: server.url });
}

function forget(): void {
  rmSync(places.dataDir, { recursive: true, force: true });
}

/** Looks, while bytes are sealed, at what lies where the backup is to be. */
function watchBeside() {
  const { writeFrom } = SealedWriter.prototype;
  const spy = vi.spyOn(SealedWriter.prototype, "writeFrom").mockImplementation(function (
    this: SealedWriter,
    ...given
  ) {
    for (const folder of readdirSync(home).filter((name) => name.startsWith(".monday.tw")))
      for (const name of readdirSync(join(home, folder))) beside.add(name);
    return writeFrom.apply(this, given);
  });
  return { end: () => spy.mockRestore() };
}

beforeAll(async () => {
  const server = await start();
  await facts("owner", "create", "alice");
  await facts("owner", "create", "bob");
  for (const name of ["kept", "stopped"])
    await (await AgentIdentity.create({ name, ticket: await ticketFor(name) })).close();
  expect((await warden("backup-key", join(home, "backup"))).exitCode).toBe(0);
  expect(await refused("backup", backup)).toBe("config_invalid");
  expect((await warden("ledger", "rotate", "--new-key")).exitCode).toBe(0);
  await facts("owner", "create", "carol");
  for (const name of WITNESSED) writeFileSync(join(places.dataDir, name), "cosigned");
  for (const [name, at] of LEFT) {
    mkdirSync(join(places.dataDir, name));
    utimesSync(join(places.dataDir, name), at, at);
  }
  const watch = watchBeside();
  made = await facts("backup", "--recipient", join(home, "backup.pub"), backup);
  watch.end();
  const recorded = async () => (await warden("ledger", "query", "--kind", "admin", "--json")).stdout;
  await vi.waitUntil(async () => (await recorded()).includes(`backup:${made.id}`), {
    timeout: 20_000,
    interval: 500,
  });
  usedTicket = await ticketFor("later");
  unusedTicket = await ticketFor("unused");
  await (await AgentIdentity.create({ name: "later", ticket: usedTicket })).close();
  expect((await warden("ledger", "rotate")).exitCode).toBe(0);
  await facts("revoke", "--agent", "stopped").catch(() => facts("stop", "stopped"));
  await server.close();
  renameSync(places.dataDir, old);
  cpSync(places.configDir, join(home, "config-then"), { recursive: true });
});
afterAll(() => rmSync(home, { recursive: true, force: true }));

describe("a backup", () => {
  test("holds nothing that opens anything, and nothing in the clear", () => {
    const bytes = readFileSync(backup);
    for (const file of readdirSync(places.configDir, { recursive: true, withFileTypes: true })) {
      if (!file.isFile()) continue;
      const secret = readFileSync(join(file.parentPath, file.name));
      expect(bytes.includes(secret.subarray(0, 40))).toBe(false);
    }
    expect(bytes.includes("alice")).toBe(false);
    expect(bytes.includes("SQLite format")).toBe(false);
  });

  test("lies in its place sealed and never otherwise, also while it is made", () => {
    expect([...beside]).toEqual(["backup"]);
    // What was broken off long ago is gone too; what may still be under way is not.
    expect(readdirSync(old).filter((name) => name.startsWith(".backup-"))).toEqual([".backup-today"]);
  });

  test("opens with its recipient's key alone, and not after one changed byte or a cut", async () => {
    expect(await refused("restore", backup)).toBe("backup_malformed");
    const other = join(home, "other");
    expect((await warden("backup-key", other)).exitCode).toBe(0);
    expect(await refused("restore", "--key", `${other}.key`, backup)).toBe("backup_malformed");
    const bytes = readFileSync(backup);
    const damaged = join(home, "damaged.tw");
    writeFileSync(damaged, bytes.subarray(0, -5));
    expect(await refused("restore", ...key, damaged)).toBe("backup_malformed");
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
    writeFileSync(damaged, bytes);
    expect(await refused("restore", ...key, damaged)).toBe("backup_malformed");
    expect(readdirSync(home).filter((name) => name.startsWith("data"))).toEqual([]);
  });
});

describe("a restore", () => {
  test("is refused while nothing says what was stopped since", async () => {
    expect(await refused("restore", ...key, backup)).toBe("restore_loses_stops");
    rmSync(join(places.configDir, "acme.test.high-water"));
    expect(await refused("restore", ...key, backup)).toBe("restore_loses_stops");
    cpSync(join(home, "config-then"), places.configDir, { recursive: true });
  });

  test("with the ledger that survived brings everything back but what was stopped, and no ticket of before", async () => {
    const said = await facts("restore", ...key, "--ledger", ledger, backup);
    const by = `uid:${process.getuid?.()}`;
    expect(said).toMatchObject({ outcome: "proven", replayed: { stops: 1, missing: {} } });
    expect(said.made).toMatchObject({ id: made.id, by, isRecorded: true });
    expect(made.madeBy).toBe(by);
    expect(readdirSync(places.dataDir)).toEqual(expect.arrayContaining(WITNESSED));
    const server = await start();
    try {
      expect([await stateOf("kept"), await stateOf("stopped")]).toEqual([["live"], ["revoked"]]);
      for (const [name, ticket] of [
        ["later", usedTicket],
        ["unused", unusedTicket],
      ] as const) {
        await expect(AgentIdentity.create({ name, ticket: moved(ticket, server) })).rejects.toMatchObject({
          code: "principal_refused",
        });
      }
      // The caller is told nothing; the ledger has why.
      expect((await warden("ledger", "query", "--kind", "refuse", "--json")).stdout).toContain("ticket_used");
      await (await AgentIdentity.create({ name: "new", ticket: await ticketFor("new") })).close();
    } finally {
      await server.close();
      forget();
      cpSync(join(home, "config-then"), places.configDir, { recursive: true });
    }
  });

  test("without one ends every identity and begins another ledger, under another key", async () => {
    const said = await facts("restore", ...key, "--void-all", "--vouch-owner", "alice", backup);
    expect(said).toMatchObject({
      outcome: "void",
      origin: "ledger2.acme.test",
      isHeld: false,
      made: { isRecorded: false },
    });
    expect(readdirSync(places.dataDir).filter((name) => name.startsWith("witnessed"))).toEqual([]);
    const server = await start();
    try {
      expect([await stateOf("kept"), await stateOf("stopped")]).toEqual([["revoked"], ["revoked"]]);
      const { owners } = await facts("owner", "list");
      const states = owners.map(({ name, status }: { readonly name: string; readonly status: string }) => [
        name,
        status,
      ]);
      expect(Object.fromEntries(states)).toEqual({ alice: "live", bob: "revoked", carol: "revoked" });
      await expect(
        AgentIdentity.create({ name: "unused", ticket: moved(unusedTicket, server) }),
      ).rejects.toMatchObject({
        code: "principal_refused",
      });
      await (await AgentIdentity.create({ name: "kept", ticket: await ticketFor("kept") })).close();
      expect((await stateOf("kept")).toSorted()).toEqual(["live", "revoked"]);
      expect(readdirSync(places.dataDir).some((name) => name.startsWith("ledger-before-"))).toBe(true);
    } finally {
      await server.close();
    }
    // It is a data directory like any other: it starts again.
    await (await start()).close();
  });
});
