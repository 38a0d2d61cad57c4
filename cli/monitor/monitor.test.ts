import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { issueAcknowledgement } from "@trustwarden/core/agentledger/acknowledgement.ts";
import { issueCheckpoint, verifyCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import { createTestLogSigner } from "@trustwarden/core/agentledger/ledger.test.support.ts";
import { leafHash } from "@trustwarden/core/agentledger/merkle.ts";
import {
  encodeShardEnd,
  encodeShardStart,
  shardFolder,
  shardOrigin,
  vkeyFor,
} from "@trustwarden/core/agentledger/shard.ts";
import { formatVkey, parseVkey, rawEd25519Key } from "@trustwarden/core/agentledger/signed-note.ts";
import { EMPTY_EDGE, growTree } from "@trustwarden/core/agentledger/tree-edge.ts";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { afterAll, describe, expect, it, onTestFinished } from "vitest";
import { createHome, runWarden } from "../testing.ts";
import { createUrlSource } from "./log-source.ts";

const ORIGIN = "log.foreign.test";
const signer = createTestLogSigner(7);
const vkey = formatVkey(ORIGIN, rawEd25519Key(signer.publicKey));
const home = createHome();
afterAll(() => rmSync(home, { recursive: true, force: true }));
let made = 0;

/** A foreign log as files behind an ordinary web server. */
async function publish(size: number, forkAt?: number) {
  made += 1;
  const root = join(home, `log-${made}`);
  const write = (entries: readonly Uint8Array[], shard: string | null = null, by = signer) => {
    const tree = growTree(
      EMPTY_EDGE,
      entries.map((entry) => ({ entry, leafHash: leafHash(entry) })),
    );
    const head = { origin: shardOrigin(ORIGIN, shard), size: entries.length, root: tree.root };
    const note = issueCheckpoint(head, by);
    for (const { path, bytes } of [...tree.objects, { path: "checkpoint", bytes: encodeUtf8(note) }]) {
      const file = join(root, shardFolder(shard), path);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, bytes);
    }
    return note;
  };
  const log = {
    url: "",
    root,
    write,
    grow: (to: number, at = Number.POSITIVE_INFINITY) =>
      write(Array.from({ length: to }, (_, n) => encodeUtf8(n < at ? `entry ${n}` : `other ${n}`))),
  };
  log.grow(size, forkAt);
  const server = createServer((request, response) => {
    const file = join(root, request.url ?? "");
    // As a store that has bundles compressed and nothing else of them.
    const isCompressed = existsSync(`${file}.gz`) && request.headers["accept-encoding"] === "gzip";
    if (isCompressed) response.setHeader("content-encoding", "gzip");
    const shown = isCompressed ? `${file}.gz` : file;
    response.writeHead(existsSync(shown) ? 200 : 404);
    response.end(existsSync(shown) ? readFileSync(shown) : "");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo; // The cast: a TCP server has an address of that form.
  return { ...log, url: `http://127.0.0.1:${port}` };
}

/** One look, with a state of its own for each scene. */
function watcher(url: string) {
  made += 1;
  const state = join(home, `state-${made}.json`);
  const evidence = join(home, `evidence-${made}`);
  const look = async (...args: readonly string[]) => {
    const places = ["--url", url, "--vkey", vkey, "--state", state, "--evidence", evidence];
    const { exitCode, stdout } = await runWarden(home, ["monitor", ...places, "--once", "--json", ...args]);
    return { exitCode, ...JSON.parse(stdout) };
  };
  return { look, state, evidence };
}

const promise = (index: number, text: string, acknowledgedAt: number, by = signer, origin = ORIGIN) => {
  made += 1;
  const file = join(home, `promise-${made}`);
  const promised = { origin, index, leafHash: leafHash(encodeUtf8(text)), acknowledgedAt };
  writeFileSync(file, issueAcknowledgement(promised, by));
  return file;
};

describe("warden monitor", () => {
  it("follows a foreign log that grows, and goes on from its state", async () => {
    const log = await publish(300);
    const { look } = watcher(log.url);
    expect(await look()).toMatchObject({ exitCode: 0, previous_size: 0, size: 300, findings: [] });
    log.grow(700);
    expect(await look()).toMatchObject({ exitCode: 0, previous_size: 300, size: 700, findings: [] });
  });

  it("follows a log into its next shard by itself, as its end names it, and redeems promises on both sides", async () => {
    const log = await publish(300);
    const { look } = watcher(log.url);
    await look();
    const name = "2026q3";
    const entries = Array.from({ length: 300 }, (_, n) => encodeUtf8(`entry ${n}`));
    const note = log.write([...entries, encodeShardEnd(vkeyFor(vkey, shardOrigin(ORIGIN, name)))]);
    const start = encodeShardStart({ first: 301, note });
    log.write([start, encodeUtf8("entry 302")], name);
    const now = Math.floor(Date.now() / 1000);
    const promises = [promise(256, "entry 256", now), promise(302, "entry 302", now)];
    const seen = await look("--no-entries", ...promises.flatMap((file) => ["--ack", file]));
    expect(seen).toMatchObject({
      exitCode: 0,
      previous_size: 300,
      size: 303,
      origin: `${ORIGIN}/${name}`,
      acknowledgements: { kept: 2 },
    });
    log.write([start, encodeUtf8("entry 302"), encodeUtf8("entry 303")], name);
    expect(await look()).toMatchObject({ exitCode: 0, previous_size: 303, size: 304 });
    expect(await look("--ack", promise(5, "entry 6", now))).toMatchObject({ exitCode: 3 });
  });

  it("follows a log to another key that its end names, once the log shows that key, and believes no other", async () => {
    const log = await publish(1);
    const { look } = watcher(log.url);
    const [name, later] = ["2026q3", createTestLogSigner(8)];
    const next = formatVkey(shardOrigin(ORIGIN, name), rawEd25519Key(later.publicKey));
    const show = (...keys: readonly string[]) => {
      const shards = keys.map((key) => {
        return { name, origin: parseVkey(key).name, vkey: key, first: 2, size: 1, frozen: false };
      });
      writeFileSync(join(log.root, "shards"), JSON.stringify({ shards }));
    };
    const note = log.write([encodeUtf8("entry 0"), encodeShardEnd(next)]);
    log.write([encodeShardStart({ first: 2, note }), encodeUtf8("entry 3")], name, later);
    expect(await look()).toMatchObject({ exitCode: 0, size: 2, origin: ORIGIN });
    show(vkeyFor(vkey, shardOrigin(ORIGIN, name)));
    expect(await look()).toMatchObject({ exitCode: 0, size: 2, origin: ORIGIN });
    const now = Math.floor(Date.now() / 1000);
    // Of a key that the log hides: late some day, as any other that nothing comes of.
    const hidden = watcher(log.url);
    expect(await hidden.look("--ack", promise(3, "entry 3", now, later))).toMatchObject({
      exitCode: 0,
      acknowledgements: { kept: 0, pending: 1 },
    });
    expect(await hidden.look("--ack", promise(3, "entry 3", now - 100_000, later))).toMatchObject({
      exitCode: 1,
      findings: [{ code: "promise_late" }],
    });
    show(vkeyFor(vkey, shardOrigin(ORIGIN, name)), next);
    const promises = [promise(0, "entry 0", now), promise(3, "entry 3", now, later)];
    expect(await look(...promises.flatMap((file) => ["--ack", file]))).toMatchObject({
      exitCode: 0,
      size: 4,
      origin: parseVkey(next).name,
      acknowledgements: { kept: 2 },
    });
    // From its state, which keeps the key; and the key of before promises nothing behind its end.
    expect(await look("--ack", promise(3, "entry 3", now))).toMatchObject({
      exitCode: 1,
      size: 4,
      findings: [{ code: "key_replaced", is_proof: false }],
    });
    expect(await look()).toMatchObject({ exitCode: 0, acknowledgements: { pending: 0 } });
  });

  it("takes no promise of another log, and says once of one that no key of this log signed that it is none", async () => {
    const log = await publish(2);
    const { look, state } = watcher(log.url);
    const [now, stranger] = [Math.floor(Date.now() / 1000), createTestLogSigner(9)];
    const elsewhere = promise(0, "entry 0", now, stranger, "log.other.test");
    const places = ["--url", log.url, "--vkey", vkey, "--state", state, "--once", "--ack", elsewhere];
    expect((await runWarden(home, ["monitor", ...places])).exitCode).toBe(1);
    expect(existsSync(state)).toBe(false);
    expect(await look("--ack", promise(0, "entry 0", now, stranger))).toMatchObject({
      exitCode: 1,
      findings: [{ code: "untrusted", is_proof: false }],
    });
    expect(await look()).toMatchObject({ exitCode: 0, findings: [], acknowledgements: { pending: 0 } });
  });

  it("follows no shard that does not begin with the end of the one before, or that no end names", async () => {
    const entries = [encodeUtf8("entry 0")];
    const log = await publish(1);
    const { look } = watcher(log.url);
    const name = "2026q3";
    log.write([encodeShardStart({ first: 1, note: log.write(entries) })], name);
    expect(await look()).toMatchObject({ exitCode: 0, size: 1, origin: ORIGIN });
    log.write([...entries, encodeShardEnd(vkeyFor(vkey, shardOrigin(ORIGIN, name)))]);
    expect(await look()).toMatchObject({
      exitCode: 1,
      findings: [{ code: "damaged", evidence: expect.any(String) }],
    });
  });

  it("convicts a log that shows somebody a shard which goes on behind its end", async () => {
    const name = "2026q3";
    const entries = [encodeUtf8("entry 0"), encodeShardEnd(vkeyFor(vkey, shardOrigin(ORIGIN, name)))];
    const [log, mirror] = [await publish(1), await publish(1)];
    for (const one of [log, mirror])
      one.write([encodeShardStart({ first: 2, note: one.write(entries) })], name);
    const { look } = watcher(log.url);
    expect(await look("--compare", mirror.url)).toMatchObject({ exitCode: 0, size: 3, findings: [] });
    mirror.write([...entries, encodeUtf8("entry 2")]);
    expect(await look("--compare", mirror.url)).toMatchObject({
      exitCode: 3,
      findings: [{ code: "split_view", source: `${mirror.url}/`, evidence: expect.any(String) }],
    });
  });

  it("follows no forged shard either that another place shows, however often it looks", async () => {
    const log = await publish(1);
    const name = "2026q3.40";
    const note = log.write([encodeUtf8("entry 0"), encodeShardEnd(vkeyFor(vkey, shardOrigin(ORIGIN, name)))]);
    log.write([encodeUtf8("no beginning")], name);
    const { look } = watcher(log.url);
    for (let count = 0; count < 2; count += 1)
      expect(await look("--compare", log.url)).toMatchObject({
        exitCode: 1,
        size: 2,
        findings: [{ code: "damaged", evidence: expect.any(String) }],
      });
    log.write([encodeShardStart({ first: 2, note })], name);
    expect(await look("--compare", log.url)).toMatchObject({ exitCode: 0, size: 3 });
  });

  it("convicts a log that shows another history than before, and keeps both signed notes", async () => {
    const log = await publish(300);
    const { look, evidence } = watcher(log.url);
    await look();
    log.grow(400, 120);
    expect(await look()).toMatchObject({
      exitCode: 3,
      size: 300,
      findings: [{ code: "split_view", is_proof: true }],
    });
    const [folder = ""] = readdirSync(evidence);
    const sizes = ["1.note", "2.note"].map(
      (name) => verifyCheckpoint(readFileSync(join(evidence, folder, name), "utf8"), vkey).size,
    );
    expect(sizes).toEqual([300, 400]);
  });

  it("keeps what convicts, however much of what does not is kept already", async () => {
    const log = await publish(300);
    const { look, evidence } = watcher(log.url);
    await look();
    for (let count = 0; count < 256; count += 1)
      mkdirSync(join(evidence, `behind-${count}`), { recursive: true });
    log.grow(200);
    expect(await look()).toMatchObject({ exitCode: 1, findings: [{ code: "behind", evidence: null }] });
    log.grow(400, 120);
    expect(await look()).toMatchObject({
      exitCode: 3,
      findings: [{ code: "split_view", evidence: expect.stringContaining(evidence) }],
    });
  });

  it("convicts a log that shows two places two histories, and agrees with a place that is only behind", async () => {
    const log = await publish(300);
    const mirror = await publish(260);
    const other = await publish(260, 100);
    const { look } = watcher(log.url);
    expect(await look("--compare", mirror.url)).toMatchObject({
      exitCode: 0,
      agreeing: [`${mirror.url}/`],
    });
    expect(await look("--compare", mirror.url, "--compare", other.url)).toMatchObject({
      exitCode: 3,
      agreeing: [`${mirror.url}/`],
      findings: [{ code: "split_view", source: `${other.url}/`, evidence: expect.any(String) }],
    });
  });

  it("redeems promises: kept, not due yet, and broken with the promise as evidence", async () => {
    const log = await publish(300);
    const { look, evidence } = watcher(log.url);
    const now = Math.floor(Date.now() / 1000);
    const good = promise(256, "entry 256", now);
    const open = promise(300, "entry 300", now);
    expect(await look("--ack", good, "--ack", open, "--merge-delay", "3600")).toMatchObject({
      exitCode: 0,
      acknowledgements: { kept: 1, pending: 1 },
    });
    log.grow(400);
    // The open one is in the state.
    expect(await look()).toMatchObject({ exitCode: 0, acknowledgements: { kept: 1, pending: 0 } });
    expect(await look("--ack", promise(5, "entry 6", now))).toMatchObject({
      exitCode: 3,
      findings: [{ code: "promise_broken", is_proof: true, evidence: expect.stringContaining(evidence) }],
    });
  });

  it("raises an alarm at each look for a promise that is late, which convicts nobody, until it is kept", async () => {
    const log = await publish(300);
    const { look, evidence } = watcher(log.url);
    const late = promise(300, "entry 300", Math.floor(Date.now() / 1000) - 7200);
    for (const args of [["--ack", late], []])
      expect(await look(...args)).toMatchObject({
        exitCode: 1,
        acknowledgements: { kept: 0, pending: 1 },
        findings: [{ code: "promise_late", is_proof: false, evidence: expect.stringContaining(evidence) }],
      });
    log.grow(400);
    expect(await look()).toMatchObject({ exitCode: 0, acknowledgements: { kept: 1, pending: 0 } });
  });

  it("reads a log that gives its bundles out compressed, and no more of them than fits (15)", async () => {
    const { root, url } = await publish(300);
    const bundles = ["000", "001.p/44"].map((name) => join(root, "tile/entries", name));
    for (const file of bundles) {
      writeFileSync(`${file}.gz`, gzipSync(readFileSync(file)));
      rmSync(file);
    }
    const { look } = watcher(url);
    expect(await look()).toMatchObject({ exitCode: 0, size: 300, findings: [] });
    const [full = ""] = bundles;
    const { reader } = createUrlSource(url, { ca: undefined });
    const refused = async (bytes: Uint8Array, code: string) => {
      writeFileSync(`${full}.gz`, bytes);
      await expect(reader.readObject("tile/entries/000")).rejects.toThrow(expect.objectContaining({ code }));
    };
    await refused(gzipSync(Buffer.alloc(17_000_001)), "request_too_large");
    await refused(gzipSync("entries").subarray(0, -4), "server_unreachable");
  });

  it("waits for no place that sends its bytes one by one for ever", async () => {
    const dripping = createServer((_request, response) => {
      response.writeHead(200);
      const timer = setInterval(() => response.write("x"), 5);
      response.on("close", () => clearInterval(timer));
    });
    dripping.listen(0, "127.0.0.1");
    await once(dripping, "listening");
    onTestFinished(() => {
      dripping.closeAllConnections();
      dripping.close();
    });
    const { port } = dripping.address() as AddressInfo; // The cast: a TCP server has an address of that form.
    const source = createUrlSource(`http://127.0.0.1:${port}`, { ca: undefined, limitMs: 250 });
    await expect(source.reader.readCheckpoint()).rejects.toThrow(
      expect.objectContaining({ code: "server_unreachable" }),
    );
  });

  it("breaks no promise of a log that it could not ask, and keeps it open", async () => {
    const log = await publish(300);
    const { look } = watcher(log.url);
    await look();
    const checkpoint = readFileSync(join(log.root, "checkpoint"));
    rmSync(join(log.root, "checkpoint"));
    const late = promise(300, "entry 300", Math.floor(Date.now() / 1000) - 7200);
    expect(await look("--ack", late)).toMatchObject({
      exitCode: 1,
      acknowledgements: { kept: 0, pending: 1 },
      findings: [{ is_proof: false }],
    });
    writeFileSync(join(log.root, "checkpoint"), checkpoint);
    expect(await look()).toMatchObject({ exitCode: 1, findings: [{ code: "promise_late" }] });
  });

  it("tells damage, withheld entries, strangers' keys and silence from proof", async () => {
    const log = await publish(300);
    const { look } = watcher(log.url);
    rmSync(join(log.root, "tile", "entries"), { recursive: true });
    expect(await look()).toMatchObject({ exitCode: 1, findings: [{ code: "damaged", is_proof: false }] });
    expect(await look("--no-entries")).toMatchObject({ exitCode: 0, size: 300 });
    expect(await look("--no-entries", "--compare", "http://127.0.0.1:9")).toMatchObject({
      exitCode: 1,
      findings: [{ code: "unreachable", is_proof: false }],
    });
    const cutting = createServer((_request, response) => {
      response.writeHead(200, { "content-length": 100 });
      response.write("begun", () => response.destroy());
    });
    cutting.listen(0, "127.0.0.1");
    await once(cutting, "listening");
    onTestFinished(() => {
      cutting.close();
    });
    const { port } = cutting.address() as AddressInfo; // The cast: a TCP server has an address of that form.
    expect(await look("--no-entries", "--compare", `http://127.0.0.1:${port}`)).toMatchObject({
      exitCode: 1,
      findings: [{ code: "unreachable", is_proof: false }],
    });
    expect(await look("--no-entries", "--compare", `${log.url}/elsewhere`)).toMatchObject({
      exitCode: 1,
      findings: [{ code: "unreachable", is_proof: false, source: `${log.url}/elsewhere` }],
    });
    const strangers = await publish(3);
    writeFileSync(join(strangers.root, "checkpoint"), "not a note\n");
    expect(await look("--no-entries", "--compare", strangers.url)).toMatchObject({
      exitCode: 1,
      findings: [{ code: "untrusted", is_proof: false }],
    });
    log.grow(200);
    expect(await look("--no-entries")).toMatchObject({
      exitCode: 1,
      size: 300,
      findings: [{ code: "behind", is_proof: false }],
    });
  });

  it("refuses a state that is not of this log or was altered, and what is no prefix", async () => {
    const log = await publish(300);
    const { look, state } = watcher(log.url);
    await look();
    const kept = JSON.parse(readFileSync(state, "utf8"));
    kept.levels[0].pop();
    writeFileSync(state, JSON.stringify(kept));
    expect(await look()).toMatchObject({ exitCode: 1, error: { code: "config_invalid" } });
    expect(await watcher("file:///etc").look()).toMatchObject({ error: { code: "usage" } });
    const promised = join(home, "no-promise");
    writeFileSync(promised, "nothing");
    expect(await watcher(log.url).look("--ack", promised)).toMatchObject({
      error: { code: "receipt_invalid" },
    });
  });
});
