/** E2: one path, two readings. */
import { jsonOf } from "../../test/support/http.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { call, expectRefusal, MALFORMED } from "../support/client.ts";
import { ROW, visit } from "../support/visits.ts";

/** Targets that two readers may take for two paths. */
const TARGETS: readonly string[] = [
  "/a/../transactions",
  "//transactions",
  "/transactions//1",
  "/transactions/",
  "/./transactions",
  "/transactions/..",
  "/transactions/.",
  "/transactions/1;x=1",
  "/transactions;x",
  "/transactions/%31",
  "/transactions%2f1",
  "/transactions/%2e%2e/journal",
  "/transactions\\1",
  "/transactions/1.",
  "/transactions.",
  "/transactions/1%00",
  "/transactions/%252e",
  "/transactions/１",
  "/transactions/1#x",
  "transactions",
  "*",
  "https://evil.test/transactions/1",
  "http://127.0.0.1/transactions/1",
];

/** What a reader who resolves the target takes it for: the attacker signs exactly that. */
function meaningOf(method: string, target: string): object {
  const action = method === "GET" ? "read:transactions" : "delete:transactions";
  const resolved = URL.parse(target, "https://here")?.pathname.replaceAll(/\/{2,}/g, "/") ?? target;
  return { action, resource: `sqlite://finance-db${resolved.replace(/\/$/, "")}` };
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "E2",
  title:
    "//, /../, %2f, ;x, \\, trailing dots and whole URLs as targets, each with a rightly signed intent for it",
  expected:
    "refused as ambiguous, at the service and at the server; engine and handler only ever see one path",
  weakening: "targets-resolved",
  mayChange: [],
  prepare: async (world) => {
    await world.finance();
    const agent = await world.enrol(["read:transactions", "write:transactions", "delete:transactions"]);
    const { id } = jsonOf(await visit(world, { agent, method: "POST", body: ROW }));
    return { agent, id: Number(id), from: world.source() };
  },
  control: async (world, { agent, id }) => {
    expectSame(
      (await visit(world, { agent, target: `/transactions/${id}` })).status,
      200,
      "the canonical path",
    );
    expectSame(
      (await visit(world, { agent, target: `/transactions/${id}?a=//b/../%2f;x` })).status,
      200,
      "anything in the query",
    );
  },
  attack: async (world, { agent, from }) => {
    for (const target of TARGETS) {
      for (const method of ["GET", "DELETE"]) {
        const answer = await visit(world, { agent, method, target, intent: meaningOf(method, target) }).catch(
          () => undefined,
        );
        // What Node's client itself cannot send never arrives, and is no attack.
        if (answer === undefined) continue;
        const isPlain = answer.text.startsWith("{");
        expectSame(answer.status, MALFORMED.status, `${method} ${target} at the service`);
        if (isPlain) expectRefusal(answer, MALFORMED, `${method} ${target} at the service`);
      }
    }
    for (const target of [
      "//v1/events",
      "/v1/../v1/events",
      "/v1/%65vents",
      "/v1/events;x",
      "/v1/events/",
      "/v1\\events",
      "https://127.0.0.1/v1/events",
      "/v1/events%2f..",
    ]) {
      const answer = await call(world.server.url, { target }, { from, tls: agent.tls });
      expect(
        answer.status === 400 || answer.status === 404,
        `${target} at the server is refused, and not ${answer.status}`,
      );
    }
  },
  evidence: async (ledger, { agent }) => {
    await ledger.expect({ kind: "action", principal: agent.answer.spiffe_id }, 0);
    await ledger.expect({ kind: "read", principal: agent.answer.spiffe_id }, 0);
  },
});
