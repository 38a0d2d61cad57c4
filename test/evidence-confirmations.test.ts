/** What a second admin confirmed, as a stranger checks it years later from the evidence alone. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { verifyEvidence } from "../sdk/verify-evidence.ts";
import { askTravelling, verdictOf } from "./support/evidence.ts";
import {
  askedAnew,
  type ConfirmationStory,
  confirmationForgeries,
  createConfirmationStory,
  rewrittenConfirmation,
} from "./support/evidence-confirmations.ts";
import { forgersVkey } from "./support/evidence-presented.ts";

let story: ConfirmationStory;

beforeAll(async () => {
  story = await createConfirmationStory();
});
afterAll(() => story.close());

const verify = (bytes: Uint8Array, vkey: string) =>
  verifyEvidence(bytes, { log: { vkey }, roots: { bundle: story.bundleText } });
const travelling = (bytes: Uint8Array, vkey: string) =>
  askTravelling(bytes, story.bundleText, ["--vkey", vkey]);

it("holds with the word of a second admin's passkey, and with nothing else", () => {
  expect(verify(story.bytes, story.vkey).alarms).toEqual([]);
  expect(travelling(story.bytes, story.vkey)).toMatchObject({ status: 0 });
  const vkey = forgersVkey(story.vkey);
  expect(verdictOf(() => verify(rewrittenConfirmation(story), vkey))).toBe("verified");
  expect(verdictOf(() => verify(askedAnew(story), vkey))).toBe("verified");
  expect(travelling(askedAnew(story), vkey).status).toBe(0);
  const verdicts = confirmationForgeries(story).map(({ name, bytes }) => [
    name,
    verdictOf(() => verify(bytes, vkey)),
    travelling(bytes, vkey).status,
  ]);
  expect(verdicts.map(([, ours, theirs]) => [ours, theirs])).toEqual(
    verdicts.map(() => ["evidence_bundle_invalid", 1]),
  );
  expect(verdicts).toHaveLength(10);
});
