/** `warden protect` as its own process, before a service that asks nobody: what it lets through, as whom, and what not. */
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseJsonObject } from "@trustwarden/core/json.ts";
import { AgentIdentity, parseReceiptHeader } from "trustwarden";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runWarden } from "../cli/testing.ts";
import { type LiveServer, startLiveServer } from "../sdk/live.test.support.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const MAIN = join(ROOT, "cli/main.ts");
const OPENAPI = `
openapi: 3.1.0
info: { title: Orders, version: "1" }
paths:
  /orders/{orderId}:
    parameters: [{ name: orderId, in: path, required: true, schema: { type: string } }]
    get: { responses: { "200": { description: one } } }
    delete: { responses: { "204": { description: gone } } }
  /orders:
    post: { responses: { "201": { description: made } } }
  /ticks:
    get: { responses: { "200": { description: a stream } } }
`;

const home = mkdtempSync(join(tmpdir(), "warden-protect-"));
let live: LiveServer;
let backend: Server;
let proxy: ChildProcess;
let url: string;
let agent: AgentIdentity;
let seen: { method: string; url: string; headers: IncomingMessage["headers"]; body: string }[] = [];

beforeAll(async () => {
  live = await startLiveServer();
  backend = createServer(async (request, response) => {
    let body = "";
    for await (const part of request) body += String(part);
    seen.push({ method: request.method ?? "", url: request.url ?? "", headers: request.headers, body });
    if (request.url !== "/ticks") {
      response.setHeader("set-cookie", "session=1");
      return void response.end(`${request.method} ${request.url}`);
    }
    response.writeHead(200, { "content-type": "text/event-stream" });
    const timer = setInterval(() => response.write("data: tick\n\n"), 20);
    response.once("close", () => clearInterval(timer));
  });
  backend.listen(0, "127.0.0.1");
  await once(backend, "listening");
  const file = join(home, "orders.yaml");
  writeFileSync(file, OPENAPI);
  const { port } = Object(backend.address()) as AddressInfo; // the one cast: a TCP server's address
  proxy = spawn(
    process.execPath,
    [MAIN, "protect", "--to", `http://127.0.0.1:${port}`, "--openapi", file, "--listen", "127.0.0.1:0"],
    {
      env: { HOME: home, TRUSTWARDEN_TICKET: await live.verifierTicket("orders") },
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  if (proxy.stdout === null) throw new Error("its output is piped");
  for await (const line of createInterface(proxy.stdout)) {
    url = String(parseJsonObject(line).url);
    break;
  }
  agent = await AgentIdentity.create({
    name: "clerk",
    ticket: live.ticket({ name: "clerk", scope: ["read:orders", "create:orders", "read:ticks"] }),
  });
});
afterAll(async () => {
  await agent.close();
  proxy.kill("SIGTERM");
  await once(proxy, "exit");
  await live.close();
  backend.closeAllConnections();
  backend.close();
  rmSync(home, { recursive: true, force: true });
});

describe("a service behind warden protect", () => {
  test("sees the path that was decided, who came, and nothing that the visitor says about itself", async () => {
    seen = [];
    const headers = {
      "trustwarden-agent": "spiffe://evil.test/x",
      "x-forwarded-for": "127.0.0.1",
      "x-own": "1",
    };
    const answer = await agent.fetch(`${url}/orders/42?full=1`, { headers });
    expect([answer.status, await answer.text()]).toEqual([200, "GET /orders/42?full=1"]);
    expect(answer.headers.get("set-cookie")).toBeNull();
    const [visit] = seen;
    expect(visit?.headers).toMatchObject({
      "trustwarden-agent": agent.id,
      "trustwarden-action": "read:orders:42",
      "x-own": "1",
    });
    expect(visit?.headers["x-forwarded-for"]).toBeUndefined();
    expect(visit?.headers["trustwarden-receipt"]).toBe(answer.headers.get("trustwarden-receipt"));
    const intent = Buffer.from(String(visit?.headers["trustwarden-intent"]), "base64url");
    const receipt = parseReceiptHeader(String(visit?.headers["trustwarden-receipt"]));
    expect(createHash("sha256").update(intent).digest("base64url")).toBe(receipt.intent_sha256);
    expect(visit?.headers["trustwarden-salt"]).toHaveLength(43);
  });

  test("gets bodies whole, and requests that are denied never", async () => {
    seen = [];
    expect((await agent.fetch(`${url}/orders`, { method: "POST", body: "one order" })).status).toBe(200);
    expect((await agent.fetch(`${url}/orders/42`, { method: "DELETE" })).status).toBe(403);
    expect(seen.map(({ method, body }) => [method, body])).toEqual([["POST", "one order"]]);
  });

  test("streams, and the stream is cut when the agent is revoked", async () => {
    const doomed = await AgentIdentity.create({
      name: "doomed",
      ticket: live.ticket({ name: "doomed", scope: ["read:ticks", "read:x"] }),
    });
    const answer = await doomed.fetch(`${url}/ticks`);
    const reader = answer.body?.getReader();
    expect((await reader?.read())?.done).toBe(false);
    await live.admin("POST", "/v1/revocations", {
      target: { kind: "instance", id: doomed.id },
      reason: "test",
    });
    const readAll = async () => {
      while ((await reader?.read())?.done === false);
    };
    await expect(readAll()).rejects.toThrow();
    await doomed.close();
  });
});

describe("warden protect", () => {
  const file = join(home, "orders.yaml");
  const protect = (...args: readonly string[]) => runWarden(home, ["protect", ...args]);

  test("shows what each operation will mean before anything is served, as its guide says", async () => {
    const guide = readFileSync(join(ROOT, "docs/guides/protect.md"), "utf8");
    const line = /^ {4}warden (protect .*--print-routes)$/m.exec(guide)?.[1] ?? "";
    const row = /^ {4}(GET .*)$/m.exec(guide)?.[1] ?? "none";
    const shown = await runWarden(home, line.replace("orders.yaml", file).split(" "));
    expect(shown.stdout.replace(/ +/g, " ")).toContain(row.replace(/ +/g, " "));
    const start =
      /^ {4}env \$\(warden verifier ticket --name orders\) warden (protect .*)$/m.exec(guide)?.[1] ?? "";
    const refused = await runWarden(home, start.replace("orders.yaml", file).split(" "));
    expect(refused.stderr).toContain("(ticket_missing)");
  });

  test("asks for a ticket, a table and an address that it may use", async () => {
    const to = ["--to", "http://127.0.0.1:9000"];
    expect((await protect(...to, "--openapi", file)).stderr).toContain("(ticket_missing)");
    expect((await protect(...to)).stderr).toContain("--routes or --openapi");
    expect((await protect("--to", "http://shop.test", "--openapi", file)).stderr).toContain(
      "no https origin",
    );
    expect((await protect(...to, "--openapi", file, "--listen", "0.0.0.0:8443")).stderr).toContain(
      "(bind_refused)",
    );
    expect((await protect(...to, "--routes", join(home, "none.json"))).stderr).toContain("(not_found)");
  });

  test("spends no ticket on a wrong file, and says when its address is taken", async () => {
    const TRUSTWARDEN_TICKET = await live.verifierTicket("twice");
    const { port } = Object(backend.address()) as AddressInfo; // the one cast: a TCP server's address
    const listen = ["--listen", `127.0.0.1:${port}`];
    const start = async (...args: readonly string[]) => {
      const own = ["protect", "--to", "https://127.0.0.1:9000", "--openapi", file, ...listen, ...args];
      const { exitCode, stderr } = await runWarden(home, own, { TRUSTWARDEN_TICKET });
      return [exitCode, /\(([a-z_]+)\)/.exec(stderr)?.[1]];
    };
    expect(await start("--ca-file", join(home, "none.pem"))).toEqual([1, "not_found"]);
    expect(await start("--ca-file", file)).toEqual([2, "usage"]);
    expect(await start()).toEqual([1, "bind_refused"]);
    expect(await start()).toEqual([1, "principal_refused"]);
  });
});
