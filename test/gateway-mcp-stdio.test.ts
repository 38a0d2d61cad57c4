/** Stdio MCP servers behind the gateway: started from their manifest or not at all, one for each agent. */
import { createHash } from "node:crypto";
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { Client as LegacyClient } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport as LegacyTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { requireWalls } from "../server/gateway/mcp/stdio-walls.ts";
import { createOwner, enrolAgent, serverIdOf, type TestInstance, type TestOwner } from "./support/actors.ts";
import { expectCode } from "./support/expect-code.ts";
import { codeOf, sendAdmin } from "./support/http.ts";
import { createGatewayFetch, type McpUpstream, pinAll, registerMcp } from "./support/mcp.ts";
import { eventsOf } from "./support/refusals.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const SCRIPT = join(ROOT, "test/support/mcp-stdio-server.ts");
const NODE = realpathSync(process.execPath);
const digestOf = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");

let server: TestServer;
let aud: string;
let owner: TestOwner;
let settings: JsonObject;
let scratch: string;

beforeAll(async () => {
  server = await startTestServer({ gateway: { port: 0 } });
  aud = await serverIdOf(server);
  owner = await createOwner(server);
  scratch = mkdtempSync(join(tmpdir(), "tw-stdio-"));
  settings = manifestOf({});
  expect((await registerMcp(server, { name: "local", url: "stdio://local", settings })).status).toBe(200);
  await pinAll(server, "local");
});
afterAll(async () => {
  await server.close();
  server.home.remove();
  rmSync(scratch, { recursive: true, force: true });
});

function manifestOf(changes: JsonObject): JsonObject {
  const stdio = {
    command: NODE,
    sha256: digestOf(NODE),
    args: [SCRIPT],
    files: { [SCRIPT]: digestOf(SCRIPT) },
    env: { GREETING: "hello" },
    cwd: ROOT,
    // Its process ids are this machine's.
    sandbox: "none",
    ...changes,
  };
  return { recheck_seconds: 60, stdio };
}

let names = 0;
function enrol(): Promise<TestInstance> {
  names += 1;
  return enrolAgent(server, owner, {
    name: `agent-${names}`,
    scope: ["list:mcp", "call:mcp"],
  });
}

async function connect(
  agent: TestInstance,
  upstream: McpUpstream = { name: "local", settings },
): Promise<Client> {
  const client = new Client({ name: "test", version: "1" }, {
    versionNegotiation: { mode: "auto" },
  } as never);
  const fetch = createGatewayFetch({ gatewayUrl: server.gatewayUrl ?? "", aud, agent, upstream });
  await client.connect(
    new StreamableHTTPClientTransport(new URL("http://gateway.test/mcp"), { fetch: fetch as never }),
  );
  return client;
}

async function aboutOf(
  client: Client,
): Promise<{ readonly env: Record<string, string>; readonly pid: number }> {
  const { content } = await client.callTool({ name: "about", arguments: {} });
  const [first] = content;
  return JSON.parse(first?.type === "text" ? first.text : "");
}

const hasWalls = ((): boolean => {
  try {
    requireWalls();
    return true;
  } catch {
    return false;
  }
})();

/** Whether this machine runs a process with such an argument. */
function isSeen(argument: string): boolean {
  return readdirSync("/proc")
    .filter((name) => /^[0-9]+$/.test(name))
    .some((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").includes(argument);
      } catch {
        // It has just ended.
        return false;
      }
    });
}

async function attempt(client: Client, act: string, at: string): Promise<string> {
  const { content } = await client.callTool({ name: "try", arguments: { act, at } });
  const [first] = content;
  return first?.type === "text" ? first.text : "";
}

const isRunning = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

describe("a stdio server", () => {
  it("answers clients of both eras, in an environment that holds the manifest's variables and no other", async () => {
    const agent = await enrol();
    const client = await connect(agent);
    expect((await client.callTool({ name: "find", arguments: { text: "x" } })).content).toEqual([
      { type: "text", text: "found x" },
    ]);
    expect((await aboutOf(client)).env).toEqual({ GREETING: "hello" });
    const legacy = new LegacyClient({ name: "test", version: "1" });
    const upstream = { name: "local", settings };
    const fetch = createGatewayFetch({ gatewayUrl: server.gatewayUrl ?? "", aud, agent, upstream });
    await legacy.connect(new LegacyTransport(new URL("http://gateway.test/mcp"), { fetch }) as never);
    expect((await legacy.callTool({ name: "find", arguments: { text: "y" } })).content).toEqual([
      { type: "text", text: "found y" },
    ]);
    await legacy.close();
    await client.close();
  });

  it("gets no canary, and none of its answers brings one", async () => {
    const plant = (name: string, value: string) =>
      sendAdmin(server.adminSocket, {
        method: "POST",
        target: "/v1/secrets",
        body: JSON.stringify({ name, kind: "canary", value }),
      });
    expect((await plant("asked", "planted-in-a-row")).status).toBe(200);
    expect((await plant("answered", "found planted")).status).toBe(200);
    const client = await connect(await enrol());
    const find = (text: string) => client.callTool({ name: "find", arguments: { text } });
    expect((await find("plain")).content).toEqual([{ type: "text", text: "found plain" }]);
    const alarms = (await eventsOf(server, "alarm")).length;
    for (const text of ["planted-in-a-row", "planted"]) await expect(find(text)).rejects.toThrow();
    const raised = (await eventsOf(server, "alarm")).slice(0, -alarms || undefined);
    expect(raised.map(({ reasons }) => reasons)).toEqual([["canary_found"], ["canary_found"]]);
    await client.close();
  });

  it("is another process for another agent, and dies with its agent", async () => {
    const [one, two] = [await enrol(), await enrol()];
    const [first, second] = [await connect(one), await connect(two)];
    const [mine, other] = [await aboutOf(first), await aboutOf(second)];
    expect(mine.pid).not.toBe(other.pid);
    expect((await aboutOf(first)).pid).toBe(mine.pid);
    const revoked = await sendAdmin(server.adminSocket, {
      method: "POST",
      target: "/v1/revocations",
      body: JSON.stringify({ target: { kind: "instance", id: one.answer.instance_id } }),
    });
    expect(revoked.status).toBe(200);
    await expect.poll(() => isRunning(mine.pid)).toBe(false);
    expect(isRunning(other.pid)).toBe(true);
    await expect(first.callTool({ name: "find", arguments: { text: "x" } })).rejects.toThrow();
    expect((await second.callTool({ name: "find", arguments: { text: "x" } })).content).toBeDefined();
  });

  it("that ends is an error of its call, and is started again for a later one", async () => {
    const client = await connect(await enrol());
    const { pid } = await aboutOf(client);
    await expect(client.callTool({ name: "die", arguments: {} })).rejects.toThrow();
    const again = () => aboutOf(client).catch(() => ({ pid }));
    await expect.poll(async () => (await again()).pid, { timeout: 20_000 }).not.toBe(pid);
  });

  it("is not started when a byte of it is another than in the manifest (F5)", async () => {
    const script = join(scratch, "server.ts");
    copyFileSync(SCRIPT, script);
    const changed = manifestOf({ args: [script], files: { [script]: digestOf(SCRIPT) } });
    appendFileSync(script, "\n// one line more\n");
    expect(
      (await registerMcp(server, { name: "other", url: "stdio://other", settings: changed })).status,
    ).toBe(200);
    const look = { method: "POST", target: "/v1/upstreams/other/mcp/look" };
    expect(codeOf(await sendAdmin(server.adminSocket, look))).toBe("mcp_launch_refused");
    const wrong = manifestOf({ sha256: "0".repeat(64) });
    expect((await registerMcp(server, { name: "other", url: "stdio://other", settings: wrong })).status).toBe(
      200,
    );
    expect(codeOf(await sendAdmin(server.adminSocket, look))).toBe("mcp_launch_refused");
  });

  it("cannot be registered with a relative program, an address, or variables that the loader obeys", async () => {
    for (const [url, changes] of [
      ["https://example.test", {}],
      ["stdio://other-name", {}],
      ["stdio://other", { command: "node" }],
      ["stdio://other", { sha256: "short" }],
      ["stdio://other", { env: { LD_PRELOAD: "/tmp/x.so" } }],
      ["stdio://other", { env: { NODE_OPTIONS: "--require /tmp/x" } }],
      ["stdio://other", { shell: true }],
      ["stdio://other", { sandbox: "chroot" }],
      ["stdio://other", { network: "yes" }],
      ["stdio://other", { read_only: ["relative"] }],
    ] as const)
      expect(codeOf(await registerMcp(server, { name: "other", url, settings: manifestOf(changes) }))).toBe(
        "upstream_malformed",
      );
  });
});

describe.skipIf(!hasWalls)("a stdio server behind its walls", () => {
  const walled = (name: string, changes: JsonObject): McpUpstream => ({
    name,
    settings: manifestOf({ sandbox: "bubblewrap", args: [SCRIPT, `--${name}`], ...changes }),
  });

  async function open(upstream: McpUpstream, agent?: TestInstance): Promise<Client> {
    const registered = await registerMcp(server, { ...upstream, url: `stdio://${upstream.name}` });
    expect(registered.status).toBe(200);
    await pinAll(server, upstream.name);
    return connect(agent ?? (await enrol()), upstream);
  }

  it("sees neither the server's data nor the network, writes to a /tmp of its own, and to nothing else", async () => {
    const data = dirname(server.adminSocket);
    const port = new URL(server.url).port;
    const bare = await connect(await enrol());
    expect(await attempt(bare, "read", data)).toBe("done");
    expect(await attempt(bare, "connect", port)).toBe("done");
    const client = await open(walled("walled", {}));
    expect(await attempt(client, "read", SCRIPT)).toBe("done");
    expect(await attempt(client, "read", data)).toBe("ENOENT");
    expect(await attempt(client, "read", "/etc/shadow")).toBe("ENOENT");
    expect(await attempt(client, "connect", port)).toBe("ECONNREFUSED");
    const [own, other] = [`/tmp/tw-${process.pid}`, join(ROOT, `tw-${process.pid}`)];
    expect(await attempt(client, "write", own)).toBe("done");
    expect([existsSync(own), await attempt(client, "write", other)]).toEqual([false, "EROFS"]);
    expect(await attempt(client, "write", "/elsewhere")).toBe("EROFS");
    expect((await aboutOf(client)).env).toEqual({ GREETING: "hello" });
  });

  it("has the network, and more to read, when its manifest says so", async () => {
    const client = await open(walled("networked", { network: true, read_only: [scratch] }));
    expect(await attempt(client, "connect", new URL(server.url).port)).toBe("done");
    expect(await attempt(client, "read", scratch)).toBe("done");
  });

  it("dies with its agent, and everything inside with it", async () => {
    const agent = await enrol();
    const client = await open(walled("mortal", {}), agent);
    await aboutOf(client);
    expect(isSeen("--mortal")).toBe(true);
    const body = JSON.stringify({ target: { kind: "instance", id: agent.answer.instance_id } });
    await sendAdmin(server.adminSocket, { method: "POST", target: "/v1/revocations", body });
    await expect.poll(() => isSeen("--mortal")).toBe(false);
  });

  it("is not started when its manifest would show the server's data, keys or other processes, or what is not there", async () => {
    const data = dirname(server.adminSocket);
    for (const path of [data, dirname(data), join(data, "admin.sock"), "/proc", "/", join(scratch, "none")]) {
      const upstream = walled("wide", { read_only: [path] });
      expect((await registerMcp(server, { ...upstream, url: "stdio://wide" })).status).toBe(200);
      const look = { method: "POST", target: "/v1/upstreams/wide/mcp/look" };
      expect(codeOf(await sendAdmin(server.adminSocket, look))).toBe("mcp_launch_refused");
    }
  });
});

it("a machine without bubblewrap, or whose bubblewrap does not work, starts nothing", () => {
  expectCode(() => requireWalls(["/no/such/bwrap"]), "sandbox_unavailable");
  expectCode(() => requireWalls(["/bin/false"]), "sandbox_unavailable");
});
