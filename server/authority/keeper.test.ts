/** The planned steps by age, with a clock that a test moves, real keys, and a store in memory. */
import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { type AuthoritySlot, activeSlotOf } from "@trustwarden/core/agentid/authority-slots.ts";
import { type AuthorityStep, applyStep } from "@trustwarden/core/agentid/authority-steps.ts";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createHome, type TestHome, TRUST_DOMAIN } from "../../test/support/server.ts";
import { openServerKeys } from "../keys.ts";
import type { ChangeAuthorityCommand, StoredAuthority } from "../store/authority-ports.ts";
import type { CommandContext } from "../store/ports.ts";
import { AuthorityKeeper } from "./keeper.ts";

const DAY_MS = 86_400_000;
const BEGIN_MS = Date.UTC(2026, 0, 1);
const random = (length: number) => new Uint8Array(randomBytes(length));

let home: TestHome;
let nowMs: number;
let state: StoredAuthority;
let steps: AuthorityStep["step"][];
let keeper: AuthorityKeeper;

beforeEach(async () => {
  home = createHome();
  for (const path of [home.dataDir, home.configDir]) mkdirSync(path, { recursive: true, mode: 0o700 });
  nowMs = BEGIN_MS;
  steps = [];
  const keys = await openServerKeys({
    config: { ...home, trustDomain: TRUST_DOMAIN },
    random,
    nowMs: () => nowMs,
  });
  state = { sequence: 1, slots: keys.firstAuthority, successions: [] };
  const changeAuthority = async (command: ChangeAuthorityCommand) => {
    state = { ...applyStep(state, command.step, nowMs / 1000), successions: [] };
    steps.push(command.step.step);
    return { value: state, entries: [], outboxId: 0, eventId: "", epoch: 0 };
  };
  keeper = new AuthorityKeeper({
    keys,
    commands: { changeAuthority, mendAuthority: () => Promise.reject(new Error("nothing to mend")) },
    reads: { authority: () => state },
    random,
    nowMs: () => nowMs,
  });
  await keeper.open();
});
afterEach(async () => {
  await keeper.close();
  home.remove();
});

/** Lets time pass and looks at the ages, as every minute does. @returns the steps that were due. */
async function lookAfter(ms: number): Promise<readonly AuthorityStep["step"][]> {
  nowMs += ms;
  steps = [];
  const context: CommandContext = { nowMs, principal: "server", peer: "", intent: null };
  await keeper.takePlanned({ context, reason: "age" }, async () => {});
  return steps;
}
const idOf = (kind: AuthoritySlot["kind"]) => activeSlotOf(state, kind).id;

it("replaces the intermediate 30 days before its end and not a second sooner, and retires the old one when its SVIDs have ended", async () => {
  const first = idOf("intermediate");
  const dueMs = (activeSlotOf(state, "intermediate").expiresAt ?? 0) * 1000 - 30 * DAY_MS;
  // The JWT key goes its own way, 60 days after its start.
  await lookAfter(dueMs - nowMs - 1000);
  expect(idOf("intermediate")).toBe(first);
  expect(await lookAfter(1000)).toEqual(expect.arrayContaining(["prepare", "activate"]));
  expect(idOf("intermediate")).not.toBe(first);
  expect(keeper.current().intermediate.notAfter).toBeGreaterThan(nowMs / 1000 + 80 * 86_400);
  const stateOf = (id: string) => state.slots.find((slot) => slot.id === id)?.state;
  await lookAfter(3_899_000);
  expect(stateOf(first)).toBe("superseded");
  expect(await lookAfter(1000)).toContain("retire");
  expect(stateOf(first)).toBe("retired");
});

it("publishes a JWT key 15 minutes before it signs, at an age of 60 days", async () => {
  const first = idOf("jwt");
  const startedMs = (activeSlotOf(state, "jwt").activatedAt ?? 0) * 1000;
  const steps = [
    await lookAfter(startedMs + 60 * DAY_MS - nowMs - 1000),
    await lookAfter(1000),
    await lookAfter(899_000),
    await lookAfter(1000),
  ];
  expect(steps.map((taken) => taken.includes("prepare"))).toEqual([false, true, false, false]);
  expect(idOf("jwt")).not.toBe(first);
  expect(steps[3]).toContain("activate");
});

it("goes on from a key that was prepared before a crash, and takes no step twice", async () => {
  nowMs = (activeSlotOf(state, "intermediate").expiresAt ?? 0) * 1000 - 30 * DAY_MS;
  const context: CommandContext = { nowMs, principal: "server", peer: "", intent: null };
  await keeper.prepare("intermediate", { context, reason: "before the crash" }, async () => {});
  const prepared = state.slots.find((slot) => slot.kind === "intermediate" && slot.state === "prepared")?.id;
  await lookAfter(60_000);
  expect(idOf("intermediate")).toBe(prepared);
  expect(await lookAfter(60_000)).toEqual([]);
});
