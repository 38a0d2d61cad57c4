/** A ledger that has turned to its next shard, over the API: nothing is lost between two logs, and each part is proven. */
import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { verifyAcknowledgement } from "@trustwarden/core/agentledger/acknowledgement.ts";
import { verifyInclusion } from "@trustwarden/core/agentledger/inclusion-proof.ts";
import { leafHash } from "@trustwarden/core/agentledger/merkle.ts";
import { verifyShardCheckpoint } from "@trustwarden/core/agentledger/shard.ts";
import { eventAnswer, shardList, tailAnswer } from "@trustwarden/core/api/ledger.ts";
import { encodeUtf8, parseBase64 } from "@trustwarden/core/bytes.ts";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { createAdminTransport } from "../cli/admin-transport.ts";
import { createClient } from "../cli/client.ts";
import { createTemporaryExport } from "../cli/temporary-export.ts";
import { auditDirectory } from "../cli/verify-directory.ts";
import { createBackup } from "../server/backup/create-backup.ts";
import { parseConfig } from "../server/config.ts";
import { parseAnswer } from "./support/actors.ts";
import { STORY_JOB } from "./support/evidence.ts";
import { createShardedStory, type ShardedStory, turnLedger } from "./support/evidence-shards.ts";
import { codeOf, jsonOf, send, sendAdmin } from "./support/http.ts";
import { startTestServer, type TestServer, TRUST_DOMAIN } from "./support/server.ts";

let story: ShardedStory;
let bridged: string;

const namesOf = async ({ adminSocket }: TestServer) =>
  parseAnswer(shardList, await sendAdmin(adminSocket, { target: "/ledger/shards" })).shards.map(
    ({ name }) => name,
  );
const asOperator = (target: string) => sendAdmin(story.server.adminSocket, { target });

beforeAll(async () => {
  story = await createShardedStory();
  bridged = story.bridged;
  expect(story.laterIndex).toBeGreaterThan(story.first);
  expect(verifyAcknowledgement(story.laterPromise, story.vkey).index).toBe(story.laterIndex);
});
afterAll(async () => {
  await story.server.close();
  story.server.home.remove();
});

describe("a ledger that has turned", () => {
  it("proves the records of one event in the shards where they lie", async () => {
    const answer = parseAnswer(eventAnswer, await asOperator(`/v1/events/${bridged}`));
    expect(answer.event.outcome).toBe("success");
    expect(answer.shards).toHaveLength(2);
    for (const { index, entry, inclusion_proof } of answer.records) {
      const head = answer.shards.findLast(({ first }) => first <= index);
      const { size, root } = verifyShardCheckpoint(head?.checkpoint ?? "", story.vkey);
      const at = { index: index - (head?.first ?? 0), size };
      verifyInclusion({
        ...at,
        leaf: leafHash(encodeUtf8(entry)),
        proof: inclusion_proof.map(parseBase64),
        root,
      });
    }
  });

  it("is one stream for whoever follows it", async () => {
    const { events, next } = parseAnswer(tailAnswer, await asOperator("/v1/ledger/tail?from=0&limit=500"));
    expect(
      events.filter(({ event }) => event.event_id === bridged).map(({ event }) => event.outcome),
    ).toEqual(["pending", "success"]);
    expect(next).toBeGreaterThan(events.at(-1)?.index ?? 0);
  });

  it("lists its shards, serves the files of each, and nothing under another name", async () => {
    const { shards } = parseAnswer(shardList, await asOperator("/ledger/shards"));
    expect(shards.map(({ name, frozen }) => [name === null, frozen])).toEqual([
      [true, true],
      [false, false],
    ]);
    const [, second] = shards;
    const text = async (target: string) => (await send(story.server.url, { target })).text;
    const newest = await text(`/ledger/shard/${second?.name}/checkpoint`);
    expect(verifyShardCheckpoint(newest, story.vkey).origin).toBe(second?.origin);
    expect(await text("/ledger/latest-checkpoint")).toContain(`${second?.origin}\n`);
    expect(verifyShardCheckpoint(await text("/ledger/checkpoint"), story.vkey).size).toBe(shards[0]?.size);
    const tile = await send(story.server.url, { target: `/ledger/shard/${second?.name}/tile/0/000.p/1` });
    expect([tile.status, tile.bytes.length]).toEqual([200, 32]);
    for (const name of ["1999q1", "first", ".."])
      for (const path of ["checkpoint", "tile/0/000.p/1"]) {
        const { status } = await send(story.server.url, { target: `/ledger/shard/${name}/${path}` });
        expect([400, 404]).toContain(status);
      }
  });

  it("gives evidence over both shards that verifies", async () => {
    for (const query of [
      `event=${bridged}`,
      `job=${STORY_JOB}`,
      `agent=${story.agentId}`,
      "since=2020-01-01T00:00:00Z",
    ]) {
      const report = story.verify(await story.make(query));
      expect(report.events.length).toBeGreaterThan(0);
    }
  });

  it("verifies as a whole from an export, and says what of it is missing or altered", async () => {
    const { directory, remove } = await createTemporaryExport(
      createClient(createAdminTransport(story.server.adminSocket)),
    );
    onTestFinished(remove);
    const audit = () => auditDirectory({ directory, vkey: story.vkey, olderCheckpoint: undefined });
    const codes = async () => (await audit()).findings.map(({ code }) => code);
    const { findings, shards, size } = await audit();
    expect(findings.filter(({ severity }) => severity === "damage")).toEqual([]);
    expect(shards.map(({ first }) => first > 0)).toEqual([false, true]);
    expect(size).toBe((shards[1]?.first ?? 0) + (shards[1]?.checkpoint.size ?? 0));
    const [name = ""] = readdirSync(join(directory, "shard"));
    const entries = join(directory, "shard", name, "tile", "entries");
    const [file = ""] = readdirSync(entries, { recursive: true, encoding: "utf8" })
      .map((path) => join(entries, path))
      .filter((path) => statSync(path).isFile());
    const sound = readFileSync(file);
    // Every byte of the beginning, which holds the last checkpoint of the shard before.
    for (const at of [2, 40, 120, 200]) {
      const flipped = Buffer.from(sound);
      flipped[at] = (flipped[at] ?? 0) ^ 1;
      writeFileSync(file, flipped);
      expect(await codes()).toContain("bundle_damaged");
    }
    writeFileSync(file, sound);
    rmSync(join(directory, "shard"), { recursive: true });
    expect(await codes()).toContain("shard_missing");
  });

  it("refuses who is no operator", async () => {
    const answer = await send(
      story.server.url,
      { method: "POST", target: "/v1/ledger/turns", body: "{}" },
      story.parent.tls,
    );
    expect(answer.status).toBe(404);
    expect(codeOf(answer)).toBe("not_found");
  });

  it("is backed up whole, also when it turns while it is copied", async () => {
    const { dataDir, configDir } = story.server.home;
    const file = join(configDir, "..", "turned.tw");
    const before = await namesOf(story.server);
    let isFirst = true;
    const { size } = await createBackup({
      config: parseConfig({ trustDomain: TRUST_DOMAIN, dataDir, configDir }),
      file,
      recipient: null,
      random: (length) => new Uint8Array(randomBytes(length)),
      nowMs: () => Date.now(),
      onProgress: async (step) => {
        if (step !== "ledger" || !isFirst) return;
        isFirst = false;
        const { shard } = await turnLedger(story.server);
        // As it is for a moment while a turn is under way: the next shard has not published anything.
        const published = join(dataDir, "ledger", "shard", shard ?? "", "checkpoint");
        renameSync(published, `${published}.away`);
        globalThis.setTimeout(() => {
          if (existsSync(published)) rmSync(`${published}.away`);
          else renameSync(`${published}.away`, published);
        }, 200);
      },
    });
    const { shards } = parseAnswer(shardList, await asOperator("/ledger/shards"));
    expect(shards).toHaveLength(before.length + 1);
    expect(size).toBeGreaterThan(shards.at(-1)?.first ?? 0);
  });

  it("goes on after a start, by itself at the turn of a quarter, unless it is told not to", async () => {
    const { home } = story.server;
    await story.server.close();
    const nowMs = Date.now() + 100 * 86_400_000;
    const clock = { nowMs: () => nowMs, monoMs: () => performance.now() };
    const settings = (shards: "quarterly" | "manual") => ({ ledger: { storage: "posix", shards } }) as const;
    const manual = await startTestServer(settings("manual"), home, clock);
    expect(await namesOf(manual)).toHaveLength(3);
    await manual.close();
    const server = await startTestServer({}, home, clock);
    const { shards } = shardList.parse(
      jsonOf(await sendAdmin(server.adminSocket, { target: "/ledger/shards" })),
    );
    expect(shards.map(({ frozen }) => frozen)).toEqual([true, true, true, false]);
    await server.close();
    const again = await startTestServer(settings("quarterly"), home, clock);
    story = { ...story, server: again };
    expect(parseAnswer(shardList, await asOperator("/ledger/shards")).shards).toHaveLength(4);
    const found = parseAnswer(eventAnswer, await asOperator(`/v1/events/${bridged}`));
    expect(found.records.map(({ index }) => index)).toEqual(found.event.indexes);
  });
});
