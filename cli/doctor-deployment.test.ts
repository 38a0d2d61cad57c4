/** The mark outside the data directory, as `warden doctor` holds it against a server. */

import { createServer } from "node:net";
import { encodeHighWaterMark } from "@trustwarden/core/agentledger/log-state.ts";
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { describe, expect, it } from "vitest";
import { checkMark, checkStatePlace } from "./doctor-deployment.ts";
import { checkServers } from "./doctor-servers.ts";

const server = { epoch: 7, ledger: { size: 100 } };

function stateOf(seen: { readonly size: number; readonly epoch: number }): string {
  const mark = { origin: "ledger.acme.test", root: new Uint8Array(32), ...seen };
  return checkMark({ path: "mark", text: parseUtf8(encodeHighWaterMark(mark)) }, server).state;
}

describe("the high-water mark", () => {
  it("is sound up to what the server has, and not one entry or epoch beyond it", () => {
    expect(stateOf({ size: 100, epoch: 7 })).toBe("good");
    expect(stateOf({ size: 101, epoch: 7 })).toBe("bad");
    expect(stateOf({ size: 100, epoch: 8 })).toBe("bad");
  });

  it("is missed when it is not there", () => {
    expect(checkMark({ path: "mark", text: undefined }, server).state).toBe("bad");
  });
});

describe("the database of the state", () => {
  const times = { sessionTimeoutMs: 30_000, statementTimeoutMs: 3000 };
  const login = { host: "127.0.0.1", database: "warden", user: "warden_state" };
  const stateAt = (port: number) => {
    const postgres = { ...login, ...times, port };
    return { storage: "postgres", standby: false, servers: "one", postgres } as const;
  };

  it("is good where it answers, and bad with what to do where it does not", async () => {
    const listener = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
    const address = listener.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    expect(await checkStatePlace({ state: stateAt(port) })).toMatchObject([{ state: "good" }]);
    await new Promise<void>((resolve) => listener.close(() => resolve()));
    expect(await checkStatePlace({ state: stateAt(port) })).toMatchObject([
      { name: "state database", state: "bad", next: expect.stringContaining("Start the database") },
    ]);
  });

  it("is where several servers meet: it and NATS are bad where nobody answers, and one server needs neither", async () => {
    const notices = { kind: "nats" as const, servers: ["localhost:1"], subject: "trustwarden" };
    const state = { ...stateAt(1), servers: "many" as const, notices };
    expect(await checkServers({ state }, () => 0)).toMatchObject([
      { name: "servers", state: "bad", found: expect.stringContaining("ECONNREFUSED") },
      { name: "notices", state: "bad", found: expect.stringContaining("localhost:1 carries nothing") },
    ]);
    expect(await checkServers({ state: stateAt(1) }, () => 0)).toEqual([]);
  });

  it("is nothing to look at where the state is on the disk", async () => {
    expect(await checkStatePlace({ state: { storage: "sqlite" } })).toEqual([]);
  });
});
