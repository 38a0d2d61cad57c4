/**
 * Nobody restores alone: a server that comes back by a restore issues and allows nothing until two admins, by passkeys that are older
 * than the restore, have agreed that it was wanted.
 */
import { randomBytes } from "node:crypto";
import { cpSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { gunzipSync } from "node:zlib";
import { isJsonObject } from "@trustwarden/core/json.ts";
import { parseConfig } from "@trustwarden/server/config.ts";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type Restored, restoreBackup } from "../server/backup/restore-backup.ts";
import { createRecipient, parseRecipientKey } from "../server/backup/sealed-stream.ts";
import {
  askDecision,
  createOwner,
  enrolAgent,
  enrolVerifier,
  parseDecision,
  postEnrolment,
  type TestInstance,
  type TestOwner,
  ticketOf,
  visitIntent,
} from "./support/actors.ts";
import { codeOf, jsonOf, type RawAnswer, type RawRequest, send, sendAdmin } from "./support/http.ts";
import { createTestSigner } from "./support/keys.ts";
import {
  askConfirmation,
  CONSOLE,
  confirm,
  confirmed,
  createPerson,
  originOf,
  refresh,
  sendConsole,
  type TestPerson,
} from "./support/people.ts";
import { eventsOf, payloadsOf } from "./support/refusals.ts";
import { createHome, startTestServer, type TestServer, TRUST_DOMAIN } from "./support/server.ts";

const DAY_MS = 86_400_000;
const home = createHome();
const vault = join(home.dataDir, "..", "vault");
const recipient = createRecipient();
const recipientFile = join(vault, "backup.pub");
const old = `${home.dataDir}.old`;
const config = `${home.configDir}.then`;

let offsetMs = 0;
let server: TestServer;
let owner: TestOwner;
let backup = "";
let agent: TestInstance;
let service: TestInstance;
let admins: readonly [TestPerson, TestPerson];

const nowMs = () => Date.now() + offsetMs;
const SETTINGS = { ...CONSOLE, backup: { directory: vault, recipientFile } };
const start = () => startTestServer(SETTINGS, home, { nowMs, monoMs: () => performance.now() });
const random = (length: number) => new Uint8Array(randomBytes(length));
const configOf = (dataDir: string) =>
  parseConfig({ trustDomain: TRUST_DOMAIN, dataDir, configDir: home.configDir });

/** Of the one backup, each time from the same beginning. */
async function restore(outcome: Restored["outcome"]): Promise<Restored> {
  rmSync(home.dataDir, { recursive: true, force: true });
  cpSync(config, home.configDir, { recursive: true });
  return restoreBackup({
    ...{
      file: backup,
      recipientKey: parseRecipientKey(recipient.privatePem),
      dataDir: home.dataDir,
      configOf,
      vouched: ["alice"],
    },
    ...{ ledger: outcome === "proven" ? join(old, "ledger") : null, isVoidAccepted: outcome === "void" },
    ...{ areOlderRulesAccepted: true, random, nowMs, onProgress: () => undefined },
  });
}

/** The same people at a server that listens on another port. */
async function again({ authenticator, ...person }: TestPerson): Promise<TestPerson> {
  return refresh(server, {
    ...person,
    authenticator: authenticator.behaving({ origin: originOf(server), isCounting: false }),
  });
}

async function releaseRequest(): Promise<RawRequest> {
  const { restore } = jsonOf(await sendAdmin(server.adminSocket, { target: "/v1/restore" }));
  const body = JSON.stringify({ restore: Object(restore).id });
  return { method: "POST", target: "/v1/restore/release", body };
}

/** What comes of one admin's asking, and another's agreeing. */
async function agree(asker: TestPerson, other: TestPerson): Promise<RawAnswer> {
  const request = await releaseRequest();
  const id = await askConfirmation(server, asker, request);
  const answer = await confirm(server, other, id);
  return answer.status === 200 ? confirmed(server, asker, request, id) : answer;
}

/** With a passkey that does not count, since every server has a port of its own. */
const admit = (link: object) => createPerson(server, link, { isCounting: false });
const operate = (target: string, body: object) =>
  sendAdmin(server.adminSocket, { method: "POST", target, body: JSON.stringify(body) });
/** The last record of an admin's that says so. */
async function lastOf(change: string) {
  for (const event of await eventsOf(server, "admin")) {
    const [record] = await payloadsOf(server, event);
    if (isJsonObject(record?.details) && record.details.change === change) return record;
  }
  return undefined;
}

const verdict = (answer: RawAnswer) => [answer.status, answer.status === 200 ? "" : codeOf(answer)];
const enrol = () => postEnrolment(server, ticketOf(owner, { name: "late" }), createTestSigner());

const lastBackup = async () =>
  Object(jsonOf(await sendAdmin(server.adminSocket, { target: "/v1/backups" })).last);

/** By two admins, in the console. @returns the file. */
async function orderBackup(): Promise<string> {
  const [first, second] = admins;
  const order = { method: "POST", target: "/v1/backups", body: "{}" } as const;
  expect(verdict(await sendConsole(server, order, first.cookie))).toEqual([403, "confirmation_required"]);
  const id = await askConfirmation(server, first, order);
  await confirm(server, second, id);
  expect(jsonOf(await confirmed(server, first, order, id))).toMatchObject({ last: { state: "running" } });
  expect(verdict(await operate("/v1/backups", {}))).toEqual([409, "backup_running"]);
  await vi.waitUntil(async () => (await lastBackup()).state !== "running", { timeout: 30_000 });
  const { state, file, code } = await lastBackup();
  expect([state, code]).toEqual(["made", null]);
  return join(vault, String(file));
}

beforeAll(async () => {
  mkdirSync(vault);
  writeFileSync(recipientFile, recipient.publicPem);
  server = await start();
  admins = [await admit({}), await admit({ roles: ["admin"] })];
  owner = await createOwner(server, "alice");
  agent = await enrolAgent(server, owner, { scope: ["read:transactions"] });
  service = await enrolVerifier(server);
  backup = await orderBackup();
  await server.close();
  renameSync(home.dataDir, old);
  cpSync(home.configDir, config, { recursive: true });
});
afterAll(() => home.remove());

it("is of a backup that two admins ordered: sealed, in the configured place, and nowhere else", () => {
  expect(readdirSync(vault).toSorted()).toEqual([basename(backup), "backup.pub"].toSorted());
  expect(readFileSync(backup, "latin1")).not.toContain("SQLite format");
});

describe("a restore of a place with two admins", () => {
  beforeAll(async () => {
    expect(await restore("proven")).toMatchObject({ outcome: "proven", admins: 2, isHeld: true });
    server = await start();
  });
  afterAll(() => server.close());

  it("is the first thing that the restored server records, with the account that made it", async () => {
    const record = await lastOf("restore");
    const by = `uid:${process.getuid?.()}`;
    expect(record).toMatchObject({ principal: "operator" });
    expect(record?.details).toMatchObject({ by, outcome: "proven", admins: 2, held: true });
  });

  it("issues and allows nothing, by a code that says why, and records what it refused", async () => {
    expect(verdict(await enrol())).toEqual([503, "restore_held"]);
    for (const [target, body] of [
      ["/v1/join-tokens", { name: "x" }],
      ["/v1/owners", { name: "carol", spki: "AA" }],
      ["/v1/people/x/end", {}],
    ] as const)
      expect(verdict(await operate(target, body))).toEqual([503, "restore_held"]);
    const intent = visitIntent(agent, service, { action: "read:transactions" });
    const decision = parseDecision(await askDecision(server, { caller: service, agent, intent }));
    expect(decision).toMatchObject({ allow: false, reasons: ["restore_held"] });
    const opa = await send(server.url, { target: "/v1/opa/bundles/builtin.tar.gz" }, service.tls);
    expect(gunzipSync(opa.bytes).toString()).toContain("restore_held");
    const refusals = await eventsOf(server, "refuse");
    expect(refusals.filter(({ reasons }) => reasons.includes("restore_held"))).toHaveLength(4);
  });

  it("is healthy, shows what there is, and stops", async () => {
    expect((await send(server.url, { target: "/healthz" })).status).toBe(200);
    expect((await sendAdmin(server.adminSocket, { target: "/v1/agents" })).status).toBe(200);
    const target = { kind: "instance", id: service.answer.instance_id };
    expect((await operate("/v1/revocations", { target })).status).toBe(200);
  });

  it("is not agreed to by one admin, nor with somebody whom the host's operator let in since", async () => {
    const first = await again(admins[0]);
    const request = await releaseRequest();
    expect(verdict(await sendConsole(server, request, first.cookie))).toEqual([403, "confirmation_required"]);
    expect(verdict(await agree(first, first))).toEqual([403, "second_admin_required"]);
    const made = await admit({ roles: ["admin"] });
    expect(verdict(await agree(first, made))).toEqual([403, "second_admin_required"]);
    expect(verdict(await agree(made, first))).toEqual([403, "second_admin_required"]);
    expect(verdict(await sendAdmin(server.adminSocket, request))[0]).toBe(404);
    const invite = { method: "POST", target: "/v1/people/links", body: '{"roles":["auditor"]}' } as const;
    expect(verdict(await sendConsole(server, invite, first.cookie))).toEqual([503, "restore_held"]);
    expect(verdict(await enrol())).toEqual([503, "restore_held"]);
  });

  it("is agreed to by two, once, also after a start in between; the ledger names both", async () => {
    await server.close();
    server = await start();
    const [first, second] = [await again(admins[0]), await again(admins[1])];
    expect(verdict(await enrol())).toEqual([503, "restore_held"]);
    const answer = await agree(first, second);
    expect(jsonOf(answer)).toMatchObject({ restore: { held: false } });
    expect((await enrol()).status).toBe(200);
    expect(verdict(await agree(first, second))).toEqual([404, "not_found"]);
    const agreed = [first.personId, second.personId];
    expect((await lastOf("release"))?.details).toMatchObject({ agreed });
  });
});

describe("a restore of which nothing is proven", () => {
  beforeAll(async () => {
    expect(await restore("void")).toMatchObject({ outcome: "void", isHeld: true });
    server = await start();
  });
  afterAll(async () => {
    await server.close();
    offsetMs = 0;
  });

  it("leaves admins their passkeys for this one word, and a new passkey counts after a day", async () => {
    const [first] = [await again(admins[0])];
    const made = await admit({ roles: ["admin"] });
    expect(verdict(await agree(first, made))).toEqual([403, "second_admin_required"]);
    offsetMs = DAY_MS - 60_000;
    const early = [await again(first), await again(made)] as const;
    expect(verdict(await agree(early[0], early[1]))).toEqual([403, "second_admin_required"]);
    offsetMs = DAY_MS + 60_000;
    const late = [await again(first), await again(made)] as const;
    expect((await agree(late[0], late[1])).status).toBe(200);
    await expect(again(first)).rejects.toThrow("nobody was let in");
    await again(made);
  });
});
