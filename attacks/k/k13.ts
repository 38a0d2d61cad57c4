/** K13: an auditor who wants everybody's events, agents and owners without a second person: page by page, at once, by names. */
import { jsonOf } from "../../test/support/http.ts";
import { askConfirmation, confirm, confirmed, createPerson } from "../../test/support/people.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { admitAdmins, expectCode, sendAs } from "../support/people-cast.ts";

const LINES = 100;
const PAGE = 20;
const BEYOND = [403, "mass_export_unconfirmed"] as const;
/** Whoever asks at once gets no more than whoever asks in turns, but for the last page. */
const AT_ONCE = 40;
const EVERYBODY = `/v1/events?limit=${PAGE}`;
const OTHERS = ["/v1/agents", "/v1/owners", "/v1/tree", "/v1/entries", "/v1/events?owner=own_x"];

/** Played by the runner. */
export const scenario = defineScenario({
  id: "K13",
  title:
    "is one auditor, who wants what takes two as one file: a page after the other, many at once, by another list, by the word on another page",
  expected:
    "a day's allowance of everybody's and no line more without a second admin's word on exactly that page; a look at one agent goes on",
  weakening: "pages-without-end",
  world: { configure: () => ({ console: { port: 0, linesPerDay: LINES } }) },
  prepare: async (world) => {
    const { second } = await admitAdmins(world);
    return { second, auditor: await createPerson(world.server, { roles: ["auditor"] }) };
  },
  control: async (world, { auditor }) => {
    expectSame((await sendAs(world, auditor, { target: EVERYBODY })).status, 200, "a first page");
  },
  attack: async (world, { second, auditor }) => {
    const { server } = world;
    const answers = await Promise.all(
      Array.from({ length: AT_ONCE }, () => sendAs(world, auditor, { target: EVERYBODY })),
    );
    const lines = answers
      .filter(({ status }) => status === 200)
      .reduce((sum, answer) => sum + [jsonOf(answer).events ?? []].flat().length, 0);
    expectSame(lines < LINES + PAGE, true, `no more than a day's lines at once, and it had ${lines}`);
    expectCode(await sendAs(world, auditor, { target: EVERYBODY }), BEYOND, "one page more");
    for (const target of OTHERS) expectCode(await sendAs(world, auditor, { target }), BEYOND, target);
    const page = { target: `${EVERYBODY}&kind=read` };
    const id = await askConfirmation(server, auditor, page);
    await confirm(server, second, id);
    const other = await confirmed(server, auditor, { target: EVERYBODY }, id);
    expectCode(other, [403, "confirmation_invalid"], "the word on another page");
    expectSame((await confirmed(server, auditor, page, id)).status, 200, "the page that was confirmed");
    expectCode(
      await confirmed(server, auditor, page, id),
      [403, "confirmation_invalid"],
      "the same word again",
    );
    const look = { target: `/v1/events?actor=agt_01J0000000000000000000000A&limit=${PAGE}` };
    expectSame((await sendAs(world, auditor, look)).status, 200, "a look at one agent");
  },
  evidence: async (ledger, { auditor }) => {
    const principal = `person:${auditor.personId}`;
    await ledger.expect(
      { kind: "refuse", reason: "mass_export_unconfirmed", principal },
      { atLeast: OTHERS.length + 1 },
    );
    await ledger.expect({ kind: "read", principal }, { atLeast: 3 });
  },
});
