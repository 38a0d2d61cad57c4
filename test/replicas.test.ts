/**
 * Two servers, each a process of its own, on one store and one ledger in a real PostgreSQL: what one does the other knows,
 * what was used at one is used at the other, and either may be killed at any time. Without Debian's PostgreSQL there is
 * nothing to test, and that is said.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { askDecision, createOwner, enrolAgent, enrolVerifier, visitIntent } from "./support/actors.ts";
import { codeOf } from "./support/http.ts";
import { POSTGRESQL_BIN } from "./support/postgresql.ts";
import { startReplicas, type TwoReplicas } from "./support/replicas.ts";

const START_MS = 120_000;

if (POSTGRESQL_BIN === undefined)
  process.stderr.write("SKIPPED: servers that share a store; install Debian's postgresql\n");

describe.skipIf(POSTGRESQL_BIN === undefined)("two servers on one store and one ledger", () => {
  let two: TwoReplicas;
  beforeAll(async () => {
    two = await startReplicas();
  }, START_MS);
  afterAll(() => two.close());

  test("know what the other did, and use up an intent for both", async () => {
    const [left, right] = await Promise.all(two.replicas.map((replica) => replica.up()));
    if (left === undefined || right === undefined) throw new Error("two servers");
    const owner = await createOwner(left, "many");
    const agent = await enrolAgent(right, owner, { name: "one" });
    const verifier = await enrolVerifier(left);
    for (const [asked, other] of [
      [left, right],
      [right, left],
    ] as const) {
      const intent = visitIntent(agent, verifier);
      const visit = { caller: verifier, agent, intent };
      expect((await askDecision(asked, visit)).status).toBe(200);
      const again = await askDecision(other, visit);
      expect([again.status, codeOf(again)]).toEqual([401, "principal_refused"]);
    }
  });
});
