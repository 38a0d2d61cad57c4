/**
 * The ledger on PostgreSQL and an object store, against real ones. `./dev interop` starts both and runs this; without
 * them there is nothing to test, and that is said.
 */
import { once } from "node:events";
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { rootCertificates } from "node:tls";
import { verifyCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import { describeLogStorageContract } from "@trustwarden/core/agentledger/log-storage.test.support.ts";
import { EMPTY_ROOT } from "@trustwarden/core/agentledger/merkle.ts";
import { copyPublished, moveLog } from "@trustwarden/core/agentledger/move-log.ts";
import type { LogStorage } from "@trustwarden/core/agentledger/ports.ts";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { Client } from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseConfig } from "../config.ts";
import { createLedgerStorage } from "../ledger-storage.ts";
import { describeLogCrashMatrix } from "./log-crash.test.support.ts";
import {
  createTestS3Client,
  type LogPlace,
  patient,
  type RemoteLab,
  readerOf,
  sequencerOf,
  storageOf,
} from "./log-place.test.support.ts";
import { auditPlace, startWriter } from "./log-writer-process.test.support.ts";
import { createPosixHighWater } from "./posix-log-high-water.ts";

const LAB = process.env.TRUSTWARDEN_STORAGE_LAB;
if (LAB === undefined)
  process.stderr.write(
    "SKIPPED: the ledger on PostgreSQL and an object store; `./dev interop --only ledger-storage` runs it\n",
  );

describe.skipIf(LAB === undefined)("the ledger on PostgreSQL and an object store", () => {
  const lab: RemoteLab = JSON.parse(LAB ?? "{}");
  const folder = mkdtempSync(join(tmpdir(), "postgres-log-"));
  const admin = new Client({ ...lab.postgres, user: lab.postgres?.admin });
  let places = 0;
  beforeAll(async () => {
    if (LAB !== undefined) await admin.connect();
  });
  afterAll(async () => {
    if (LAB !== undefined) await admin.end();
    rmSync(folder, { recursive: true, force: true });
  });

  function freshPlace(sessionTimeoutMs = 60_000): LogPlace {
    places += 1;
    const name = `log${process.pid}-${places}`;
    return {
      origin: `ledger.acme.test/${name}`,
      mark: join(folder, `${name}.mark`),
      directory: join(folder, name),
      remote: { ...lab, prefix: `${name}/`, sessionTimeoutMs },
    };
  }

  const takeOver = (place: LogPlace) =>
    admin.query("update trustwarden_ledger.log set epoch = epoch + 1 where id = $1", [place.origin]);

  /** What the database holds of a log. */
  async function backUp({ origin }: LogPlace) {
    const log = await admin.query("select * from trustwarden_ledger.log where id = $1", [origin]);
    return log.rows[0] as Readonly<Record<string, unknown>>;
  }

  /** Puts the row back; nothing but an administrator can, since a log only goes forward. */
  async function restore(row: Readonly<Record<string, unknown>>): Promise<void> {
    await admin.query("delete from trustwarden_ledger.log where id = $1", [row.id]);
    await admin.query("delete from trustwarden_ledger.wal where log = $1", [row.id]);
    const names = Object.keys(row);
    const values = names.map((_, at) => `$${at + 1}`).join(", ");
    await admin.query(
      `insert into trustwarden_ledger.log (${names.join(", ")}) values (${values})`,
      Object.values(row),
    );
  }

  describeLogStorageContract("PostgresLogStorage", () => {
    const place = freshPlace();
    return { connect: () => storageOf(place) };
  });

  describeLogCrashMatrix("PostgresLogStorage", freshPlace);

  describe("two writers", () => {
    it("of two processes one is the writer, until it is killed (44)", async () => {
      const place = freshPlace();
      const { child, ended } = await startWriter(place, { run: "lock", work: "told" });
      await expect(sequencerOf(place).start()).rejects.toMatchObject({ code: "data_locked" });
      child.kill("SIGKILL");
      await ended;
      const again = await started(patient(place));
      await again.stop();
    });

    it("refuses every write of one that was taken over, and shows nothing of it (44)", async () => {
      const writes: readonly ((storage: LogStorage) => Promise<void>)[] = [
        (storage) => storage.appendWal(Uint8Array.of(1)),
        (storage) => storage.rotateWal(),
        (storage) => storage.trimWal(),
        (storage) => storage.swapState(null, { size: 0, root: EMPTY_ROOT, checkpoint: "mine" }),
      ];
      for (const write of writes) {
        const place = freshPlace();
        const lost: unknown[] = [];
        const storage = storageOf(place, (error) => lost.push(error));
        await storage.open();
        await takeOver(place);
        await expect(write(storage)).rejects.toMatchObject({ code: "ledger_fenced" });
        await expect(storage.appendWal(Uint8Array.of(2))).rejects.toMatchObject({
          code: "store_unavailable",
        });
        expect(lost).toMatchObject([{ code: "ledger_fenced" }]);
        expect(await storage.readState().catch(() => null)).toBeNull();
        await storage.close();
        expect(await backUp(place)).toMatchObject({ size: null, segment: "0" });
      }
    });

    it("keeps a checkpoint that the other showed meanwhile (44)", async () => {
      const place = freshPlace();
      const storage = storageOf(place);
      await storage.open();
      await storage.publishCheckpoint("one\n");
      await takeOver(place);
      const other = createTestS3Client(remoteOf(place));
      const seen = await other.get("checkpoint");
      const condition = { kind: "is", etag: seen?.etag ?? "" } as const;
      await other.put("checkpoint", { bytes: encodeUtf8("other\n"), condition, headers: {} });
      await expect(storage.publishCheckpoint("two\n")).rejects.toMatchObject({ code: "ledger_fenced" });
      expect(await readerOf(place).readCheckpoint()).toBe("other\n");
      other.close();
      await storage.close();
    });

    it("stops one that slept through a takeover, and there is one history (44)", async () => {
      const place = freshPlace();
      // Long enough for a busy machine to say something in between.
      const short = { ...place, remote: { ...remoteOf(place), sessionTimeoutMs: 4000 } };
      const sleeper = await startWriter(short, { run: "sleeper", work: "told" });
      sleeper.child.stdin?.write("1\n");
      while (sleeper.acknowledged.size < 2) await setTimeout(5);
      sleeper.child.kill("SIGSTOP");
      const next = await started(patient(place));
      await next.append([encodeUtf8("run next pair 0 part 0"), encodeUtf8("run next pair 0 part 1")]);
      await next.waitForCheckpoint(next.size);
      const shown = await readerOf(place).readCheckpoint();
      sleeper.child.stdin?.write("2\n");
      sleeper.child.kill("SIGCONT");
      expect([await sleeper.ended, sleeper.errors()]).toEqual([3, "failed store_unavailable\n"]);
      expect([sleeper.acknowledged.size, await readerOf(place).readCheckpoint()]).toEqual([2, shown]);
      expect(verifyCheckpoint(shown ?? "", next.vkey).size).toBe(4);
      await next.stop();
      expect(await auditPlace(place, sleeper.acknowledged)).toBe(4);
    });

    it("tells an idle writer that it was taken over", async () => {
      const place = freshPlace(6000);
      const { promise, resolve } = Promise.withResolvers<unknown>();
      const storage = storageOf(place, resolve);
      await storage.open();
      await takeOver(place);
      expect(await promise).toMatchObject({ code: "ledger_fenced" });
      await storage.close();
    });
  });

  describe("a connection that breaks", () => {
    it.each(["before the statement", "before its answer"] as const)(
      "%s: the writer stops, and the next start finds what was acknowledged (42, 46)",
      async (when) => {
        const place = freshPlace();
        await using proxy = await startProxy(lab, join(folder, `proxy-${places}`));
        const postgres = { ...lab.postgres, host: proxy.directory };
        const behind = { ...place, remote: { ...remoteOf(place), postgres } };
        const fatal = Promise.withResolvers<unknown>();
        const sequencer = sequencerOf(behind, { onFatal: fatal.resolve });
        await sequencer.start();
        const pair = (run: string) => [0, 1].map((part) => encodeUtf8(`run ${run} part ${part}`));
        const kept = await sequencer.append(pair("one"));
        await sequencer.waitForCheckpoint(2);
        proxy.cut(when);
        await expect(sequencer.append(pair("two"))).rejects.toMatchObject({ code: "ledger_unavailable" });
        expect(await fatal.promise).toMatchObject({ code: "store_unavailable" });
        await expect(sequencer.append(pair("three"))).rejects.toMatchObject({ code: "ledger_unavailable" });
        await sequencer.stop();
        await (await started(patient(place))).stop();
        const leaves = new Map(
          kept.map(({ index, leafHash }) => [index, Buffer.from(leafHash).toString("hex")]),
        );
        // What was written and not answered may be there, whole; it was promised to nobody.
        expect(await auditPlace(place, leaves)).toBe(when === "before the statement" ? 2 : 4);
      },
    );
  });

  describe("a start", () => {
    const pair = (text: string) => [0, 1].map((part) => encodeUtf8(`${text} part ${part}`));
    async function grow(place: LogPlace, text: string): Promise<void> {
      const sequencer = sequencerOf(place);
      await sequencer.start();
      await sequencer.append(pair(text));
      await sequencer.stop();
    }

    it("is refused beside an object store that is ahead of the database (45)", async () => {
      const place = freshPlace();
      await grow(place, "one");
      const row = await backUp(place);
      cpSync(place.mark, `${place.mark}.old`);
      await grow(place, "two");
      await restore(row);
      cpSync(`${place.mark}.old`, place.mark);
      await expect(sequencerOf(place).start()).rejects.toMatchObject({
        code: "data_rolled_back",
        details: { reason: "published checkpoint is newer", size: 4 },
      });
    });

    it("is refused with an empty database beside a log that was published (45)", async () => {
      const place = freshPlace();
      await grow(place, "one");
      await admin.query("delete from trustwarden_ledger.log where id = $1", [place.origin]);
      rmSync(place.mark);
      await expect(sequencerOf(place).start()).rejects.toMatchObject({ code: "data_rolled_back" });
    });

    it("is refused beside the objects of another history of the same size", async () => {
      const [one, two] = [freshPlace(), freshPlace()];
      const other = { ...two, origin: one.origin };
      await grow(one, "one");
      await restore({ ...(await backUp(one)), size: null, root: null, checkpoint: null });
      await grow(other, "two");
      await expect(sequencerOf({ ...one, mark: other.mark }).start()).rejects.toMatchObject({
        code: "ledger_corrupt",
      });
    });

    it("is refused beside objects that are gone", async () => {
      const place = freshPlace();
      await grow(place, "one");
      const moved = { ...place, remote: { ...remoteOf(place), prefix: "elsewhere/" } };
      await expect(sequencerOf(moved).start()).rejects.toMatchObject({ code: "ledger_corrupt" });
    });

    it("is refused by a database without the schema, and by one that may forget", async () => {
      const place = freshPlace();
      const elsewhere = (postgres: Partial<RemoteLab["postgres"]>) => ({
        ...place,
        remote: { ...remoteOf(place), postgres: { ...lab.postgres, ...postgres } },
      });
      const bare = elsewhere({ database: "template1" });
      await expect(storageOf(bare).open()).rejects.toMatchObject({
        code: "config_invalid",
        details: { reason: expect.stringContaining("postgres-log.sql") },
      });
      const stranger = elsewhere({ user: "nobody" });
      await expect(storageOf(stranger).open()).rejects.toMatchObject({ code: "store_unavailable" });
      await setFsync("off");
      await expect(storageOf(place).open()).rejects.toMatchObject({
        code: "config_invalid",
        details: { reason: expect.stringContaining("fsync") },
      });
      await setFsync("on");
    });

    async function setFsync(value: "on" | "off"): Promise<void> {
      await admin.query(`alter system set fsync = ${value}`);
      await admin.query("select pg_reload_conf()");
      for (;;) {
        const { rows } = await admin.query("show fsync");
        if (rows[0]?.fsync === value) return;
        await setTimeout(10);
      }
    }
  });

  describe("a configuration", () => {
    const secret = (name: string, text: string) => {
      const path = join(folder, name);
      writeFileSync(path, text, { mode: 0o600 });
      return path;
    };
    function configured(place: LogPlace, changed: object, stored: object = {}): LogStorage {
      const { port, database, user, caFile } = lab.postgres;
      const { accessKeyId, secretAccessKey, ...objects } = lab.objects;
      const credentials = { Version: 1, AccessKeyId: accessKeyId, SecretAccessKey: secretAccessKey };
      const credentialsFile = secret("objects.json", JSON.stringify(credentials));
      const prefix = `${places}/`;
      const postgres = { host: "127.0.0.1", port, database, user, tls: { caFile }, ...changed };
      const ledger = {
        storage: "postgres",
        postgres,
        objects: { ...objects, prefix, credentialsFile, ...stored },
      };
      const config = parseConfig({ dataDir: folder, configDir: folder, ledger });
      const options = { origin: place.origin, nowMs: () => Date.now(), onLost: () => undefined };
      return createLedgerStorage(config, options).storage;
    }

    it("reaches the database over TLS with the password of a file", async () => {
      const place = freshPlace();
      const passwordFile = secret("password", `${lab.postgres.password}\n`);
      for (const host of ["127.0.0.1", "localhost"]) {
        const storage = configured(place, { host, passwordFile });
        await storage.open();
        await storage.appendWal(Uint8Array.of(1));
        await storage.writeObjects([{ path: "tile/0/000.p/1", bytes: Uint8Array.of(1) }]);
        await storage.close();
      }
    });

    it("reaches the objects over TLS, and no store that another authority certifies, or none", async () => {
      const place = freshPlace();
      const passwordFile = secret("password", lab.postgres.password);
      const caFile = secret("strangers.pem", rootCertificates[0] ?? "");
      for (const changed of [{ caFile }, { caFile: undefined }]) {
        const storage = configured(place, { passwordFile }, { ...changed, retryForMs: 0 });
        await expect(storage.open()).rejects.toMatchObject({ code: "store_unavailable" });
        await storage.close();
      }
      expect(lab.objects.endpoint).toMatch(/^https:/);
    });

    it("is refused without the password, with another, without TLS, and with a certificate of nobody's", async () => {
      const place = freshPlace();
      const passwordFile = secret("password", lab.postgres.password);
      const none = configured(place, {});
      await expect(none.open()).rejects.toMatchObject({ code: "config_invalid" });
      const other = configured(place, { passwordFile: secret("other", "other") });
      await expect(other.open()).rejects.toMatchObject({
        code: "store_unavailable",
        details: { sqlState: "28P01" },
      });
      const bare = configured(place, { tls: undefined, passwordFile });
      await expect(bare.open()).rejects.toMatchObject({
        code: "store_unavailable",
        details: { sqlState: "28000" },
      });
      const strange = configured(place, {
        tls: { caFile: secret("web.pem", rootCertificates[0] ?? "") },
        passwordFile,
      });
      await expect(strange.open()).rejects.toMatchObject({
        code: "store_unavailable",
        details: { sqlState: "" },
      });
      const open = configured(place, { passwordFile });
      chmodSync(passwordFile, 0o644);
      await expect(open.open()).rejects.toMatchObject({ code: "file_mode_too_open" });
    });
  });

  it("takes a log from a disk, and gives it back, with the same root and to one writer", async () => {
    const remote = freshPlace();
    const disk = { origin: remote.origin, mark: remote.mark, directory: join(folder, "moved-from") };
    const back = { ...disk, directory: join(folder, "moved-back") };
    const before = sequencerOf(disk);
    await before.start();
    await before.append(Array.from({ length: 300 }, (_, at) => encodeUtf8(`entry ${at}`)));
    await before.waitForCheckpoint(300);
    await before.stop();
    const { root } = verifyCheckpoint(before.checkpoint(), before.vkey);
    for (const [from, to] of [
      [disk, remote],
      [remote, back],
    ] as const) {
      const [source, target] = [storageOf(from), storageOf(to)];
      await target.open();
      const copied = await copyPublished(readerOf(from), { target, vkey: before.vkey });
      await source.open();
      const mark = await createPosixHighWater({ path: disk.mark, dataDirectory: disk.directory }).read();
      const moved = await moveLog({ source, target, vkey: before.vkey, mark, copied });
      expect(moved).toEqual({ size: 300, root, pending: 0 });
      await source.close();
      await target.close();
      await expect(sequencerOf(from).start()).rejects.toThrow(
        expect.objectContaining({ code: "ledger_moved" }),
      );
    }
    const after = sequencerOf(back);
    await after.start();
    expect([after.size, after.checkpoint()]).toEqual([300, before.checkpoint()]);
    await after.stop();
  });

  it("gives its login no more than it needs, and nobody a way back", async () => {
    const place = freshPlace();
    await (await started(place)).stop();
    const login = new Client({ ...lab.postgres });
    await login.connect();
    for (const statement of [
      "drop table trustwarden_ledger.wal",
      "truncate trustwarden_ledger.wal",
      "alter table trustwarden_ledger.log disable trigger only_forward",
      "delete from trustwarden_ledger.log",
      "update trustwarden_ledger.wal set record = ''",
      "update trustwarden_ledger.version set version = 2",
      "create table trustwarden_ledger.mine (id int)",
    ]) {
      await expect(login.query(statement), statement).rejects.toMatchObject({ code: "42501" });
    }
    for (const change of [
      "epoch = epoch - 1",
      "size = null, root = null, checkpoint = null",
      "root = repeat('x', 32)::bytea",
    ]) {
      const back = login.query(`update trustwarden_ledger.log set ${change} where id = $1`, [place.origin]);
      await expect(back, change).rejects.toMatchObject({ code: "23514" });
    }
    await login.end();
  });
});

function remoteOf({ remote }: LogPlace): NonNullable<LogPlace["remote"]> {
  if (remote === undefined) throw new Error("a place of the laboratory is remote");
  return remote;
}

async function started(place: LogPlace) {
  const sequencer = sequencerOf(place);
  await sequencer.start();
  return sequencer;
}

/** A Unix socket that leads to the database and can be cut around the next statement. */
async function startProxy({ postgres }: RemoteLab, directory: string) {
  mkdirSync(directory);
  let cutting: "before the statement" | "before its answer" | undefined;
  const sockets: Socket[] = [];
  const server = createServer((near) => {
    const far = connect(join(postgres.host, `.s.PGSQL.${postgres.port}`));
    sockets.push(near, far);
    const end = () => {
      near.destroy();
      far.destroy();
    };
    near.on("data", (bytes) => (cutting === "before the statement" ? end() : far.write(bytes)));
    far.on("data", (bytes) => (cutting === "before its answer" ? end() : near.write(bytes)));
    for (const socket of [near, far]) socket.on("error", end).on("close", end);
  });
  server.listen(join(directory, `.s.PGSQL.${postgres.port}`));
  await once(server, "listening");
  return {
    directory,
    cut: (when: typeof cutting) => {
      cutting = when;
    },
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
