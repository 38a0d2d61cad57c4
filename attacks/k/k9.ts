/** K9: one admin alone, and one admin with a second person of its own. */
import { jsonOf } from "../../test/support/http.ts";
import { askConfirmation, confirm, confirmed, createPerson } from "../../test/support/people.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { admitAdmins, expectCode, posting, sendAs, WITH_CONSOLE } from "../support/people-cast.ts";

const TURN = posting("/v1/ledger/turns", {});
const ROTATION = posting("/v1/secret-keys/rotation", {});
const ALONE = [
  posting("/v1/authority/steps", { step: "prepare", kind: "jwt" }),
  posting("/v1/policy", { bundle: "AA==" }),
  TURN,
  ROTATION,
  { target: "/v1/evidence?since=2026-01-01T00:00:00Z" },
  posting("/v1/backups", {}),
  posting("/v1/people/links", { roles: ["admin"] }),
];

/** Played by the runner. */
export const scenario = defineScenario({
  id: "K9",
  title:
    "is one admin, who wants what takes two: alone, by its own word, by a borrowed one and by a second person it made",
  expected: "each is refused until another admin's passkey signed exactly that request",
  weakening: "one-is-enough",
  world: WITH_CONSOLE,
  prepare: async (world) => {
    const { admin, second } = await admitAdmins(world);
    const invitation = posting("/v1/people/links", { roles: ["admin"] });
    const id = await askConfirmation(world.server, admin, invitation);
    await confirm(world.server, second, id);
    const { link } = jsonOf(await confirmed(world.server, admin, invitation, id));
    return { admin, second, made: await createPerson(world.server, String(link)) };
  },
  control: async ({ server }, { admin, second }) => {
    const id = await askConfirmation(server, admin, ROTATION);
    await confirm(server, second, id);
    expectSame((await confirmed(server, admin, ROTATION, id)).status, 200, "what a second admin confirmed");
  },
  attack: async (world, { admin, second, made }) => {
    const { server } = world;
    for (const request of ALONE) {
      const answer = await sendAs(world, admin, request);
      expectCode(answer, [403, "confirmation_required"], `${request.target} by one alone`);
    }
    const id = await askConfirmation(server, admin, ROTATION);
    for (const person of [admin, made]) {
      expectCode(await confirm(server, person, id), [403, "second_admin_required"], "its own second");
    }
    await confirm(server, second, id);
    const other = await confirmed(server, admin, TURN, id);
    expectCode(other, [403, "confirmation_invalid"], "the word on another request");
    const body = { ...ROTATION, body: "{ }" };
    expectCode(await confirmed(server, admin, body, id), [403, "confirmation_invalid"], "another body");
    expectCode(await confirmed(server, made, ROTATION, id), [403, "confirmation_invalid"], "another asker");
  },
  evidence: async (ledger, { admin }) => {
    const principal = `person:${admin.personId}`;
    await ledger.expect({ kind: "refuse", reason: "confirmation_required", principal }, ALONE.length);
    await ledger.expect({ kind: "refuse", reason: "confirmation_invalid" }, 3);
    await ledger.expect({ kind: "admin" }, 0);
  },
});
