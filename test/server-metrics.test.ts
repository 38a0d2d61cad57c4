/** What a real server tells a collector: figures of what happened, no id of anybody, on a listener of its own. */
import { request } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  askDecision,
  createOwner,
  enrolAgent,
  enrolVerifier,
  type TestInstance,
  visitIntent,
} from "./support/actors.ts";
import { expectRejection } from "./support/expect-code.ts";
import { send, sendAdmin } from "./support/http.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

let server: TestServer;
let agent: TestInstance;
let verifier: TestInstance;
beforeAll(async () => {
  server = await startTestServer({ metrics: { port: 0 } });
  const owner = await createOwner(server);
  agent = await enrolAgent(server, owner, { scope: ["read:transactions"] });
  verifier = await enrolVerifier(server);
  await askDecision(server, { caller: verifier, agent, intent: visitIntent(agent, verifier) });
  const forbidden = visitIntent(agent, verifier, { action: "delete:accounts" });
  await askDecision(server, { caller: verifier, agent, intent: forbidden });
  const body = JSON.stringify({ target: { kind: "instance", id: agent.answer.instance_id }, reason: "test" });
  await sendAdmin(server.adminSocket, { method: "POST", target: "/v1/revocations", body });
  await askDecision(server, { caller: verifier, agent, intent: visitIntent(agent, verifier) });
});
afterAll(async () => {
  await server.close();
  server.home.remove();
});

/** One request to the metrics listener. */
function read(target: string, headers: Record<string, string> = {}) {
  const { hostname, port } = new URL(server.metricsUrl ?? "");
  return new Promise<{ status: number; text: string; type: string | undefined }>((resolve, reject) => {
    const sent = request({ hostname, port, path: target, headers, agent: false }, (answer) => {
      const parts: Buffer[] = [];
      answer.on("data", (part: Buffer) => parts.push(part));
      answer.on("end", () =>
        resolve({
          status: answer.statusCode ?? 0,
          text: Buffer.concat(parts).toString(),
          type: answer.headers["content-type"],
        }),
      );
    });
    sent.on("error", reject);
    sent.end();
  });
}

/** Value of a series, written as the page has it. */
function figureOf(page: string, series: string): number | undefined {
  const line = page.split("\n").find((found) => found.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.slice(series.length + 1));
}

describe("the metrics listener", () => {
  it("tells what was decided, refused, issued and stopped, how long the path took, and how things stand", async () => {
    const { status, text, type } = await read("/metrics");
    expect([status, type]).toEqual([200, "text/plain; version=0.0.4; charset=utf-8"]);
    const decisions = (effect: string, kind: string) =>
      figureOf(text, `trustwarden_decisions_total{plane="decision",class="${kind}",effect="${effect}"}`);
    expect(decisions("allow", "C")).toBe(1);
    expect(decisions("deny", "A")).toBe(1);
    expect(figureOf(text, 'trustwarden_decision_reasons_total{reason="scope_not_covered"}')).toBe(1);
    expect(figureOf(text, 'trustwarden_refusals_total{code="identity_revoked"}')).toBe(1);
    expect(figureOf(text, 'trustwarden_commands_total{command="issue",result="success"}')).toBe(2);
    expect(figureOf(text, 'trustwarden_push_seconds_count{target="instance"}')).toBe(1);
    for (const step of ["authenticate", "decide", "record"])
      expect(
        figureOf(text, `trustwarden_path_step_seconds_count{plane="decision",step="${step}"}`),
      ).toBeGreaterThan(1);
    expect(figureOf(text, "trustwarden_agents_per_owner")).toBe(1);
    expect(figureOf(text, "trustwarden_live_instances")).toBe(1);
    expect(figureOf(text, "trustwarden_ledger_entries")).toBe(
      figureOf(text, "trustwarden_ledger_indexed_entries"),
    );
    expect(figureOf(text, "trustwarden_ledger_append_seconds_count")).toBeGreaterThan(4);
    expect(figureOf(text, "process_resident_memory_bytes")).toBeGreaterThan(1_000_000);
    expect(text).toContain('trustwarden_requests_total{route="POST /v1/decisions",end="answered"} 2');
    expect(text).toContain('trustwarden_requests_total{route="POST /v1/decisions",end="refused"} 1');
  });

  it("names no agent, no instance, no owner, no address and no trust domain", async () => {
    const { text } = await read("/metrics");
    expect(text).not.toMatch(/agt_|inst-|own_|spiffe:|127\.0\.0\.1|acme\.test|alice/);
  });

  it("serves nothing else, nobody who comes by another name, and no other listener serves it", async () => {
    expect((await read("/v1/status")).status).toBe(404);
    expect((await read("/healthz")).status).toBe(404);
    expect((await read("/metrics", { host: "attacker.test" })).status).toBe(400);
    expect((await send(server.url, { target: "/metrics" })).status).toBe(404);
    expect((await send(server.stopUrl, { target: "/metrics" })).status).toBe(404);
    expect((await sendAdmin(server.adminSocket, { target: "/metrics" })).status).toBe(404);
  });

  it("is not opened beyond this machine without TLS and a check of who reads", async () => {
    const settings = { metrics: { host: "0.0.0.0", port: 0 }, allowExternal: true };
    await expectRejection(startTestServer(settings), "bind_refused");
  });
});
