/** Evidence over two shards of a ledger, and what a forger could make of it, before our verifier and `verify.mjs`. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { verifyEvidence } from "../sdk/verify-evidence.ts";
import { openKeys } from "./support/authority-keys.ts";
import { STORY_JOB } from "./support/evidence.ts";
import {
  type Forgery,
  type ManifestKey,
  manifestKeyOf,
  withHiddenEvent,
} from "./support/evidence-forgeries.ts";
import { forgersVkey } from "./support/evidence-presented.ts";
import {
  createShardedStory,
  hiddenShardForgeries,
  relogged,
  type ShardedStory,
  shardForgeries,
} from "./support/evidence-shards.ts";

const VERIFIER = fileURLToPath(new URL("../server/evidence/verifiers/verify.mjs", import.meta.url));
let story: ShardedStory;
let range: Buffer;
let event: Buffer;
let key: ManifestKey;

beforeAll(async () => {
  story = await createShardedStory();
  range = await story.make("since=2020-01-01T00:00:00Z");
  event = await story.make(`event=${story.bridged}`);
  key = manifestKeyOf(range, (await openKeys(story.server.home)).serverSigner);
});
afterAll(async () => {
  await story.server.close();
  story.server.home.remove();
});

/** What our own verifier says. */
function verdictOf(bytes: Uint8Array, vkey = story.vkey): string {
  try {
    const { alarms } = verifyEvidence(bytes, { log: { vkey }, roots: { bundle: story.bundleText } });
    return alarms.length === 0 ? "verified" : "missing";
  } catch (error) {
    if (error instanceof TrustWardenError) return error.code;
    throw error;
  }
}

/** What `verify.mjs` says, and its exit code. */
function saidOf(
  bytes: Uint8Array,
  vkey = story.vkey,
): { readonly status: number | null; readonly text: string } {
  const home = mkdtempSync(join(tmpdir(), "warden-evidence-"));
  try {
    const [file, bundle] = [join(home, "case.twb"), join(home, "bundle.json")];
    writeFileSync(file, bytes);
    writeFileSync(bundle, story.bundleText);
    const args = [VERIFIER, file, "--vkey", vkey, "--bundle", bundle];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
    return { status, text: stdout + stderr };
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

/** Refused by our own verifier, and where it is asked by `verify.mjs`; the judge of evidence asks all of each. */
function expectRefused(
  forgeries: readonly Forgery[],
  { vkey = story.vkey, isAsked = false }: { readonly vkey?: string; readonly isAsked?: boolean } = {},
): void {
  expect(forgeries.length).toBeGreaterThan(0);
  for (const { name, bytes } of forgeries) {
    expect([name, verdictOf(bytes, vkey)]).toEqual([
      name,
      expect.stringMatching(/_(malformed|invalid|untrusted)$/),
    ]);
    if (!isAsked) continue;
    const text = expect.stringMatching(/^NOT VERIFIED: .+\n$/);
    expect([name, saidOf(bytes, vkey)]).toEqual([name, { status: 1, text }]);
  }
}

describe("a bundle over two shards", () => {
  it("verifies by the program that travels with it, which names both logs", async () => {
    for (const query of [`event=${story.bridged}`, `job=${STORY_JOB}`, `agent=${story.agentId}`]) {
      const bytes = await story.make(query);
      expect(saidOf(bytes).text).toMatch(/^VERIFIED$/m);
      expect(verdictOf(bytes)).toBe("verified");
    }
    const { status, text } = saidOf(range);
    expect(status).toBe(verdictOf(range) === "verified" ? 0 : 3);
    expect(text.match(/^log: ledger\.acme\.test(\/\d{4}q\d)?, size/gm)).toHaveLength(2);
    expect(text).toMatch(/^complete: entries 0 to \d+, none left out$/m);
  });

  it("is refused when its shards are left out, moved or exchanged", () => {
    expectRefused(shardForgeries(range, key), { isAsked: true });
  });

  it("of one event is refused when the shards of its entries are", () => {
    expectRefused(shardForgeries(event, key).filter(({ name }) => !/range/.test(name)));
  });

  it("is refused when an event of its range is shown to nobody", () => {
    expectRefused([{ name: "hidden", bytes: withHiddenEvent(range, key) }]);
  });

  it("is refused when a shard does not begin where and how the one before ended, whoever signed that", () => {
    const vkey = forgersVkey(story.vkey);
    for (const bytes of [range, event]) {
      const sound = relogged(bytes, key);
      expect([verdictOf(sound, vkey), saidOf(sound, vkey).status]).toEqual([
        verdictOf(bytes),
        saidOf(bytes).status,
      ]);
      expectRefused(hiddenShardForgeries(bytes, key), { vkey, isAsked: bytes === range });
    }
  });
});
