/** What one person reads of everybody's in a day: counted by lines, beyond it page by page with a second admin. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { codeOf, jsonOf, type RawAnswer, sendAdmin } from "./support/http.ts";
import {
  askConfirmation,
  confirm,
  confirmed,
  createPerson,
  originOf,
  refresh,
  sendConsole,
  type TestPerson,
} from "./support/people.ts";
import { eventsOf } from "./support/refusals.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

const DAY_MS = 86_400_000;
const LINES = 100;
const LIST = { target: "/v1/events?limit=30" };
const LOOK = { target: "/v1/events?actor=agt_01J0000000000000000000000A" };
const SETTINGS = { console: { port: 0, linesPerDay: LINES, secondAdmin: "everywhere" } } as const;

let server: TestServer;
let admin: TestPerson;
let auditor: TestPerson;
let offsetMs = 0;
const clock = { nowMs: () => Date.now() + offsetMs, monoMs: () => performance.now() };

beforeAll(async () => {
  server = await startTestServer(SETTINGS, undefined, clock);
  admin = await createPerson(server);
  auditor = await createPerson(server, { roles: ["auditor"] });
});
afterAll(async () => {
  await server.close();
  server.home.remove();
});

const read = (request: { readonly target: string }) => sendConsole(server, request, auditor.cookie);
const verdict = (answer: RawAnswer) => (answer.status === 200 ? 200 : codeOf(answer));

/** Reads pages until one is refused. @returns lines of those before. */
async function readAll(): Promise<number> {
  let lines = 0;
  for (let page = 0; page < 50; page += 1) {
    const answer = await read(LIST);
    if (answer.status !== 200) return lines;
    lines += [jsonOf(answer).events ?? []].flat().length;
  }
  throw new Error("there is no end of it");
}

/** The console comes back on another port. */
function again({ authenticator, ...person }: TestPerson): Promise<TestPerson> {
  const moved = authenticator.behaving({ origin: originOf(server) });
  return refresh(server, { ...person, authenticator: moved });
}

it("lists of everybody's end for one person at the day's lines, and a look at one agent goes on", async () => {
  const lines = await readAll();
  expect(lines).toBeGreaterThanOrEqual(LINES);
  expect(lines).toBeLessThan(LINES + 30);
  const lists = ["/v1/owners", "/v1/agents", "/v1/tree", "/v1/entries", LIST.target];
  // An owner is no agent under another term, and a letter is no name.
  const nameless = ["/v1/events?agent=own_1", "/v1/events?actor=", "/v1/agents?name=", "/v1/tree?prefix=a"];
  for (const target of [...lists, ...nameless])
    expect([target, verdict(await read({ target }))]).toEqual([target, "mass_export_unconfirmed"]);
  const [refused] = await eventsOf(server, "refuse");
  expect(refused).toMatchObject({
    reasons: ["mass_export_unconfirmed"],
    authorized_by: `person:${auditor.personId}`,
  });
  for (const target of [
    LOOK.target,
    "/v1/tree?prefix=abc",
    "/v1/agents?name=abc",
    "/v1/people",
    "/v1/session",
  ])
    expect(verdict(await read({ target }))).toBe(200);
});

it("another person has a day of its own", async () => {
  expect(verdict(await sendConsole(server, LIST, admin.cookie))).toBe(200);
});

it("what was counted outlives the server, and a second admin's word is on one page, once", async () => {
  const { home } = server;
  await server.close();
  server = await startTestServer(SETTINGS, home, clock);
  auditor = await again(auditor);
  admin = await again(admin);
  expect(verdict(await read(LIST))).toBe("mass_export_unconfirmed");
  const id = await askConfirmation(server, auditor, LIST);
  expect(verdict(await confirm(server, admin, id))).toBe(200);
  expect(verdict(await confirmed(server, auditor, { target: "/v1/owners" }, id))).toBe(
    "confirmation_invalid",
  );
  expect(verdict(await confirmed(server, auditor, LIST, id))).toBe(200);
  expect(verdict(await confirmed(server, auditor, LIST, id))).toBe("confirmation_invalid");
});

it("the admin socket is counted where nobody acts alone, with the ledger's tail", async () => {
  const said: unknown[] = [];
  for (let turn = 0; turn < 30 && said.at(-1) !== "mass_export_unconfirmed"; turn += 1)
    said.push(verdict(await sendAdmin(server.adminSocket, { target: "/v1/ledger/tail?from=0&limit=60" })));
  expect([said[0], said.at(-1)]).toEqual([200, "mass_export_unconfirmed"]);
});

it("a new day begins anew", async () => {
  offsetMs = DAY_MS;
  auditor = await refresh(server, auditor);
  expect(verdict(await read(LIST))).toBe(200);
});
