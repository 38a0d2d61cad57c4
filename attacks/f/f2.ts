/** F2: an upstream that gives the credential back. */
import { ECHO_WAYS } from "../../test/support/echo-upstream.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import {
  askEcho,
  expectNoKey,
  openBrokered,
  UPSTREAM_KEY,
  WITH_GATEWAY,
  writeNote,
} from "../support/brokered.ts";

/** Played by the runner. */
export const scenario = defineScenario({
  id: "F2",
  title:
    "has the upstream echo the credential in body, header, redirect, error and stream, in seven encodings",
  expected: "masked in each, one alarm each; a compressed answer is refused",
  weakening: "echo-passed-on",
  world: WITH_GATEWAY,
  prepare: (world) => openBrokered(world, () => "nothing of yours"),
  control: async (_world, scene) => {
    expectSame((await writeNote(scene, "hello")).text, "nothing of yours", "an answer without an echo");
  },
  attack: async (_world, scene) => {
    expect(ECHO_WAYS.length > 7, "there are ways to echo");
    for (const way of ECHO_WAYS) {
      const answer = await askEcho(scene, way);
      const got = scene.upstream.seen.at(-1)?.headers.authorization;
      expectSame(got, `Bearer ${UPSTREAM_KEY}`, "what the upstream got");
      expectNoKey(
        `${answer.text}\n${JSON.stringify(answer.headers)}`,
        `the answer that echoes it in: ${way}`,
      );
      expect(
        `${answer.text}${JSON.stringify(answer.headers)}`.includes("********"),
        `something is masked: ${way}`,
      );
    }
    expectSame((await askEcho(scene, "gzip")).status, 502, "a compressed answer");
  },
  evidence: async (ledger, { agent }) => {
    const principal = agent.answer.spiffe_id;
    await ledger.expect({ kind: "alarm", reason: "secret_echoed", principal }, ECHO_WAYS.length);
  },
});
