/**
 * kill -9 at each commit of a forced rotation: what is found at the next start is the state of before or of after the
 * step, with one event for each step, and the keeper goes on from there.
 */
import { type AuthorityAnswer, authorityAnswer } from "@trustwarden/core/api/authority.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createOwner, enrolAgent, type TestOwner } from "./support/actors.ts";
import { AUTHORITY_POINTS } from "./support/crash-points.ts";
import { CrashingServer } from "./support/crash-server.ts";
import { jsonOf, sendAdmin } from "./support/http.ts";
import { eventsOf } from "./support/refusals.ts";

const CRASH_TIMEOUT_MS = 60_000;
/** What becomes of the old and the new intermediate with each step that has committed: prepare, activate, taint. */
const STATES = [
  ["active", undefined],
  ["active", "prepared"],
  ["superseded", "active"],
  ["tainted", "active"],
] as const;
const [UNCOMMITTED, COMMITTED, TOLD] = AUTHORITY_POINTS;
const CASES = [1, 2, 3].flatMap((step) => [
  { step, point: UNCOMMITTED, committed: step - 1 },
  { step, point: COMMITTED, committed: step },
  { step, point: TOLD, committed: step },
]);

const crashing = new CrashingServer();
let owner: TestOwner;

beforeAll(async () => {
  await crashing.start();
  owner = await createOwner(crashing.server);
});
afterAll(() => crashing.end());

const step = (body: object) =>
  sendAdmin(crashing.server.adminSocket, {
    method: "POST",
    target: "/v1/authority/steps",
    body: JSON.stringify(body),
  });
const rotate = () => step({ step: "rotate", kind: "intermediate", force: true });
async function read(): Promise<AuthorityAnswer> {
  return authorityAnswer.parse(
    jsonOf(await sendAdmin(crashing.server.adminSocket, { target: "/v1/authority" })),
  );
}
const intermediates = ({ keys }: AuthorityAnswer) => keys.filter(({ kind }) => kind === "intermediate");
const activeOf = (answer: AuthorityAnswer) =>
  intermediates(answer).find(({ state }) => state === "active")?.id ?? "";

describe("a forced rotation that is killed", () => {
  it.each(CASES)("in step $step, at: $point.name", { timeout: CRASH_TIMEOUT_MS }, async (one) => {
    if (one.point === undefined) throw new Error("there are three points");
    const before = await read();
    const known = new Set(intermediates(before).map(({ id }) => id));
    const old = activeOf(before);
    await crashing.crash({ point: one.point, hit: one.step }, rotate);
    const found = await read();
    const stateOf = (id: string) => intermediates(found).find((key) => key.id === id)?.state;
    const made = intermediates(found).find(({ id }) => !known.has(id));
    expect([stateOf(old), made?.state]).toEqual(STATES[one.committed]);
    expect(found.sequence).toBe(before.sequence + one.committed);
    expect(await eventsOf(crashing.server, "authority")).toHaveLength(found.sequence - 1);
    await enrolAgent(crashing.server, owner, { name: `after-${one.step}-${CASES.indexOf(one)}` });
    expect((await rotate()).status).toBe(200);
    const after = await read();
    // What was prepared is used, and not a second one beside it.
    if (made?.state === "prepared") expect(activeOf(after)).toBe(made.id);
    expect(intermediates(after).filter(({ state }) => state === "active")).toHaveLength(1);
    // A key that was superseded and not yet tainted is tainted by name.
    if (one.committed === 2) expect((await step({ step: "taint", id: old })).status).toBe(200);
    expect(intermediates(await read()).find(({ id }) => id === old)?.state).toBe("tainted");
    await enrolAgent(crashing.server, owner, { name: `later-${one.step}-${CASES.indexOf(one)}` });
  });
});
