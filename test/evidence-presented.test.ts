/** Evidence of actions for which a token was presented, before our own verifier and the one that travels along. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseTlogPolicy } from "@trustwarden/core/agentledger/tlog-policy.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { verifyEvidence } from "../sdk/verify-evidence.ts";
import { askTravelling } from "./support/evidence.ts";
import { repeatingPolicies } from "./support/evidence-policies.ts";
import {
  createPresentedStory,
  forgersVkey,
  type PresentedStory,
  presentedForgeries,
} from "./support/evidence-presented.ts";

const home = mkdtempSync(join(tmpdir(), "warden-presented-"));
let story: PresentedStory;

beforeAll(async () => {
  story = await createPresentedStory();
});
afterAll(async () => {
  rmSync(home, { recursive: true });
  await story.close();
});

const travelling = (bytes: Uint8Array, trust: readonly string[]) =>
  askTravelling(bytes, story.bundleText, trust);

const ours = (bytes: Uint8Array, vkey: string) =>
  verifyEvidence(bytes, { log: { vkey }, roots: { bundle: story.bundleText } });

describe("evidence of what was presented instead of an intent", () => {
  it("is verified, and each verifier says for which token the agent proved to hold the key", () => {
    expect(ours(story.bytes, story.vkey).alarms).toEqual([]);
    const { status, stdout } = travelling(story.bytes, ["--vkey", story.vkey]);
    expect([status, stdout.match(/^ {2}proof: /gm)?.length]).toEqual([0, 3]);
    expect(stdout).toContain("for the access token that was issued to this agent (entry ");
    expect(stdout).toContain("for the WIT-SVID that was issued to this agent (entry ");
  });

  it("is refused when the log holds a lie about it, whoever signed that", () => {
    const vkey = forgersVkey(story.vkey);
    const forgeries = presentedForgeries(story);
    const verdicts = forgeries.map(({ name, bytes }) => {
      expect(() => ours(bytes, vkey), name).toThrow(
        expect.objectContaining({
          code: "evidence_bundle_invalid",
          details: expect.objectContaining({ reason: "presented_unproven" }),
        }),
      );
      const { status, stdout } = travelling(bytes, ["--vkey", vkey]);
      return [name, status, stdout.trim().split("\n").at(-1)];
    });
    expect(verdicts).toEqual(
      forgeries.map(({ name }) => [
        name,
        1,
        expect.stringMatching(/: (its (proof|token)|allowed, but nobody)/),
      ]),
    );
  });
});

describe("a policy that says a thing twice", () => {
  it("is refused by our parser and by the verifier that travels along, whatever it says", () => {
    const file = join(home, "policy.txt");
    for (const { name, text } of repeatingPolicies(story.vkey)) {
      expect(() => parseTlogPolicy(text), name).toThrow(
        expect.objectContaining({ code: "witness_policy_malformed" }),
      );
      writeFileSync(file, text);
      const { status, stdout } = travelling(story.bytes, ["--policy", file]);
      expect([name, status, stdout]).toEqual([
        name,
        1,
        expect.stringMatching(/NOT VERIFIED: .*(twice|several)/),
      ]);
    }
  });
});
