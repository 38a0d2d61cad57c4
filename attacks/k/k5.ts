/** K5: reads of the table that is checked in, asked by those who may not. Every row is `test/server-matrix.test.ts`. */
import { readFileSync } from "node:fs";
import { createPerson, sendConsole, type TestPerson } from "../../test/support/people.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { expectCode, sendAs, WITH_CONSOLE } from "../support/people-cast.ts";

const ROW = /^\| `GET (\/[a-z0-9/-]+)` \| (no|yes) \| (no|yes) \| (no|yes) \|/gm;
/** Reads without a parameter, and whether an owner may ask them. */
const READS = [...readFileSync("docs/access.md", "utf8").matchAll(ROW)].map(
  ([, target = "", , owner, auditor]) => ({
    target,
    isOwners: owner === "yes",
    isAuditors: auditor === "yes",
  }),
);
const CLOSED = READS.filter(({ isOwners, isAuditors }) => !isOwners && isAuditors);

/** Played by the runner. */
export const scenario = defineScenario({
  id: "K5",
  title: "asks every read of the operators' with nothing, with an ended session and as an owner",
  expected: "each is refused as the checked-in table says, and an auditor gets it",
  weakening: "roles-unasked",
  world: WITH_CONSOLE,
  prepare: async ({ server }) => ({
    owner: await createPerson(server, { roles: ["owner"] }),
    auditor: await createPerson(server, { roles: ["auditor"] }),
    ended: await endedSession(server),
  }),
  control: async (world, { auditor }) => {
    expect(CLOSED.length > 5, "the table has reads that are not for owners");
    for (const { target } of CLOSED) {
      expectSame((await sendAs(world, auditor, { target })).status, 200, `${target} by an auditor`);
    }
  },
  attack: async (world, { owner, ended }) => {
    for (const { target } of CLOSED) {
      expectCode(await sendAs(world, owner, { target }), [401, "principal_refused"], `${target} by an owner`);
      const nobody = await sendConsole(world.server, { target });
      expectCode(nobody, [401, "principal_refused"], `${target} by nobody`);
      const gone = await sendAs(world, ended, { target });
      expectCode(gone, [401, "principal_refused"], `${target} by an ended session`);
    }
  },
  // Who cannot prove a right to read leaves nothing: each would be a line of the attacker's choice.
  evidence: async (ledger) => ledger.expectNothing(),
});

async function endedSession(server: Parameters<typeof createPerson>[0]): Promise<TestPerson> {
  const person = await createPerson(server, { roles: ["auditor"] });
  await sendConsole(server, { method: "POST", target: "/v1/session/end", body: "{}" }, person.cookie);
  return person;
}
