/** Numbers and back links of an instance's intents, and what they say they have seen. */

import { issueCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import { verifyShardCheckpoint } from "@trustwarden/core/agentledger/shard.ts";
import { encodeBase64 } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { verifyIntent } from "@trustwarden/core/intent.ts";
import { describe, expect, it } from "vitest";
import { IntentWriter } from "./intent-writer.ts";
import { LatestCheckpoint } from "./latest-checkpoint.ts";
import {
  AGENT_ID,
  createTestRuntime,
  issueIdentity,
  logSigner,
  logVkey,
  NOW,
  SERVICE_ID,
} from "./support.test.helpers.ts";

const draft = { action: "read:t", resource: "db://t", request: null, params: null, audience: SERVICE_ID };
const svidOf = (agent = issueIdentity(AGENT_ID)) => ({
  leaf: agent.svid.leaf,
  signing: { spiffeId: AGENT_ID, svidSha256: agent.svid.leaf.sha256, signer: agent.key.signer },
});
const rootOf = (text: string) => sha256(new TextEncoder().encode(text));
const noteOf = (size: number, root = rootOf(`${size}`)) =>
  issueCheckpoint({ origin: "ledger.acme.test", size, root }, logSigner);

function createCheckpoint(runtime = createTestRuntime()) {
  const state = { note: noteOf(10), reads: 0 };
  const read = async () => {
    state.reads += 1;
    return state.note;
  };
  return {
    checkpoint: new LatestCheckpoint({
      read,
      verify: async (note) => verifyShardCheckpoint(note, logVkey),
      runtime,
    }),
    state,
    runtime,
  };
}

describe("an instance's intents", () => {
  it("count from one and link back, also across a renewed SVID", () => {
    const writer = new IntentWriter({ agentId: "agt_1", runtime: createTestRuntime(), seen: () => null });
    const first = svidOf();
    const second = svidOf();
    const intents = [first, first, second].map(({ signing }) => writer.sign(draft, signing));
    expect(intents.map(({ intent }) => intent.seq)).toEqual([1, 2, 3]);
    expect(intents[0]?.intent.prev).toBeNull();
    expect(intents[1]?.intent.prev).toBe(intents[0]?.payloadSha256);
    expect(intents[2]?.intent.prev).toBe(intents[1]?.payloadSha256);
    expect(new Set(intents.map(({ intent }) => intent.event_id)).size).toBe(3);
  });

  it("verify under the SVID they name and live a minute", () => {
    const writer = new IntentWriter({ agentId: "agt_1", runtime: createTestRuntime(), seen: () => null });
    const { leaf, signing } = svidOf();
    const { envelope, intent } = writer.sign(draft, signing);
    expect(verifyIntent(envelope, { leaf, audience: SERVICE_ID, now: NOW }).intent).toEqual(intent);
    expect(intent.exp).toBe(NOW + 60);
  });
});

describe("the checkpoint that an intent has seen", () => {
  it("is none at first and the latest verified one after, read at most every five seconds", async () => {
    const { checkpoint, state, runtime } = createCheckpoint();
    expect(checkpoint.seen()).toBeNull();
    await checkpoint.settle();
    expect(checkpoint.seen()).toEqual({
      origin: "ledger.acme.test",
      size: 10,
      root: encodeBase64(rootOf("10")),
    });
    state.note = noteOf(20);
    runtime.advance(4999);
    checkpoint.seen();
    expect(state.reads).toBe(1);
    runtime.advance(1);
    checkpoint.seen();
    await checkpoint.settle();
    expect(checkpoint.seen()?.size).toBe(20);
  });

  it("never follows a log that shrank or shows two roots, and says so", async () => {
    for (const note of [noteOf(9), noteOf(10, rootOf("another"))]) {
      const { checkpoint, state, runtime } = createCheckpoint();
      checkpoint.seen();
      await checkpoint.settle();
      state.note = note;
      runtime.advance(5000);
      checkpoint.seen();
      await checkpoint.settle();
      expect(checkpoint.seen()).toMatchObject({ size: 10, root: encodeBase64(rootOf("10")) });
      expect(runtime.notices.map(({ code }) => code)).toEqual(["checkpoint_untrusted"]);
    }
  });

  it("goes on with the old one when a new one cannot be read or proven, and says so", async () => {
    const { checkpoint, state, runtime } = createCheckpoint();
    checkpoint.seen();
    await checkpoint.settle();
    state.note = "nonsense";
    runtime.advance(5000);
    checkpoint.seen();
    await checkpoint.settle();
    expect(checkpoint.seen()?.size).toBe(10);
    expect(runtime.notices).toHaveLength(1);
  });
});
