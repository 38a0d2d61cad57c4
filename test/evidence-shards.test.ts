/** Evidence over two shards of a ledger, and what a forger could make of it, before our verifier and `verify.mjs`. */
import { verifyAcknowledgement } from "@trustwarden/core/agentledger/acknowledgement.ts";
import { openEvidenceBundle } from "@trustwarden/core/agentledger/evidence-bundle.ts";
import { parseShardStart, vkeyFor } from "@trustwarden/core/agentledger/shard.ts";
import { parseVkey } from "@trustwarden/core/agentledger/signed-note.ts";
import { encodeBase64url, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { verifyEvidence } from "../sdk/verify-evidence.ts";
import { openKeys } from "./support/authority-keys.ts";
import { askTravelling, STORY_JOB, verdictOf } from "./support/evidence.ts";
import {
  type Forgery,
  type ManifestKey,
  manifestKeyOf,
  resign,
  withHiddenEvent,
} from "./support/evidence-forgeries.ts";
import { forgersVkey } from "./support/evidence-presented.ts";
import {
  createShardedStory,
  decideAgain,
  hiddenShardForgeries,
  keyForgeries,
  rekeyed,
  relogged,
  type ShardedStory,
  shardForgeries,
  turnLedger,
} from "./support/evidence-shards.ts";

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

/** The checkpoint that the second shard begins with. */
function finalOf(bytes: Uint8Array, first: number): Uint8Array {
  const start = parseShardStart(openEvidenceBundle(bytes).entries.get(first) ?? new Uint8Array());
  return encodeUtf8(start?.note ?? "");
}

/** What our own verifier says. */
function ourVerdictOf(bytes: Uint8Array, vkey = story.vkey): string {
  return verdictOf(() => verifyEvidence(bytes, { log: { vkey }, roots: { bundle: story.bundleText } }));
}

/** What `verify.mjs` says, and its exit code. */
function saidOf(bytes: Uint8Array, vkey = story.vkey) {
  const { status, stdout, stderr } = askTravelling(bytes, story.bundleText, ["--vkey", vkey]);
  return { status, text: stdout + stderr };
}

/** Refused by our own verifier, and where it is asked by `verify.mjs`; the judge of evidence asks all of each. */
function expectRefused(
  forgeries: readonly Forgery[],
  { vkey = story.vkey, isAsked = false }: { readonly vkey?: string; readonly isAsked?: boolean } = {},
): void {
  expect(forgeries.length).toBeGreaterThan(0);
  for (const { name, bytes } of forgeries) {
    expect([name, ourVerdictOf(bytes, vkey)]).toEqual([
      name,
      expect.stringMatching(/_(malformed|invalid|untrusted)$/),
    ]);
    if (!isAsked) continue;
    const text = expect.stringMatching(/^NOT VERIFIED: .+\n$/);
    expect([name, saidOf(bytes, vkey)]).toEqual([name, { status: 1, text }]);
  }
}

describe("a checkpoint of a shard that has ended since", () => {
  it("is followed from shard to shard, and a bundle that breaks the chain is refused", async () => {
    const { early: earlier, vkey, bundleText, first } = story;
    const earlierText = encodeBase64url(encodeUtf8(earlier));
    const bytes = await story.make(`event=${story.bridged}&earlier=${earlierText}`);
    const trust = { log: { vkey }, roots: { bundle: bundleText }, earlier };
    expect(verifyEvidence(bytes, trust).earlier).toMatchObject({ isYours: true });
    expect(saidOf(bytes)).toMatchObject({
      status: 0,
      text: expect.stringContaining("earlier: not rewritten"),
    });
    const cut = resign(bytes, key, (files) => files.set("checkpoint.prev", finalOf(bytes, first)));
    expect(verdictOf(() => verifyEvidence(cut, trust))).toBe("evidence_bundle_invalid");
    expect(saidOf(cut).text).toContain("NOT VERIFIED: a proof of other trees");
  });
});

describe("a bundle over two shards", () => {
  it("verifies by the program that travels with it, which names both logs", async () => {
    for (const query of [`event=${story.bridged}`, `job=${STORY_JOB}`, `agent=${story.agentId}`]) {
      const bytes = await story.make(query);
      expect(saidOf(bytes).text).toMatch(/^VERIFIED$/m);
      expect(ourVerdictOf(bytes)).toBe("verified");
    }
    const { status, text } = saidOf(range);
    expect(status).toBe(ourVerdictOf(range) === "verified" ? 0 : 3);
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
      expect([ourVerdictOf(sound, vkey), saidOf(sound, vkey).status]).toEqual([
        ourVerdictOf(bytes),
        saidOf(bytes).status,
      ]);
      expectRefused(hiddenShardForgeries(bytes, key), { vkey, isAsked: bytes === range });
    }
  });
});

describe("a shard with a key of its own", () => {
  it("is followed by the end of the shard before, and by nothing else", () => {
    const vkey = forgersVkey(story.vkey);
    for (const bytes of [range, event]) {
      const sound = rekeyed(bytes, key);
      expect([ourVerdictOf(sound, vkey), saidOf(sound, vkey).status]).toEqual([
        ourVerdictOf(bytes),
        saidOf(bytes).status,
      ]);
      expectRefused(keyForgeries(bytes, key), { vkey, isAsked: bytes === event });
    }
  });
});

// Last: from here on the ledger of the story has another key.
describe("a ledger that has changed its key", () => {
  it("gives evidence that leads from the first key to the newest shard, and promises by the new one", async () => {
    const { vkey } = await turnLedger(story.server, { new_key: true });
    const { receipt } = await decideAgain(story, 3);
    const newKey = vkeyFor(vkey, parseVkey(story.vkey).name);
    expect(verifyAcknowledgement(receipt.acknowledgement, newKey).index).toBe(receipt.decision_index);
    expect(() => verifyAcknowledgement(receipt.acknowledgement, story.vkey)).toThrow();
    const earlier = `earlier=${encodeBase64url(encodeUtf8(story.early))}`;
    for (const query of [`event=${receipt.event_id}`, `event=${receipt.event_id}&${earlier}`]) {
      const bytes = await story.make(query);
      // It has no outcome yet, which is said.
      expect(ourVerdictOf(bytes)).toBe("missing");
      const { status, text } = saidOf(bytes);
      expect([status, text.includes(vkey.split("+")[0] ?? "")]).toEqual([3, true]);
    }
    const whole = await story.make("since=2020-01-01T00:00:00Z");
    expect(saidOf(whole).text.match(/^log: /gm)).toHaveLength(3);
    expect(ourVerdictOf(whole)).toBe("missing");
    // The new key alone leads nowhere: a ledger is known by its first one.
    expect(ourVerdictOf(whole, newKey)).toMatch(/_(invalid|untrusted)$/);
  });
});
