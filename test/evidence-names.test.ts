/** Whoever let an agent be has signed how it is called, and where: a log that says otherwise convinces nobody. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { verifyEvidence } from "../sdk/verify-evidence.ts";
import { askTravelling, verdictOf } from "./support/evidence.ts";
import {
  childAgain,
  entryOfOwner,
  heldTicket,
  lateForgeries,
  nameForgeries,
} from "./support/evidence-names.ts";
import { forgersVkey } from "./support/evidence-presented.ts";
import { createTransferStory, rewrittenTransfer, type TransferStory } from "./support/evidence-transfers.ts";

let story: TransferStory;

beforeAll(async () => {
  story = await createTransferStory();
});
afterAll(() => story.close());

const verify = (bytes: Uint8Array, vkey: string) =>
  verifyEvidence(bytes, { log: { vkey }, roots: { bundle: story.bundleText } });

describe("evidence about agents", () => {
  it("is refused when one goes by another name, elsewhere, or under another key than its owner or parent signed", () => {
    const vkey = forgersVkey(story.vkey);
    expect(verdictOf(() => verify(rewrittenTransfer(story), vkey))).toBe("verified");
    const held = heldTicket(story);
    expect(verdictOf(() => verify(held, vkey))).toBe("verified");
    expect(askTravelling(held, story.bundleText, ["--vkey", vkey]).status).toBe(0);
    const verdicts = nameForgeries(story).map(({ name, bytes }) => {
      const { status } = askTravelling(bytes, story.bundleText, ["--vkey", vkey]);
      return [name, verdictOf(() => verify(bytes, vkey)), status];
    });
    expect(verdicts).toHaveLength(6);
    for (const [name, ours, travelling] of verdicts)
      expect([name, ours, travelling]).toEqual([name, "evidence_bundle_invalid", 1]);
  });

  it("is refused when what let one be was used, ended or given up before, or is somebody else's", () => {
    const vkey = forgersVkey(story.vkey);
    const ask = (bytes: Uint8Array) => askTravelling(bytes, story.bundleText, ["--vkey", vkey]);
    for (const sound of [childAgain(story), entryOfOwner(story)])
      expect([verdictOf(() => verify(sound, vkey)), ask(sound).status]).toEqual(["verified", 0]);
    const forged = lateForgeries(story);
    expect(forged).toHaveLength(6);
    for (const { name, bytes, why } of forged) {
      const { status, stdout } = ask(bytes);
      expect([name, verdictOf(() => verify(bytes, vkey)), status]).toEqual([
        name,
        "evidence_bundle_invalid",
        1,
      ]);
      expect([name, stdout]).toEqual([name, expect.stringMatching(why)]);
    }
  });
});
