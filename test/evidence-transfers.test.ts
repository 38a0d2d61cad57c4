/** The chain of custody of an agent that changed hands, as a stranger checks it years later from the evidence alone. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { verifyEvidence } from "../sdk/verify-evidence.ts";
import { askTravelling, verdictOf } from "./support/evidence.ts";
import { forgersVkey } from "./support/evidence-presented.ts";
import {
  createTransferStory,
  rewrittenTransfer,
  type TransferStory,
  transferForgeries,
} from "./support/evidence-transfers.ts";

let story: TransferStory;

beforeAll(async () => {
  story = await createTransferStory();
});
afterAll(() => story.close());

const verify = (bytes: Uint8Array, vkey: string) =>
  verifyEvidence(bytes, { log: { vkey }, roots: { bundle: story.bundleText } });

describe("evidence of an agent that two owners handed over", () => {
  it("verifies from the one to the other, and says who gave it to whom", () => {
    const { events, alarms } = verify(story.bytes, story.vkey);
    expect(alarms).toEqual([]);
    const reads = events.filter(({ event }) => event.agent_id === story.agentId && event.kind === "read");
    expect(new Set(reads.map(({ authorizedBy }) => authorizedBy[0]?.by))).toEqual(
      new Set([story.giver.ownerId, story.receiver.ownerId]),
    );
    const given = `given away: ${story.agentId} by ${story.giver.ownerId} to ${story.receiver.ownerId}`;
    expect(reads[0]?.stoppedBy).toEqual([expect.stringContaining(given)]);
    const { status, stdout } = askTravelling(story.bytes, story.bundleText, ["--vkey", story.vkey]);
    expect([status, stdout]).toEqual([0, expect.stringContaining(`was given to ${story.receiver.ownerId}`)]);
  });

  it("is refused when the server lies about whose the agent is, however well it signs that itself", () => {
    const vkey = forgersVkey(story.vkey);
    expect(verdictOf(() => verify(rewrittenTransfer(story), vkey))).toBe("verified");
    const verdicts = transferForgeries(story).map(({ name, bytes }) => {
      const { status } = askTravelling(bytes, story.bundleText, ["--vkey", vkey]);
      return [name, verdictOf(() => verify(bytes, vkey)), status];
    });
    expect(verdicts.length).toBe(12);
    for (const [name, ours, travelling] of verdicts)
      expect([name, ours, travelling]).toEqual([name, "evidence_bundle_invalid", 1]);
  });
});
