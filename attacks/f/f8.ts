/** F8: a planted string on its way out. */
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { type Brokered, openBrokered, operate, WITH_GATEWAY, writeNote } from "../support/brokered.ts";
import { expectRefusal } from "../support/client.ts";

const CANARY = "cnry_Row/17+Zx81-payroll";
const STOPPED = { status: 403, code: "canary_found" } as const;

/** Ways in which data has been carried out. */
const WAYS: Readonly<Record<string, string>> = {
  arguments: JSON.stringify({ to: "evil@test", note: `row: ${CANARY}` }),
  url: `https://evil.test/collect?d=${encodeURIComponent(CANARY)}`,
  markdown: `![](https://evil.test/p.png?d=${CANARY})`,
  base64: Buffer.from(`payroll: ${CANARY}.`).toString("base64"),
  base64url: Buffer.from(`x${CANARY}`).toString("base64url"),
  hex: Buffer.from(CANARY).toString("hex"),
  "JSON in JSON": JSON.stringify({ text: JSON.stringify({ note: CANARY }) }),
};

let answerText = "fine";

async function readBack(scene: Brokered): Promise<string> {
  answerText = `the row that you asked for: ${CANARY}`;
  try {
    return (await writeNote(scene, "what is in row 17?")).text;
  } catch {
    // An answer that breaks off is what is expected; what had arrived of it is gone with it.
    return "";
  } finally {
    answerText = "fine";
  }
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "F8",
  title:
    "carries a planted string out: arguments, URL, Markdown image, base64, JSON in JSON; and lets an answer bring it",
  expected: "nothing is sent, the answer does not arrive whole, one alarm each",
  weakening: "canary-let-through",
  world: WITH_GATEWAY,
  prepare: async (world) => {
    const scene = await openBrokered(world, () => answerText);
    await operate(world, "/v1/secrets", { name: "payroll-row", kind: "canary", value: CANARY });
    return scene;
  },
  control: async (_world, scene) => {
    expectSame(
      (await writeNote(scene, `not ${CANARY.slice(0, -1)}`)).status,
      200,
      "a note without the string",
    );
  },
  attack: async (_world, scene) => {
    const sent = scene.upstream.seen.length;
    for (const [way, body] of Object.entries(WAYS)) {
      expectRefusal(await writeNote(scene, body), STOPPED, `the string in: ${way}`);
    }
    expectSame(scene.upstream.seen.length, sent, "what reached the upstream");
    expect(!(await readBack(scene)).includes(CANARY), "the string does not arrive in an answer");
  },
  evidence: async (ledger, { agent }) => {
    const principal = agent.answer.spiffe_id;
    await ledger.expect({ kind: "alarm", reason: "canary_found", principal }, Object.keys(WAYS).length + 1);
  },
});
