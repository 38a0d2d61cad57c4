/** What a human authorized by a passkey, as a stranger checks it years later from the evidence alone. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { verifyEvidence } from "../sdk/verify-evidence.ts";
import { askTravelling, verdictOf } from "./support/evidence.ts";
import {
  createPasskeyStory,
  type PasskeyStory,
  passkeyForgeries,
  rewritten,
} from "./support/evidence-passkeys.ts";
import { forgersVkey } from "./support/evidence-presented.ts";

let story: PasskeyStory;

beforeAll(async () => {
  story = await createPasskeyStory();
});
afterAll(() => story.close());

const verify = (bytes: Uint8Array, vkey: string) =>
  verifyEvidence(bytes, { log: { vkey }, roots: { bundle: story.bundleText } });

describe("evidence of an agent and a call that a human let be", () => {
  it("says who signed and by what, to both verifiers", () => {
    const { events, alarms } = verify(story.bytes, story.vkey);
    expect(alarms).toEqual([]);
    const call = events.find(({ event }) => event.action === "delete:rows" && event.outcome === "success");
    expect(call?.authorizedBy).toMatchObject([{ by: story.person.ownerId, signedBy: "passkey" }]);
    const { status, stdout } = askTravelling(story.bytes, story.bundleText, ["--vkey", story.vkey]);
    expect([status, stdout]).toEqual([0, expect.stringContaining("by a passkey, the user verified,")]);
  });

  it("is refused when the server lies about what the human signed, however well it signs that itself", () => {
    const vkey = forgersVkey(story.vkey);
    expect(verdictOf(() => verify(rewritten(story), vkey))).toBe("verified");
    const verdicts = passkeyForgeries(story).map(({ name, bytes }) => {
      const { status } = askTravelling(bytes, story.bundleText, ["--vkey", vkey]);
      return [name, verdictOf(() => verify(bytes, vkey)), status];
    });
    expect(verdicts.length).toBe(25);
    for (const [name, ours, travelling] of verdicts)
      expect([name, ours !== "verified" && ours !== "missing", travelling]).toEqual([name, true, 1]);
  });
});
