import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { formatSubmission, MAX_SUBMISSION_BYTES } from "@trustwarden/core/agentledger/add-checkpoint.ts";
import {
  announceEnd,
  formatAnnouncement,
  parseAnnouncement,
} from "@trustwarden/core/agentledger/add-shard.ts";
import { issueCheckpoint, verifyCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import { verifyWitnessedCheckpoint } from "@trustwarden/core/agentledger/cosignature.ts";
import {
  createHistory,
  HISTORY_ORIGIN,
  HISTORY_VKEY,
} from "@trustwarden/core/agentledger/history.test.support.ts";
import { createTestLogSigner } from "@trustwarden/core/agentledger/ledger.test.support.ts";
import {
  createMemoryMedium,
  MemoryHighWater,
  MemoryLogStorage,
} from "@trustwarden/core/agentledger/memory-log-storage.ts";
import { leafHash } from "@trustwarden/core/agentledger/merkle.ts";
import { Sequencer } from "@trustwarden/core/agentledger/sequencer.ts";
import { encodeShardEnd } from "@trustwarden/core/agentledger/shard.ts";
import { formatVkey, parseVkey, rawEd25519Key } from "@trustwarden/core/agentledger/signed-note.ts";
import { parseTlogPolicy } from "@trustwarden/core/agentledger/tlog-policy.ts";
import { parseTlogProof } from "@trustwarden/core/agentledger/tlog-proof.ts";
import { originHash } from "@trustwarden/core/agentledger/witness.ts";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { afterAll, describe, expect, it, onTestFinished } from "vitest";
import { createHome, runWarden } from "../testing.ts";
import { createWitnessDirectory, openWitnessDirectory } from "./witness-directory.ts";
import { createWitnessServer } from "./witness-server.ts";
import { WitnessStore } from "./witness-store.ts";

const home = createHome();
afterAll(() => rmSync(home, { recursive: true, force: true }));
const MAIN = join(import.meta.dirname, "..", "main.ts");
const CHECKPOINT = `/${originHash(HISTORY_ORIGIN)}/checkpoint`;
const sound = createHistory();
let made = 0;

/** A witness in a new directory, served in this process. */
async function serve(...later: readonly string[]) {
  made += 1;
  const path = join(home, `witness-${made}`);
  const vkey = createWitnessDirectory(path, `w${made}.test/1`);
  const directory = openWitnessDirectory(path);
  const told = [HISTORY_VKEY, ...later].map((one) => ({ vkey: one, key: parseVkey(one) }));
  const logs = new Map(told.map((log) => [log.key.name, log]));
  const events: unknown[] = [];
  const server = createWitnessServer({
    directory,
    logs,
    now: () => 1_795_000_000,
    onEvent: (event) => events.push(event),
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
    directory.store.close();
  });
  const { port } = server.address() as AddressInfo; // The cast: a TCP server has an address of that form.
  return { path, vkey, events, url: `http://127.0.0.1:${port}` };
}

const nextOf = (name: string, key: number) =>
  formatVkey(`${HISTORY_ORIGIN}/${name}`, rawEd25519Key(createTestLogSigner(key).publicKey));

/** A log that has ended and names a key for the next shard, and what its server sends to witnesses. */
async function ending(key: number, name = "2026q3") {
  const log = new Sequencer({
    origin: HISTORY_ORIGIN,
    signer: createTestLogSigner(),
    storage: new MemoryLogStorage(createMemoryMedium()),
    highWater: new MemoryHighWater(),
    now: () => 1_795_000_000,
    onFatal: () => undefined,
  });
  await log.start();
  const next = nextOf(name, key);
  await log.append([encodeUtf8("an entry")]);
  await log.append([encodeShardEnd(next)]);
  await log.waitForCheckpoint(log.size);
  const text = formatAnnouncement(await announceEnd(log, next));
  const submission = async (oldSize: number) =>
    formatSubmission({
      oldSize,
      proof: oldSize === 0 ? [] : await log.proveConsistency(oldSize, log.size),
      checkpoint: log.checkpoint(),
    });
  return { log, next, submission, announced: () => text };
}

async function submit(url: string, body: string) {
  const answer = await fetch(`${url}/add-checkpoint`, { method: "POST", body });
  return { status: answer.status, type: answer.headers.get("content-type"), body: await answer.text() };
}

describe("a running witness", () => {
  it("cosigns what grows, and shows what it remembers under the hash of the origin", async () => {
    const { url, vkey } = await serve();
    expect((await fetch(url + CHECKPOINT)).status).toBe(404);
    const first = await submit(url, sound.submission(0, 7));
    expect(first.status).toBe(200);
    await submit(url, sound.submission(7, 300));
    const note = await (await fetch(url + CHECKPOINT)).text();
    const policy = parseTlogPolicy(`log ${HISTORY_VKEY}\nwitness w ${vkey}\nquorum w\n`);
    expect(verifyWitnessedCheckpoint(note, policy).checkpoint.size).toBe(300);
    expect(verifyWitnessedCheckpoint(sound.note(7) + first.body, policy).checkpoint.size).toBe(7);
    expect((await fetch(`${url}/${"0".repeat(64)}/checkpoint`)).status).toBe(404);
  });

  it("answers with every status of the protocol, and remembers nothing of what it refuses", async () => {
    const { url } = await serve();
    await submit(url, sound.submission(0, 7));
    const stale = await submit(url, sound.submission(0, 9));
    expect(stale).toEqual({ status: 409, type: "text/x.tlog.size", body: "7\n" });
    const statuses = [
      [400, `old 8\n\n${sound.note(7)}`],
      [400, "nothing"],
      [400, "\ufffd".repeat(9)],
      [403, `old 7\n\n${sound.note(9).replace("\n9\n", "\n10\n")}`],
      [404, `old 7\n\n${sound.note(9).replaceAll(HISTORY_ORIGIN, "other.test")}`],
      [422, createHistory(3).submission(7, 9)],
      [422, createHistory(3).submission(7, 7)],
      [413, sound.submission(7, 9) + "x".repeat(MAX_SUBMISSION_BYTES)],
    ] as const;
    for (const [status, body] of statuses) expect((await submit(url, body)).status).toBe(status);
    expect((await fetch(`${url}/add-checkpoint`)).status).toBe(405);
    expect((await fetch(`${url}/other`)).status).toBe(404);
    expect((await submit(url, sound.submission(7, 9))).status).toBe(200);
  });

  it("follows a log into its shards by the same key, one behind the other, and shows what it remembers of them", async () => {
    const { url } = await serve();
    const noteOf = (name: string, key = 1, size = 1) => {
      const head = { origin: `${HISTORY_ORIGIN}/${name}`, size, root: leafHash(encodeUtf8(name)) };
      return issueCheckpoint(head, createTestLogSigner(key));
    };
    const offer = async (note: string) =>
      (await submit(url, formatSubmission({ oldSize: 0, proof: [], checkpoint: note }))).status;
    expect(await offer(noteOf("2026q3"))).toBe(200);
    expect(await offer(noteOf("2026q4", 2))).toBe(403);
    expect(await offer(noteOf("2026q4"))).toBe(200);
    // A second turn in one quarter.
    expect(await offer(noteOf("2026q4.2"))).toBe(200);
    // Of the past, of the future, of nobody's form, and of another log.
    for (const name of ["2026q2", "2026q3.2", "2027q1", "first"]) expect(await offer(noteOf(name))).toBe(404);
    expect(await offer(noteOf("2026q4").replaceAll(HISTORY_ORIGIN, "other.test"))).toBe(404);
    const shown = await fetch(`${url}/${originHash(`${HISTORY_ORIGIN}/2026q4`)}/checkpoint`);
    expect(await shown.text()).toContain(noteOf("2026q4"));
  });

  it("goes on by the key of the newest shard that it was told of, and by none that was replaced", async () => {
    const noteOf = (name: string, key: number) => {
      const head = { origin: `${HISTORY_ORIGIN}/${name}`, size: 1, root: leafHash(encodeUtf8(name)) };
      return issueCheckpoint(head, createTestLogSigner(key));
    };
    const told = formatVkey(`${HISTORY_ORIGIN}/2026q3`, rawEd25519Key(createTestLogSigner(2).publicKey));
    const { url } = await serve(told);
    const offer = async (note: string) =>
      (await submit(url, formatSubmission({ oldSize: 0, proof: [], checkpoint: note }))).status;
    expect(await offer(noteOf("2026q3", 1))).toBe(403);
    expect(await offer(noteOf("2026q3", 2))).toBe(200);
    expect(await offer(noteOf("2026q3.2", 1))).toBe(403);
    expect(await offer(noteOf("2026q3.2", 2))).toBe(200);
    expect(await offer(noteOf("2026q4", 1))).toBe(403);
    expect(await offer(noteOf("2026q4", 2))).toBe(200);
    expect(await offer(noteOf("2026q2", 1))).toBe(404);
  });

  it("follows a log to another key by its last entry, which it has cosigned, and then nothing by the key before", async () => {
    const { url, path } = await serve();
    const { log, announced, next, submission } = await ending(2);
    const announce = async (text: string) => {
      const answer = await fetch(`${url}/add-shard`, { method: "POST", body: text });
      return { status: answer.status, body: await answer.text() };
    };
    expect(await announce(announced())).toMatchObject({ status: 409, body: "0\n" });
    expect((await submit(url, await submission(0))).status).toBe(200);
    const noteOf = (name: string, key: number) => {
      const head = { origin: `${HISTORY_ORIGIN}/${name}`, size: 1, root: leafHash(encodeUtf8(name)) };
      return formatSubmission({
        oldSize: 0,
        proof: [],
        checkpoint: issueCheckpoint(head, createTestLogSigner(key)),
      });
    };
    const offer = async (name: string, key: number) => (await submit(url, noteOf(name, key))).status;
    expect(await offer("2026q3", 2)).toBe(403);
    const thiefs = nextOf("2026q3", 3);
    const proof = parseTlogProof(announced().slice(announced().indexOf("\n\n") + 2));
    const forged = {
      "another key than the end names": [422, formatAnnouncement({ vkey: thiefs, proof })],
      "another shard": [422, formatAnnouncement({ vkey: nextOf("2026q2", 2), proof })],
      "no last entry": [422, formatAnnouncement({ vkey: next, proof: { ...proof, index: proof.index - 1 } })],
      "no proof": [422, formatAnnouncement({ vkey: next, proof: { ...proof, proof: [] } })],
      "a tree that was not cosigned": [422, (await ending(3)).announced()],
      "a checkpoint that the log did not sign": [
        403,
        announced().replace(
          /(— \S+ ).*\n$/,
          (_, name) => `${name}${Buffer.alloc(68, 1).toString("base64")}\n`,
        ),
      ],
      "a log that nobody knows": [404, announced().replaceAll(`\n${HISTORY_ORIGIN}\n`, "\nother.test\n")],
      nonsense: [400, "next\n\n"],
      "a large one": [413, announced() + "x".repeat(MAX_SUBMISSION_BYTES)],
    } as const;
    for (const [name, [status, text]] of Object.entries(forged))
      expect([name, (await announce(text)).status]).toEqual([name, status]);
    expect(await offer("2026q3", 2)).toBe(403);
    // What was broken off in the middle of keeping it stands in nobody's place.
    mkdirSync(join(path, "ends"));
    writeFileSync(join(path, "ends", `${originHash(HISTORY_ORIGIN)}.txt.new`), announced().slice(0, 40));
    expect((await announce(announced())).status).toBe(200);
    expect((await announce(announced())).status).toBe(200);
    // The old key begins nothing any more, neither beside the shard nor behind it, and the old log is over.
    for (const name of ["2026q2", "2026q3", "2026q3.2", "2026q4"])
      expect([name, [403, 404].includes(await offer(name, 1))]).toEqual([name, true]);
    await log.append([encodeUtf8("more")]);
    await log.waitForCheckpoint(log.size);
    // Each way to a longer tree is refused, and kept: with what ended the log it convicts whoever has the old key.
    expect(existsSync(join(path, "evidence"))).toBe(false);
    expect(await submit(url, await submission(log.size - 1))).toMatchObject({ status: 422 });
    const [file = "", ...others] = readdirSync(join(path, "evidence"));
    expect(others).toEqual([]);
    const [ended, longer] = readFileSync(join(path, "evidence", file), "utf8")
      .split(/(?=^ledger\.acme\.test$)/m)
      .map((note) => verifyCheckpoint(`${note.trimEnd()}\n`, HISTORY_VKEY));
    expect([ended?.size, longer?.size]).toEqual([log.size - 1, log.size]);
    const [end = "", ...more] = readdirSync(join(path, "ends"));
    expect(more).toEqual([]);
    const kept = parseAnnouncement(readFileSync(join(path, "ends", end), "utf8"));
    expect([kept.vkey, verifyCheckpoint(kept.proof.checkpoint, HISTORY_VKEY).size]).toEqual([
      next,
      ended?.size,
    ]);
    await log.append([encodeUtf8("and more")]);
    await log.waitForCheckpoint(log.size);
    expect(await submit(url, await submission(0))).toMatchObject({ status: 409 });
    expect(readdirSync(join(path, "evidence"))).toHaveLength(2);
    expect(await offer("2026q3", 2)).toBe(200);
    const store = WitnessStore.open(join(path, "witness.db"));
    expect([...store.nexts()]).toEqual([[HISTORY_ORIGIN, next]]);
    store.close();
    expect(await offer("2026q4", 2)).toBe(200);
    await log.stop();
  });

  it("follows no key of a shard to come, and none beyond what it was told of", async () => {
    const { url } = await serve();
    const { announced, log, submission } = await ending(2, "2027q1");
    await submit(url, await submission(0));
    const answer = await fetch(`${url}/add-shard`, { method: "POST", body: announced() });
    expect(answer.status).toBe(422);
    await log.stop();
  });

  it("keeps two roots of one size as evidence against the log, once", async () => {
    const { url, path, events } = await serve();
    await submit(url, sound.submission(0, 7));
    for (const _again of [1, 2]) await submit(url, createHistory(3).submission(7, 7));
    const [file = "", ...more] = readdirSync(join(path, "evidence"));
    expect(more).toEqual([]);
    const notes = readFileSync(join(path, "evidence", file), "utf8").split(/(?=^ledger\.acme\.test$)/m);
    const roots = notes.map((note) => verifyCheckpoint(`${note.trimEnd()}\n`, HISTORY_VKEY).root);
    expect(roots).toHaveLength(2);
    expect(roots[0]).not.toEqual(roots[1]);
    expect(events).toContainEqual(expect.objectContaining({ status: 422, evidence: expect.any(String) }));
  });

  it("cannot be rolled back by submissions at once (30)", async () => {
    const { url } = await serve();
    await submit(url, sound.submission(0, 50));
    const sizes = Array.from({ length: 24 }, (_, index) => 51 + ((index * 7) % 24));
    const answers = await Promise.all(sizes.map((size) => submit(url, sound.submission(50, size))));
    const taken = sizes.filter((_, index) => answers[index]?.status === 200);
    expect(taken).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 409)).toHaveLength(23);
    const note = await (await fetch(url + CHECKPOINT)).text();
    expect(verifyCheckpoint(note, HISTORY_VKEY).size).toBe(taken[0]);
  });

  it("shares one memory with a second process that was started on it (30)", async () => {
    const { path, url } = await serve();
    await submit(url, sound.submission(0, 50));
    const other = WitnessStore.open(join(path, "witness.db"));
    expect(verifyCheckpoint(other.read(HISTORY_ORIGIN) ?? "", HISTORY_VKEY).size).toBe(50);
    const older = { kind: "accepted", answer: { status: 200, contentType: "", body: "" } } as const;
    expect(() => other.update(HISTORY_ORIGIN, () => ({ ...older, remember: sound.note(49) }))).toThrow(
      "does not go back",
    );
    other.close();
    expect((await submit(url, sound.submission(50, 51))).status).toBe(200);
  });
});

describe("warden witness", () => {
  it("makes a witness once, and serves none without key and memory", async () => {
    const path = join(home, "made");
    const init = ["witness", "init", path, "--name", "w.test/made", "--json"];
    const { exitCode, stdout } = await runWarden(home, init);
    expect(exitCode).toBe(0);
    const { vkey } = JSON.parse(stdout);
    expect(parseVkey(vkey).name).toBe("w.test/made");
    expect((await runWarden(home, init)).stdout).toContain('"usage"');
    const twice = [
      "--log",
      HISTORY_VKEY,
      "--log",
      formatVkey(HISTORY_ORIGIN, rawEd25519Key(createTestLogSigner(9).publicKey)),
    ];
    const refused = await runWarden(home, ["witness", "serve", path, "--listen", "127.0.0.1:0", ...twice]);
    expect(refused.stderr).toContain("usage");
    rmSync(join(path, "witness.db"));
    const lost = await runWarden(home, ["witness", "serve", path, "--log", HISTORY_VKEY]);
    expect(lost.exitCode).toBe(1);
    expect(lost.stderr).toContain("not_found");
    expect(existsSync(join(path, "witness.db"))).toBe(false);
  });

  it("prints a policy of more than half of the witnesses, and none that cannot be", async () => {
    const vkeys = [1, 2, 3].map((n) => createWitnessDirectory(join(home, `p${n}`), `p${n}.test/1`));
    const args = [
      "--log",
      HISTORY_VKEY,
      ...vkeys.flatMap((vkey) => ["--witness", `${vkey},https://p.test/`]),
    ];
    const { stdout } = await runWarden(home, ["witness", "policy", ...args]);
    expect(parseTlogPolicy(stdout).groups.get("witnesses")?.threshold).toBe(2);
    const refused = await runWarden(home, ["witness", "policy", ...args, "--quorum", "4"]);
    expect(refused.stderr).toContain("witness_policy_malformed");
  });

  it("never signs a smaller tree after kill -9, whenever it comes", async () => {
    const path = join(home, "killed");
    createWitnessDirectory(path, "w.test/killed");
    let cosigned = 0;
    for (const after of [2, 9]) {
      const { child, url } = await startProcess(path);
      const known = await sizeAt(url);
      expect(known).toBeGreaterThanOrEqual(cosigned);
      cosigned = known;
      for (let step = 0; step < 40; step += 1) {
        if (step === after) child.kill("SIGKILL");
        const answer = await submit(url, sound.submission(cosigned, cosigned + 2)).catch(() => null);
        if (answer === null) break;
        expect(answer.status).toBe(200);
        cosigned += 2;
      }
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    }
    const { child, url } = await startProcess(path);
    const known = await sizeAt(url);
    expect(known).toBeGreaterThanOrEqual(cosigned);
    expect((await submit(url, sound.submission(0, 1))).body).toBe(`${known}\n`);
    child.kill("SIGTERM");
    expect(await once(child, "exit")).toEqual([0, null]);
  }, 180_000);
});

async function startProcess(path: string): Promise<{ readonly child: ChildProcess; readonly url: string }> {
  const args = [MAIN, "witness", "serve", path, "--log", HISTORY_VKEY, "--listen", "127.0.0.1:0"];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  for await (const line of createInterface({ input: child.stdout })) {
    child.stdout.resume();
    return { child, url: JSON.parse(line).url };
  }
  throw new Error("it ended before it was ready");
}

async function sizeAt(url: string): Promise<number> {
  const answer = await fetch(url + CHECKPOINT);
  return answer.status === 404 ? 0 : verifyCheckpoint(await answer.text(), HISTORY_VKEY).size;
}
