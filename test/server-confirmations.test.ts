/** What nobody does alone: asked by one admin, confirmed by another with a passkey over exactly that request, done once. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isJsonObject } from "@trustwarden/core/json.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { codeOf, jsonOf, type RawAnswer, sendAdmin } from "./support/http.ts";
import {
  askConfirmation,
  CONSOLE,
  confirm,
  confirmed,
  createPerson,
  refresh,
  sendConsole,
  type TestPerson,
} from "./support/people.ts";
import { eventsOf, payloadsOf } from "./support/refusals.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

const TURN = { method: "POST", target: "/v1/ledger/turns", body: "{}" } as const;
const ROTATION = { method: "POST", target: "/v1/secret-keys/rotation", body: "{}" } as const;

let server: TestServer;
let admin: TestPerson;
let second: TestPerson;
let auditor: TestPerson;
let offsetMs = 0;

beforeAll(async () => {
  server = await startTestServer(CONSOLE, undefined, {
    nowMs: () => Date.now() + offsetMs,
    monoMs: () => performance.now(),
  });
  admin = await createPerson(server);
  second = await createPerson(server, { roles: ["admin"] });
  auditor = await createPerson(server, { roles: ["auditor"] });
});
afterAll(async () => {
  await server.close();
  server.home.remove();
});

/** What the ledger says of them, the latest first. */
async function lastConfirmations(count: number) {
  const events = (await eventsOf(server, "confirmation")).slice(0, count);
  const records = await Promise.all(events.map((event) => payloadsOf(server, event)));
  return records.map(([record]) => (isJsonObject(record?.details) ? record.details : {}));
}

const verdict = (answer: RawAnswer) => [answer.status, answer.status === 200 ? "" : codeOf(answer)];

describe("what needs a second admin", () => {
  it("is refused to one alone, by a code that says what to do next, and recorded, also where it only reads", async () => {
    const before = await eventsOf(server, "refuse");
    const range = { target: "/v1/evidence?since=2026-01-01T00:00:00Z" };
    const power = { method: "POST", target: "/v1/people/links", body: '{"roles":["admin"]}' } as const;
    for (const request of [TURN, ROTATION, range, power]) {
      expect(verdict(await sendConsole(server, request, admin.cookie))).toEqual([
        403,
        "confirmation_required",
      ]);
    }
    const refusals = (await eventsOf(server, "refuse")).slice(0, -before.length || undefined);
    expect(refusals.map(({ reasons }) => reasons)).toEqual(Array(4).fill(["confirmation_required"]));
  });

  it("is done once when another admin confirmed it, and the ledger names both, the request and the passkey's word", async () => {
    const id = await askConfirmation(server, admin, ROTATION);
    expect(verdict(await confirmed(server, admin, ROTATION, id))).toEqual([403, "confirmation_pending"]);
    expect(verdict(await confirm(server, second, id))).toEqual([200, ""]);
    expect(verdict(await confirmed(server, admin, ROTATION, id))).toEqual([200, ""]);
    expect(verdict(await confirmed(server, admin, ROTATION, id))).toEqual([403, "confirmation_invalid"]);
    const [used, answered, asked] = await lastConfirmations(3);
    expect([asked, answered, used].map((record) => record?.change)).toEqual(["ask", "confirm", "use"]);
    const both = {
      asked_by: `person:${admin.personId}`,
      answered_by: second.personId,
      digest: asked?.digest,
    };
    expect(answered).toMatchObject({ ...both, signature: expect.any(String) });
    expect(used).toMatchObject(both);
  });

  it("reads, too, when it was confirmed: an auditor may ask, an owner may not", async () => {
    const range = { target: "/v1/evidence?since=2026-01-01T00:00:00Z" };
    const id = await askConfirmation(server, auditor, range);
    await confirm(server, second, id);
    expect((await confirmed(server, auditor, range, id)).status).toBe(200);
    const owner = await createPerson(server, { roles: ["owner"] });
    expect(verdict(await sendConsole(server, range, owner.cookie))).toEqual([403, "denied"]);
    const body = JSON.stringify({ method: "POST", target: TURN.target, body: "{}", reason: "mine" });
    const asked = { method: "POST", target: "/v1/confirmations", body } as const;
    expect(verdict(await sendConsole(server, asked, auditor.cookie))).toEqual([403, "denied"]);
  });
});

describe("a confirmation", () => {
  it("is for the one who asked and for exactly one method, target and body", async () => {
    const id = await askConfirmation(server, admin, ROTATION);
    await confirm(server, second, id);
    for (const [who, request] of [
      [second, ROTATION],
      [admin, TURN],
      [admin, { ...ROTATION, body: "{ }" }],
      [admin, { ...ROTATION, target: `${ROTATION.target}?` }],
    ] as const) {
      const answer = await confirmed(server, who, request, id);
      expect(verdict(answer)).toEqual([403, "confirmation_invalid"]);
    }
    const nobodys = await confirmed(server, admin, ROTATION, `cnf_${"0".repeat(26)}`);
    expect(verdict(nobodys)).toEqual([403, "confirmation_invalid"]);
    expect(verdict(await confirmed(server, admin, ROTATION, id))).toEqual([200, ""]);
  });

  it("is not given by the one who asked, by another role, or by the word on another request", async () => {
    const id = await askConfirmation(server, admin, TURN);
    expect(verdict(await confirm(server, admin, id))).toEqual([403, "second_admin_required"]);
    expect(verdict(await confirm(server, auditor, id))).toEqual([401, "principal_refused"]);
    const other = await askConfirmation(server, admin, ROTATION);
    expect(verdict(await confirm(server, second, id, other))).toEqual([401, "principal_refused"]);
    const borrowed = { ...second, authenticator: admin.authenticator };
    expect(verdict(await confirm(server, borrowed, id))).toEqual([403, "second_admin_required"]);
  });

  it("is refused by a no, which needs no passkey, and ends after an hour", async () => {
    const id = await askConfirmation(server, admin, TURN);
    const no = {
      method: "POST",
      target: `/v1/confirmations/${id}/answer`,
      body: '{"answer":"refuse"}',
    } as const;
    expect(verdict(await sendConsole(server, no, second.cookie))).toEqual([200, ""]);
    expect(verdict(await confirm(server, second, id))).toEqual([403, "confirmation_invalid"]);
    expect(verdict(await confirmed(server, admin, TURN, id))).toEqual([403, "confirmation_invalid"]);
    const late = await askConfirmation(server, admin, TURN);
    await confirm(server, second, late);
    offsetMs += 3_600_000;
    admin = await refresh(server, admin);
    second = await refresh(server, second);
    expect(verdict(await confirmed(server, admin, TURN, late))).toEqual([403, "confirmation_invalid"]);
  });

  it("shows the second admin what it is, and is asked for only where one is needed", async () => {
    const id = await askConfirmation(server, admin, TURN);
    const shown = jsonOf(await sendConsole(server, { target: `/v1/confirmations/${id}` }, admin.cookie));
    expect(shown).toMatchObject({ ...TURN, state: "pending", asked_by: `person:${admin.personId}` });
    const list = await sendAdmin(server.adminSocket, { target: "/v1/confirmations" });
    expect(list.text).toContain(id);
    const body = JSON.stringify({ method: "GET", target: "/v1/status", reason: "none" });
    const asked = await sendConsole(
      server,
      { method: "POST", target: "/v1/confirmations", body },
      admin.cookie,
    );
    expect(verdict(asked)).toEqual([400, "request_malformed"]);
  });
});

describe("a second admin", () => {
  it("sees an invitation's address, which is nowhere on the disk in clear", async () => {
    const address = "hidden-in-a-question@acme.test";
    const body = JSON.stringify({ roles: ["admin"], address });
    const id = await askConfirmation(server, admin, { method: "POST", target: "/v1/people/links", body });
    const shown = await sendConsole(server, { target: `/v1/confirmations/${id}` }, second.cookie);
    expect(jsonOf(shown).body).toBe(body);
    const { dataDir } = server.home;
    const files = readdirSync(dataDir, { recursive: true, withFileTypes: true }).filter((one) =>
      one.isFile(),
    );
    const texts = files.map(({ parentPath, name }) => readFileSync(join(parentPath, name), "latin1"));
    expect(texts.some((text) => text.includes(id))).toBe(true);
    expect(texts.filter((text) => text.includes("hidden-in-a-question"))).toEqual([]);
  });

  it("is not one whom the asker, or both of them, made within the day", async () => {
    second = await refresh(server, second);
    const asks = { method: "POST", target: "/v1/people/links", body: '{"roles":["admin"]}' } as const;
    const id = await askConfirmation(server, admin, asks);
    await confirm(server, second, id);
    const { link } = jsonOf(await confirmed(server, admin, asks, id));
    const third = await createPerson(server, String(link));
    const wish = await askConfirmation(server, admin, TURN);
    expect(verdict(await confirm(server, third, wish))).toEqual([403, "second_admin_required"]);
    const reverse = await askConfirmation(server, third, TURN);
    expect(verdict(await confirm(server, second, reverse))).toEqual([403, "second_admin_required"]);
    offsetMs += 86_400_000;
    admin = await refresh(server, admin);
    const later = await askConfirmation(server, admin, TURN);
    expect(verdict(await confirm(server, await refresh(server, third), later))).toEqual([200, ""]);
  });

  it("was let in by the operator, when that is who let them in: a lost passkey comes back by two admins", async () => {
    admin = await refresh(server, admin);
    second = await refresh(server, second);
    const body = JSON.stringify({ person: auditor.personId });
    const asks = { method: "POST", target: "/v1/people/links", body } as const;
    const id = await askConfirmation(server, admin, asks);
    await confirm(server, second, id);
    const answer = await confirmed(server, admin, asks, id);
    expect([answer.status, jsonOf(answer).kind]).toEqual([200, "recovery"]);
  });
});

describe("the admin socket of a host whose operator wants two", () => {
  it("waits for an admin, whom the operator has not made within the day; the first link needs nobody", async () => {
    let later = 0;
    const clock = { nowMs: () => Date.now() + later, monoMs: () => performance.now() };
    const strict = await startTestServer(
      { console: { port: 0, secondAdmin: "everywhere" } },
      undefined,
      clock,
    );
    const made = await createPerson(strict);
    expect(verdict(await sendAdmin(strict.adminSocket, ROTATION))).toEqual([403, "confirmation_required"]);
    const ask = async () => {
      const body = JSON.stringify({ ...ROTATION, reason: "yearly" });
      const target = "/v1/confirmations";
      return String(jsonOf(await sendAdmin(strict.adminSocket, { method: "POST", target, body })).id);
    };
    expect(verdict(await confirm(strict, made, await ask()))).toEqual([403, "second_admin_required"]);
    later = 86_400_000;
    const id = await ask();
    expect(verdict(await confirm(strict, await refresh(strict, made), id))).toEqual([200, ""]);
    const headers = { "trustwarden-confirmation": id };
    expect(verdict(await sendAdmin(strict.adminSocket, { ...ROTATION, headers }))).toEqual([200, ""]);
    await strict.close();
    strict.home.remove();
  });
});
