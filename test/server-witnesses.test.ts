/** A server with three real witnesses: what is called witnessed, and what its start asks them. */
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { verifyCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import { verifyWitnessedCheckpoint } from "@trustwarden/core/agentledger/cosignature.ts";
import { isSameLogKey, quarterOf } from "@trustwarden/core/agentledger/shard.ts";
import { parseTlogPolicy } from "@trustwarden/core/agentledger/tlog-policy.ts";
import {
  discovery,
  eventAnswer,
  eventPage,
  shardList,
  statusAnswer,
  turnAnswer,
} from "@trustwarden/core/api/ledger.ts";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { createAdminTransport } from "../cli/admin-transport.ts";
import { createClient } from "../cli/client.ts";
import { checkWitnesses } from "../cli/doctor-witnesses.ts";
import { runWarden } from "../cli/testing.ts";
import { createWitnessDirectory } from "../cli/witness/witness-directory.ts";
import { witnessSettings } from "../server/witnessing/config.ts";
import { createOwner, parseAnswer } from "./support/actors.ts";
import { turnLedger } from "./support/evidence-shards.ts";
import { expectRejection } from "./support/expect-code.ts";
import { codeOf, send, sendAdmin } from "./support/http.ts";
import { createHome, startTestServer, type TestHome, type TestServer } from "./support/server.ts";
import { follow, startTestWitnesses, type TestWitness } from "./support/witnesses.ts";

/** Longer than a slow machine takes for a few checkpoints; nothing waits that long when it works. */
const PATIENCE = { timeout: 60_000, interval: 20 };

let home: TestHome;
let server: TestServer;
let witnesses: readonly TestWitness[];
let policyFile: string;
let vkey: string;

const root = () => join(home.dataDir, "..");
const start = async (whenSilent: "refuse" | "start" = "refuse", aheadMs = 0) => {
  const clock = { nowMs: () => Date.now() + aheadMs, monoMs: () => performance.now() };
  const settings = { policyFile, intervalMs: 20, timeoutMs: 2000, whenSilent };
  server = await startTestServer({ witnesses: settings }, home, clock);
};
const diagnose = async (nowMs = Date.now()) =>
  checkWitnesses(
    { client: createClient(createAdminTransport(server.adminSocket)) },
    {
      config: {
        witnesses: witnessSettings.parse({ policyFile, timeoutMs: 2000 }),
        ledger: { storage: "posix", shards: "quarterly" },
      },
      status: await readStatus(),
      nowMs,
    },
  );
const text = async (target: string) => (await send(server.url, { target })).text;
const sizeOf = (note: string) => verifyCheckpoint(note, vkey).size;
const publishedSize = async () => sizeOf(await text("/ledger/checkpoint"));
const readStatus = async () =>
  parseAnswer(statusAnswer, await sendAdmin(server.adminSocket, { target: "/v1/status" }));
/** Everything that is sequenced now, published or not. */
const waitUntilWitnessed = async () => {
  const { size } = (await readStatus()).ledger;
  await vi.waitFor(async () => {
    expect(sizeOf(await text("/ledger/witnessed-checkpoint"))).toBeGreaterThanOrEqual(size);
  }, PATIENCE);
};

beforeAll(async () => {
  home = createHome();
  server = await startTestServer({}, home);
  vkey = parseAnswer(discovery, await send(server.url, { target: "/.well-known/trustwarden" })).log_vkey;
  expect(codeOf(await send(server.url, { target: "/ledger/witnessed-checkpoint" }))).toBe("not_found");
  expect(codeOf(await send(server.url, { target: "/ledger/witness-policy" }))).toBe("not_found");
  await server.close();
  ({ witnesses, policyFile } = await startTestWitnesses(join(root(), "witnesses")));
});
afterAll(async () => {
  await server.close();
  for (const witness of witnesses) await witness.stop();
  home.remove();
});

describe("a server with witnesses", () => {
  it("does not start before enough of them follow its log", async () => {
    await expectRejection(start(), "witnesses_unreachable");
    await follow(witnesses.slice(0, 1), vkey);
    await expectRejection(start(), "witnesses_unreachable");
    await follow(witnesses, vkey);
    await start();
  });

  it("publishes at once, and calls witnessed what a reader with its policy finds to be", async () => {
    await createOwner(server, "alice");
    await waitUntilWitnessed();
    const policy = parseTlogPolicy(await text("/ledger/witness-policy"));
    const note = await text("/ledger/witnessed-checkpoint");
    expect(verifyWitnessedCheckpoint(note, policy).cosignatures.length).toBeGreaterThanOrEqual(2);
    expect((await readStatus()).ledger).toMatchObject({
      witnessed: true,
      witnessed_size: expect.any(Number),
    });
  });

  it("proves an event to the witnessed checkpoint where that covers it", async () => {
    await waitUntilWitnessed();
    const query = await sendAdmin(server.adminSocket, { target: "/v1/events?kind=owner&limit=1" });
    const [event] = parseAnswer(eventPage, query).events;
    const target = `/v1/events/${event?.event_id}`;
    const answer = parseAnswer(eventAnswer, await sendAdmin(server.adminSocket, { target }));
    expect(answer.witnessed).toBe(true);
    const policy = parseTlogPolicy(await text("/ledger/witness-policy"));
    expect(verifyWitnessedCheckpoint(answer.checkpoint, policy).checkpoint.origin).toBe(`ledger.acme.test`);
  });

  it("leaves it to the reader's own policy what a command calls witnessed (34)", async () => {
    await waitUntilWitnessed();
    const query = await sendAdmin(server.adminSocket, { target: "/v1/events?kind=owner&limit=1" });
    const eventId = parseAnswer(eventPage, query).events[0]?.event_id ?? "";
    const own = join(root(), "own.policy");
    writeFileSync(own, await text("/ledger/witness-policy"));
    const strangers = join(root(), "strangers.policy");
    const stranger = createWitnessDirectory(join(root(), "stranger"), "stranger.test/w");
    writeFileSync(strangers, `log ${vkey}\nwitness s ${stranger}\nquorum s\n`);
    const places = ["--data", home.dataDir, "--config-dir", home.configDir, "--json"];
    const warden = (...args: readonly string[]) => runWarden(root(), [...args, ...places]);
    const prove = async (...args: readonly string[]) =>
      JSON.parse((await warden("ledger", "prove", eventId, ...args)).stdout);
    expect(await prove()).toMatchObject({ verified: true, witnessed: false });
    expect(await prove("--witness-policy", own)).toMatchObject({ witnessed: true });
    expect(await prove("--witness-policy", strangers)).toMatchObject({
      error: { code: "checkpoint_unwitnessed" },
    });
    const exported = join(root(), "export");
    await warden("ledger", "export", exported);
    const verify = async (policy: string) => {
      const { exitCode, stdout } = await warden("ledger", "verify", exported, "--witness-policy", policy);
      return { exitCode, ...JSON.parse(stdout) };
    };
    const note = join(exported, "witnessed-checkpoint");
    const witnessed_size = sizeOf(readFileSync(note, "utf8"));
    expect(await verify(own)).toMatchObject({ exitCode: 0, witnessed: true, witnessed_size });
    expect(await verify(strangers)).toMatchObject({ exitCode: 1, error: { code: "checkpoint_unwitnessed" } });
    const stripped = readFileSync(note, "utf8").replaceAll(/^\u2014 witness-.*\n/gm, "");
    writeFileSync(note, stripped);
    expect(sizeOf(stripped)).toBe(witnessed_size);
    expect(await verify(own)).toMatchObject({ exitCode: 1, error: { code: "checkpoint_unwitnessed" } });
  });

  it("is watched from its own machine and over TLS, beside what its witnesses remember", async () => {
    await waitUntilWitnessed();
    const own = join(root(), "watch.policy");
    writeFileSync(own, await text("/ledger/witness-policy"));
    const roots = join(root(), "roots.pem");
    writeFileSync(roots, await text("/v1/bundle.pem"));
    const watch = async (...args: readonly string[]) => {
      const places = ["--data", home.dataDir, "--config-dir", home.configDir];
      const kept = ["--state", join(root(), "monitor.json"), "--evidence", join(root(), "evidence")];
      const ran = await runWarden(root(), ["monitor", "--once", "--json", ...places, ...kept, ...args]);
      return { exitCode: ran.exitCode, ...JSON.parse(ran.stdout) };
    };
    const first = await watch("--witness-policy", own);
    expect(first).toMatchObject({ exitCode: 0, previous_size: 0, findings: [] });
    expect(first.agreeing).toHaveLength(3);
    const url = `${server.url}/ledger`;
    const outside = await watch("--url", url, "--vkey", vkey, "--no-entries", "--ca-file", roots);
    expect(outside).toMatchObject({ exitCode: 0, previous_size: first.size, findings: [] });
  });

  it("goes on with one witness gone, and publishes unwitnessed with two (31)", async () => {
    const [first, second] = witnesses;
    await first?.stop();
    await createOwner(server, "bob");
    await waitUntilWitnessed();
    await second?.stop();
    await createOwner(server, "carol");
    // A tree of this size was made when the second one was gone already, so no quorum can ever cosign it.
    const { size } = (await readStatus()).ledger;
    await vi.waitFor(async () => expect(await publishedSize()).toBeGreaterThanOrEqual(size), PATIENCE);
    const policy = parseTlogPolicy(await text("/ledger/witness-policy"));
    const note = await text("/ledger/checkpoint");
    expect(() => verifyWitnessedCheckpoint(note, policy)).toThrow(
      expect.objectContaining({ code: "checkpoint_unwitnessed" }),
    );
    expect(sizeOf(await text("/ledger/witnessed-checkpoint"))).toBeLessThan(size);
    await server.close();
    await expectRejection(start(), "witnesses_unreachable");
    await start("start");
    await server.close();
    await first?.start();
    await second?.start();
  });

  it("does not start from a restored backup, the mark kept elsewhere included (45)", async () => {
    // The order matters here: the newest checkpoint that the witnesses know must be one of after the backup.
    const backup = join(root(), "backup");
    const isState = (path: string) => !path.endsWith(".sock");
    for (const folder of ["data", "config"])
      cpSync(join(root(), folder), join(backup, folder), { recursive: true, filter: isState });
    await start();
    await createOwner(server, "dave");
    await waitUntilWitnessed();
    const size = await publishedSize();
    await server.close();
    const newest = join(root(), "newest");
    for (const folder of ["data", "config"]) {
      cpSync(join(root(), folder), join(newest, folder), { recursive: true, filter: isState });
      rmSync(join(root(), folder), { recursive: true });
      cpSync(join(backup, folder), join(root(), folder), { recursive: true });
    }
    const error: unknown = await start().catch((cause: unknown) => cause);
    expect(error).toMatchObject({
      code: "data_rolled_back",
      details: { reason: "witness is ahead", next: expect.stringContaining("newest copy") },
    });
    await expectRejection(start("start"), "data_rolled_back");
    // The advice helps: with the newest copy the server starts.
    for (const folder of ["data", "config"]) {
      rmSync(join(root(), folder), { recursive: true });
      cpSync(join(newest, folder), join(root(), folder), { recursive: true });
    }
    expect(existsSync(join(home.dataDir, "witnessed-checkpoint"))).toBe(true);
    await start();
    expect(await publishedSize()).toBeGreaterThanOrEqual(size);
  });

  it("is followed into its next shard by witnesses and monitors that nobody told of it", async () => {
    const asked = { method: "POST", target: "/v1/ledger/turns", body: "{}" };
    const { shard, origin } = parseAnswer(turnAnswer, await sendAdmin(server.adminSocket, asked));
    await createOwner(server, "erin");
    const policy = parseTlogPolicy(await text("/ledger/witness-policy"));
    await vi.waitFor(async () => {
      const note = await text(`/ledger/shard/${shard}/witnessed-checkpoint`);
      const { checkpoint, cosignatures } = verifyWitnessedCheckpoint(note, policy);
      expect(checkpoint.origin).toBe(origin);
      expect(cosignatures.length).toBeGreaterThanOrEqual(2);
    }, PATIENCE);
    const own = join(root(), "turned.policy");
    writeFileSync(own, await text("/ledger/witness-policy"));
    const places = ["--data", home.dataDir, "--config-dir", home.configDir, "--witness-policy", own];
    const kept = ["--state", join(root(), "monitor.json"), "--evidence", join(root(), "evidence")];
    const { stdout } = await runWarden(root(), ["monitor", "--once", "--json", ...places, ...kept]);
    expect(JSON.parse(stdout)).toMatchObject({ origin, findings: [] });
    expect(JSON.parse(stdout).agreeing.length).toBeGreaterThanOrEqual(2);
    await server.close();
    await start();
    expect(await text("/ledger/latest-checkpoint")).toContain(`${origin}\n`);
  });

  it("is followed to another key by witnesses that it shows the end to, also by one that was away, over a restart", async () => {
    const [first, , away] = witnesses;
    await away?.stop();
    const { shard, vkey: next } = await turnLedger(server, { new_key: true });
    expect(isSameLogKey(next, vkey)).toBe(false);
    const policy = parseTlogPolicy(await text("/ledger/witness-policy"));
    const cosigned = async () => {
      const note = await text(`/ledger/shard/${shard}/witnessed-checkpoint`);
      return verifyWitnessedCheckpoint(note, policy, next).cosignatures.length;
    };
    await vi.waitFor(async () => expect(await cosigned()).toBe(2), PATIENCE);
    // As of another make: it neither comes to know of the shard nor shows any of it.
    const doctor = await diagnose();
    expect(doctor).toMatchObject({
      state: "bad",
      found: expect.stringMatching(/^w3 show nothing of the shard/),
    });
    expect(doctor.next).toContain(next);
    await server.close();
    await away?.start();
    // A witness remembers what it was shown.
    await first?.stop();
    await first?.start();
    await start();
    await vi.waitFor(async () => {
      await createOwner(server, `frank-${performance.now()}`);
      expect(await cosigned()).toBe(3);
    }, PATIENCE);
  });

  it("ends its shard with the quarter once its witnesses would follow, and goes on with it until then", async () => {
    const aheadMs = 100 * 86_400_000;
    const names = async () => {
      const { shards } = parseAnswer(shardList, await send(server.url, { target: "/ledger/shards" }));
      return shards.map(({ name }) => name ?? "");
    };
    const before = await names();
    await server.close();
    await start("refuse", aheadMs);
    // To their clocks such a shard is one to come.
    expect(await names()).toEqual(before);
    expect(await diagnose()).toMatchObject({ state: "good" });
    expect(await diagnose(Date.now() + aheadMs)).toMatchObject({
      state: "bad",
      found: expect.stringMatching(/^the ledger still is in the shard of /),
    });
    await server.close();
    for (const witness of witnesses) witness.aheadMs = aheadMs;
    await start("refuse", aheadMs);
    const turned = await names();
    expect(turned).toEqual([...before, quarterOf(Date.now() + aheadMs)]);
    const policy = parseTlogPolicy(await text("/ledger/witness-policy"));
    const list = parseAnswer(shardList, await send(server.url, { target: "/ledger/shards" }));
    const vkeyOfShard = list.shards.at(-1)?.vkey;
    await vi.waitFor(async () => {
      const note = await text(`/ledger/shard/${turned.at(-1)}/witnessed-checkpoint`);
      expect(verifyWitnessedCheckpoint(note, policy, vkeyOfShard).cosignatures.length).toBeGreaterThanOrEqual(
        2,
      );
    }, PATIENCE);
    expect(await diagnose(Date.now() + aheadMs)).toMatchObject({ state: "good" });
  });
});
