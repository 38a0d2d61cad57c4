/** The route table is the whole surface: what Fastify serves is on it, and what is public is on the closed list. */
import { readFileSync } from "node:fs";
import { parseActionName } from "@trustwarden/core/action.ts";
import Fastify from "fastify";
import { describe, expect, it } from "vitest";
import { SERVER_VERSION } from "../version.ts";
import { formatOpenApi } from "./openapi.ts";
import { registerRoutes } from "./register.ts";
import { formatRoute, type ListenerName, type Route } from "./route.ts";
import { PUBLIC_PATHS, ROUTES } from "./routes.ts";

const LISTENERS: readonly ListenerName[] = ["main", "stop", "admin", "web", "policy"];
const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };

async function servedBy(listener: ListenerName): Promise<readonly string[]> {
  const app = Fastify({ exposeHeadRoutes: false });
  const served: string[] = [];
  app.addHook("onRoute", ({ method, url }) => {
    for (const name of [method].flat()) served.push(`${name} ${url}`);
  });
  registerRoutes(app, {
    routes: ROUTES,
    listener,
    rules: { hosts: new Set(["localhost"]), allowsUpgrade: false },
    serve: async () => ({}),
    log: silent,
  });
  await app.ready();
  await app.close();
  return served.sort();
}

const namesOn = (listener: ListenerName) =>
  ROUTES.filter((route) => route.listeners.includes(listener) && route.answer !== "upgrade")
    .map(formatRoute)
    .sort();

describe("the route table", () => {
  it("is all that Fastify serves, on each listener, with no method added", async () => {
    for (const listener of LISTENERS) {
      const served = await servedBy(listener);
      expect(served.length).toBeGreaterThan(2);
      expect(served).toEqual(namesOn(listener));
    }
  });

  it("names each route once", () => {
    const names = ROUTES.map(formatRoute);
    expect(new Set(names).size).toBe(names.length);
  });

  it("has as public rows exactly the closed list, and they only read", () => {
    const rows = ROUTES.filter(({ access }) => access === "public");
    expect(rows.map(({ path }) => path).sort()).toEqual([...PUBLIC_PATHS].sort());
    expect(rows.every(({ method }) => method === "GET")).toBe(true);
  });

  it("has one upgrade: the lease, for instances, on the stop listener", () => {
    const upgrades = ROUTES.filter(({ answer }) => answer === "upgrade");
    expect(upgrades.map(({ path, access, listeners }) => ({ path, access, listeners }))).toEqual([
      { path: "/v1/lease", access: ["verifier", "node", "agent"], listeners: ["stop"] },
    ]);
  });

  it("serves operators on the admin socket only", () => {
    const onlyOperators = ROUTES.filter(({ access }) => access !== "public" && access.join() === "operator");
    expect(onlyOperators.length).toBeGreaterThan(4);
    expect(onlyOperators.every(({ listeners }) => listeners.join() === "admin")).toBe(true);
  });

  it("serves on the stop listener only what stops, and what that needs", () => {
    expect(namesOn("stop")).toEqual([
      "GET /healthz",
      "GET /v1/nonce",
      "POST /v1/narrowings",
      "POST /v1/revocations",
    ]);
  });

  it("serves on the web listener only public rows, and OAuth clients, who bring their own proof", () => {
    expect(namesOn("web")).toEqual([
      "GET /.well-known/oauth-authorization-server/oauth",
      "GET /.well-known/openid-configuration",
      "GET /.well-known/ssf-configuration",
      "GET /healthz",
      "GET /oauth/client",
      "GET /oauth/jwks",
      "GET /ssf/jwks",
      "GET /v1/bundle",
      "GET /v1/bundle.pem",
      "GET /v1/bundles",
      "GET /v1/crl",
      "GET /v1/crl.pem",
      "GET /v1/crl/root",
      "GET /v1/jwks",
      "GET /v1/status-list/:page",
      "POST /oauth/introspect",
      "POST /oauth/revoke",
      "POST /oauth/token",
    ]);
    const rows = ROUTES.filter(({ listeners }) => listeners.includes("web"));
    expect(rows.every(({ access, path }) => access === "public" || path.startsWith("/oauth/"))).toBe(true);
  });

  it("serves on the policy listener what enforcement points and engines of others need", () => {
    expect(namesOn("policy")).toEqual([
      "DELETE /ssf/stream",
      "GET /.well-known/authzen-configuration",
      "GET /ssf/status",
      "GET /ssf/stream",
      "GET /v1/opa/bundles/:name",
      "PATCH /ssf/stream",
      "POST /access/v1/evaluation",
      "POST /access/v1/evaluations",
      "POST /access/v1/search/action",
      "POST /access/v1/search/resource",
      "POST /access/v1/search/subject",
      "POST /ssf/status",
      "POST /ssf/stream",
      "POST /ssf/streams/:stream_id/poll",
      "POST /ssf/subjects/added",
      "POST /ssf/subjects/removed",
      "POST /ssf/verification",
      "POST /v1/opa/logs",
      "POST /v1/opa/status",
      "PUT /ssf/stream",
    ]);
  });

  it("serves on the metrics listener the figures and nothing else, and them nowhere else", () => {
    expect(namesOn("metrics")).toEqual(["GET /metrics"]);
    expect(ROUTES.find(({ path }) => path === "/metrics")?.listeners).toEqual(["metrics"]);
  });

  it("lets only stopping go on without a ledger", () => {
    const stopLane = ROUTES.filter((route) => route.access !== "public" && route.isStopLane);
    expect(stopLane.map(formatRoute).sort()).toEqual([
      "POST /v1/narrowings",
      "POST /v1/policy/freeze",
      "POST /v1/revocations",
      "POST /v1/session/end",
    ]);
  });

  it("asks a well-formed action of every guarded row", () => {
    const guarded = ROUTES.filter(
      (route): route is Exclude<Route, { access: "public" }> => route.access !== "public",
    );
    expect(guarded.length).toBeGreaterThan(10);
    for (const route of guarded) {
      expect(route.access.length).toBeGreaterThan(0);
      const body = { target: { kind: "instance", id: "inst-1" } };
      const caller = { principal: { kind: "operator" }, intent: null } as const;
      const question = { caller, body, query: {}, params: {} };
      // The cast: actions are made of the caller's kind and the body only, so no arrival is needed here.
      const action = route.action(question as unknown as Parameters<typeof route.action>[0]);
      expect(parseActionName(action)).toBe(action);
    }
  });

  it("is described by docs/openapi.json exactly (node server/http/write-openapi.ts)", async () => {
    const written = readFileSync(new URL("../../docs/openapi.json", import.meta.url), "utf8");
    expect(written).toBe(await formatOpenApi(ROUTES, SERVER_VERSION));
  });
});
