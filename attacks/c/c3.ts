/** C3: spellings of scopes. */
import { createTestSigner } from "../../test/support/keys.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { expectRefusal } from "../support/client.ts";
import { signGrant, signTicket } from "../support/documents.ts";
import { enrolWith } from "../support/visits.ts";

/** Spellings that some matcher somewhere takes for more than they say. */
const SPELLINGS: readonly string[] = [
  "read:reports/../tx",
  "read:tx:..",
  "read:tx:a/../b",
  "read:tx:*/**",
  "read:tx:**/a",
  "read:tx:a*",
  "READ:tx",
  "Read:tx",
  "read:TX",
  "read:tx%00",
  "read:tx\u0000",
  "read:tx ",
  " read:tx",
  "read:tx\n",
  "read:tx:a//b",
  "read:tx:",
  "read:tx:/a",
  "read",
  "read:",
  ":tx",
  "",
  "*",
  "**",
  "!read:tx",
  "-read:tx",
  "read:tx?x=1",
  "reаd:tx",
  "read:tx:é",
  `read:tx:${"a".repeat(250)}`,
  "__proto__:tx ",
];

/** Played by the runner. */
export const scenario = defineScenario({
  id: "C3",
  title:
    "scopes with dots, wildcards in odd places, capitals, spaces, NUL, look-alikes, nothing, and 10,000 of them",
  expected: "refused by the grammar, in tickets and in grants; no scope at all means no permission",
  weakening: "any-scope-spelling",
  prepare: async (world) => ({
    owner: await world.owner(),
    parent: await world.enrol(["read:*", "write:reports"], { ttlSeconds: 3000 }),
    from: world.source(),
  }),
  control: async (world, { parent }) => {
    const signer = createTestSigner();
    const grant = signGrant(parent, signer, {
      name: world.name("honest"),
      scope: ["read:tx:a/*/b", "read:tx:c/**"],
    });
    expectSame((await enrolWith(world, grant, { signer })).status, 200, "scopes within the grammar");
  },
  attack: async (world, { owner, parent, from }) => {
    for (const spelling of SPELLINGS) {
      const signer = createTestSigner();
      const malformed = { status: 400, code: "scope_malformed" };
      const what = JSON.stringify(spelling);
      const ticket = signTicket(owner, { name: world.name("odd"), scope: [spelling] });
      expectRefusal(
        await enrolWith(world, ticket, { signer, from }),
        malformed,
        `the scope ${what} in a ticket`,
      );
      const grant = signGrant(parent, signer, { name: world.name("odd"), scope: [spelling] });
      expectRefusal(
        await enrolWith(world, grant, { signer, from }),
        malformed,
        `the scope ${what} in a grant`,
      );
    }
    for (const scope of [
      Array.from({ length: 2000 }, (_, index) => `read:t${index}`),
      Array.from({ length: 65 }, () => "read:tx"),
    ]) {
      const signer = createTestSigner();
      const { status } = await enrolWith(world, signTicket(owner, { name: world.name("many"), scope }), {
        signer,
        from,
      });
      expectSame(status, 400, `${scope.length} scopes`);
    }
    const many = Array.from({ length: 10_000 }, () => "read:tx");
    const signer = createTestSigner();
    const { status } = await enrolWith(world, signTicket(owner, { name: world.name("many"), scope: many }), {
      signer,
      from,
    });
    expect(status === 400 || status === 413, `10,000 scopes are refused, and not ${status}`);
    for (const scope of [null, "read:tx", { read: "tx" }, [1], [["read:tx"]]]) {
      const answer = await enrolWith(world, signTicket(owner, { name: world.name("type"), scope }), {
        signer,
        from,
      });
      expect(
        answer.status === 400 || answer.status === 401,
        `the scope ${JSON.stringify(scope)} is refused, and not ${answer.status}`,
      );
    }
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "issue" }, 0);
  },
});
