/** Calls that wait for a human, labels of a job and the freeze, over a real server, service and agent. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AgentIdentity } from "./agent-identity.ts";
import { type LiveServer, type LiveService, startLiveServer, startLiveService } from "./live.test.support.ts";

const POLICIES = join(import.meta.dirname, "../policies");
const SCOPE = ["delete:rows", "read:web", "read:mail", "send:mail", "write:notes"];
const row = (method: string, path: string, action: string) => ({
  method,
  path,
  action,
  resource: `db://rows${path}`,
});
const ROUTES = [
  row("DELETE", "/rows/{id}", "delete:rows"),
  row("POST", "/rows/{id}/delete", "delete:rows"),
  { ...row("GET", "/web", "read:web"), labels: ["untrusted"] },
  { ...row("GET", "/mail", "read:mail"), labels: ["private"] },
  row("POST", "/mail", "send:mail"),
  { ...row("POST", "/notes", "write:notes"), outside: false },
];

let policyDir: string;
let live: LiveServer;
let service: LiveService;
const handled: string[] = [];

beforeAll(async () => {
  policyDir = mkdtempSync(join(tmpdir(), "asking-"));
  cpSync(POLICIES, policyDir, { recursive: true });
  const path = join(policyDir, "trustwarden/data.json");
  const asks = { delete: { at: ["gateway", "service", "self"], why: "Rows do not come back." } };
  const data = JSON.parse(readFileSync(path, "utf8"));
  data.policy.asks = { ...asks, send: { at: ["self"], why: "x" } };
  data.policy.classes["delete:scratch"] = "B";
  writeFileSync(path, JSON.stringify(data));
  live = await startLiveServer({ policyDir });
  service = await startLiveService(live, {
    name: "rows",
    routes: ROUTES,
    listener: (_request, response, visit) => {
      handled.push(`${visit.action} ${visit.resource} ${Buffer.from(visit.body)}`);
      response.end("done");
    },
  });
});
afterAll(async () => {
  await service?.close();
  await live?.close();
  rmSync(policyDir, { recursive: true, force: true });
});

const create = (scope = SCOPE) =>
  AgentIdentity.create({ name: "cleaner", ticket: live.ticket({ name: "cleaner", scope }) });

/** The request's id out of the refusal. */
async function requestOf(call: Promise<unknown>): Promise<string> {
  const error = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof TrustWardenError)) throw new Error("the call was not refused");
  expect(error.code).toBe("approval_required");
  return String(error.details.request);
}

/** The approval of a call that waits for one. */
async function approved(agent: AgentIdentity, call: Promise<unknown>): Promise<string> {
  const request = await requestOf(call);
  const waiting = agent.waitForApproval(request);
  await answerWhenAsked(request, "approve");
  return waiting;
}

/** Answers as soon as the request is there. */
async function answerWhenAsked(request: string, answer: "approve" | "deny"): Promise<void> {
  await expect
    .poll(
      () =>
        live.answer(request, answer).then(
          () => "answered",
          () => "not yet",
        ),
      { timeout: 5000 },
    )
    .toBe("answered");
}

const reasonsOf = (agent: AgentIdentity): readonly string[] => agent.receipts.at(-1)?.reasons ?? [];
const refused = (code: string) => expect.objectContaining({ code });

describe("a call that waits for a human", () => {
  it("does nothing until the owner has approved exactly it, and then happens once", async () => {
    const agent = await create();
    const url = `${service.url}/rows/7/delete`;
    const call = { method: "POST", body: "because it is old" };
    const before = handled.length;
    const request = await requestOf(agent.fetch(url, call));
    const waiting = agent.waitForApproval(request);
    await expect
      .poll(async () => JSON.stringify(await live.admin("GET", "/v1/approvals")), { timeout: 5000 })
      .toContain(request);
    expect(handled.length).toBe(before);
    const answered = await live.answer(request, "approve");
    expect(answered).toMatchObject({
      status: "approved",
      action: "delete:rows",
      why: "Rows do not come back.",
      body: "because it is old",
    });
    const approval = await waiting;
    expect((await agent.fetch(url, { ...call, approval })).status).toBe(200);
    expect(handled.length).toBe(before + 1);
    const again = await agent.fetch(url, { ...call, approval });
    expect([again.status, reasonsOf(agent)]).toEqual([403, ["approval_required", "approval_used"]]);
    expect(handled.length).toBe(before + 1);
    await agent.close();
  });

  it("is not lifted for other parameters, by another instance, or after a no", async () => {
    const agent = await create();
    const other = await create();
    const url = (id: number) => `${service.url}/rows/${id}`;
    const request = await requestOf(agent.fetch(url(1), { method: "DELETE" }));
    const waiting = agent.waitForApproval(request);
    await expect
      .poll(
        () =>
          live.answer(request, "approve").then(
            () => "approved",
            () => "not yet",
          ),
        { timeout: 5000 },
      )
      .toBe("approved");
    const approval = await waiting;
    await agent.fetch(url(2), { method: "DELETE", approval });
    expect(reasonsOf(agent)).toContain("approval_mismatch");
    await other.fetch(url(1), { method: "DELETE", approval });
    expect(reasonsOf(other)).toContain("approval_mismatch");
    expect((await agent.fetch(url(1), { method: "DELETE", approval })).status).toBe(200);
    const second = await requestOf(agent.fetch(url(3), { method: "DELETE" }));
    const refusal = expect(agent.waitForApproval(second)).rejects.toEqual(refused("approval_denied"));
    await expect
      .poll(
        () =>
          live.answer(second, "deny").then(
            () => "denied",
            () => "not yet",
          ),
        { timeout: 5000 },
      )
      .toBe("denied");
    await refusal;
    await agent.fetch(url(3), { method: "DELETE", approval: second });
    expect(reasonsOf(agent)).toContain("approval_denied");
    await agent.close();
    await other.close();
  });

  it("is denied when nobody answers in time, or when nobody was asked", async () => {
    const agent = await create();
    const url = `${service.url}/rows/9`;
    const request = await requestOf(agent.fetch(url, { method: "DELETE" }));
    await agent.fetch(url, { method: "DELETE", approval: request });
    expect(reasonsOf(agent)).toContain("approval_unknown");
    await expect(agent.waitForApproval(request, { timeoutMs: 1000 })).rejects.toEqual(
      refused("approval_expired"),
    );
    await agent.fetch(url, { method: "DELETE", approval: request });
    expect(reasonsOf(agent)).toContain("approval_expired");
    await expect(live.answer(request, "approve")).rejects.toThrow("approval_expired");
    await agent.close();
  });

  it("lifts no reason that the owner has not seen", async () => {
    const agent = await create();
    const erase = (id: number, approval?: string) =>
      agent.fetch(`${service.url}/rows/${id}`, {
        method: "DELETE",
        ...(approval === undefined ? {} : { approval }),
      });
    const early = await approved(agent, erase(1));
    await agent.fetch(`${service.url}/web`);
    await agent.fetch(`${service.url}/mail`);
    expect((await erase(1, early)).status).toBe(403);
    expect(reasonsOf(agent)).toEqual(["approval_mismatch", "approval_required", "tainted"]);
    const late = await approved(agent, erase(1));
    expect((await erase(1, late)).status).toBe(200);
    await agent.close();
  });

  it("may be an act in the agent's own process, with its parameters", async () => {
    const agent = await create(["send:mail"]);
    const params = { to: "bob@example.test" };
    const send = (approval?: string, to = params) =>
      agent.act(
        "send:mail",
        "mailto:bob",
        to,
        async () => "sent",
        approval === undefined ? {} : { approval },
      );
    const request = await requestOf(send());
    const waiting = agent.waitForApproval(request);
    await expect
      .poll(
        () =>
          live.answer(request, "approve").then(
            ({ parameters }) => parameters,
            () => "",
          ),
        { timeout: 5000 },
      )
      .toBe('{"kind":"params","params":{"to":"bob@example.test"}}');
    const approval = await waiting;
    await expect(send(approval, { to: "eve@example.test" })).rejects.toEqual(refused("denied"));
    expect(await send(approval)).toBe("sent");
    await agent.close();
  });
});

describe("a job that has read what strangers wrote and what is private", () => {
  it("carries nothing outside, nor do its children and its job, and goes on inside", async () => {
    const agent = await create();
    const child = await agent.spawn({ name: "helper", scope: ["send:mail", "read:web"], ttl: "10m" });
    const mail = (who: AgentIdentity, init: object = {}) =>
      who.fetch(`${service.url}/mail`, { method: "POST", body: "x", ...init });
    await agent.fetch(`${service.url}/web`, { job: "trip" });
    expect((await mail(agent)).status).toBe(200);
    await agent.fetch(`${service.url}/mail`, { job: "trip" });
    await requestOf(mail(agent));
    expect(reasonsOf(agent)).toEqual(["tainted"]);
    await requestOf(mail(child));
    const colleague = await create();
    expect((await mail(colleague)).status).toBe(200);
    await requestOf(mail(colleague, { job: "trip" }));
    await requestOf(mail(agent, { job: "another" }));
    expect((await agent.fetch(`${service.url}/notes`, { method: "POST" })).status).toBe(200);
    for (const each of [child, agent, colleague]) await each.close();
  });
});

describe("a freeze", () => {
  it("stops what changes the world and nothing else, until it is lifted", async () => {
    const agent = await create();
    const write = () => agent.fetch(`${service.url}/notes`, { method: "POST" });
    await live.admin("POST", "/v1/policy/freeze", { freeze: { reason: "release night", until: null } });
    expect((await write()).status).toBe(403);
    expect(reasonsOf(agent)).toEqual(["frozen"]);
    expect((await agent.fetch(`${service.url}/web`)).status).toBe(200);
    expect(await live.admin("GET", "/v1/policy/freeze")).toMatchObject({
      freeze: { reason: "release night" },
    });
    await live.admin("POST", "/v1/policy/freeze", { freeze: null });
    expect((await write()).status).toBe(200);
    await agent.close();
  });
});
