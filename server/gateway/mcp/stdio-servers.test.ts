/** What one agent's processes take from the others: nothing beyond its share, whatever it opens or crashes. */
import { createHash } from "node:crypto";
import { readFileSync, realpathSync } from "node:fs";
import type { LaunchManifest } from "@trustwarden/core/gateway/mcp/launch-manifest.ts";
import { afterEach, describe, expect, it } from "vitest";
import { expectRejection } from "../../../test/support/expect-code.ts";
import type { Exchange } from "./link.ts";
import { type StdioCaller, StdioServers } from "./stdio-servers.ts";

const LIMIT = 16;

/** After this, a process that ended may be started again. */
const BACKOFF_MS = 60_000;

let count = 0;
let nowMs = 0;
const servers = new StdioServers({
  never: [],
  monoMs: () => nowMs,
  nextId: () => {
    count += 1;
    return String(count);
  },
});
afterEach(() => servers.end(() => false));

function manifestOf(path: string): LaunchManifest {
  const command = realpathSync(path);
  const sha256 = createHash("sha256").update(readFileSync(command)).digest("hex");
  return {
    command,
    sha256,
    args: [],
    files: new Map(),
    env: {},
    cwd: "/",
    sandbox: "none",
    network: false,
    readOnly: [],
  };
}

/** A program that says back what it hears stands for a server well enough to be a process. */
function callerOf(instanceId: string, path = "/bin/cat"): StdioCaller {
  return { upstream: "local", instanceId, ownerId: "own_1", manifest: manifestOf(path) };
}

function open(caller: StdioCaller): Promise<Exchange> {
  const message = { kind: "request", id: "1", method: "initialize", params: {} } as const;
  const outgoing = {
    message,
    era: "legacy",
    version: "2025-11-25",
    sessionId: null,
    paramHeaders: {},
  } as const;
  return servers.linkFor(caller, AbortSignal.timeout(60_000)).post(outgoing);
}

describe("processes of stdio servers", () => {
  it("are sixteen for one agent; one more is refused, and another agent's is not", async () => {
    const greedy = callerOf("inst-greedy");
    for (let index = 0; index < LIMIT; index += 1) await open(greedy);
    await expectRejection(open(greedy), "mcp_slots_exhausted");
    await open(callerOf("inst-other"));
    expect(servers.size).toBe(LIMIT + 1);
    servers.end(({ instanceId }) => instanceId !== "inst-greedy");
    await expect.poll(() => servers.size).toBe(1);
    nowMs += BACKOFF_MS;
    await open(greedy);
  });

  it("that one agent lets crash are not started again at once, and hold up nobody else's", async () => {
    const crasher = callerOf("inst-crasher", "/bin/false");
    await expectRejection(open(crasher), "upstream_unreachable");
    await expectRejection(open(crasher), "mcp_launch_refused");
    await open(callerOf("inst-bystander"));
  });
});
