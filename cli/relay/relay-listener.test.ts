/** Who is let in by a relay, over real TLS sockets: each refusal by its code, which the comer does not learn. */
import { once } from "node:events";
import { request } from "node:https";
import type { AddressInfo } from "node:net";
import { LEASE_PROTOCOL } from "@trustwarden/core/revocation/frames.ts";
import { FreshServers, LEASE_PATH } from "trustwarden/peer.ts";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createTestDomain, type TestSvid } from "../../sdk/tls.test.support.ts";
import { createRelayListener } from "./relay-listener.ts";

const domain = createTestDomain();
const own = domain.issue(["trustwarden", "relay", "rack-7", "inst-R"]);
const verifier = domain.issue(["trustwarden", "verifier", "db", "inst-V"]);
const agent = domain.issue(["team", "worker", "inst-A"]);

let state: { stopped: string; isServing: boolean };
let refused: string[];
let accepted: { readonly instanceId: string; readonly isRelay: boolean | undefined }[];
let listener: ReturnType<typeof createRelayListener>;

beforeEach(async () => {
  state = { stopped: "", isServing: true };
  refused = [];
  accepted = [];
  listener = createRelayListener({
    trustDomain: domain.bundle.trustDomain,
    bundles: { get: (name) => (name === domain.bundle.trustDomain ? domain.bundle : undefined) },
    fresh: new FreshServers({ key: own.key, cert: own.cert }),
    now: () => Math.floor(Date.now() / 1000),
    monotonicMs: () => performance.now(),
    isStopped: ({ instanceId }) => instanceId === state.stopped,
    isServing: () => state.isServing,
    accept: (socket, { instanceId, isRelay }) => {
      accepted.push({ instanceId, isRelay });
      socket.destroy();
    },
    onRefused: (code) => refused.push(code),
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
});
afterEach(async () => {
  listener.closeAllConnections();
  await new Promise((resolve) => listener.close(resolve));
});

/** The status of the answer to an upgrade. */
async function come(svid: TestSvid | undefined, path = LEASE_PATH): Promise<number | undefined> {
  const { port } = listener.address() as AddressInfo;
  const headers = { connection: "Upgrade", upgrade: LEASE_PROTOCOL };
  const keys = svid === undefined ? {} : { key: svid.key, cert: svid.cert };
  // Whom the comer trusts is not what is asked here.
  const asked = request({
    ...keys,
    host: "127.0.0.1",
    port,
    path,
    headers,
    agent: false,
    rejectUnauthorized: false,
  });
  asked.end();
  const status = await new Promise<number | undefined>((resolve, reject) => {
    asked.once("response", (answer) => resolve(answer.statusCode));
    asked.once("upgrade", (answer, socket) => {
      socket.destroy();
      resolve(answer.statusCode);
    });
    asked.once("error", reject);
  });
  asked.destroy();
  return status;
}

test("verifiers and other relays are let in, each for what it is", async () => {
  expect(await come(verifier)).toBe(101);
  expect(await come(domain.issue(["trustwarden", "relay", "rack-8", "inst-Q"]))).toBe(101);
  expect(accepted).toEqual([
    { instanceId: "inst-V", isRelay: false },
    { instanceId: "inst-Q", isRelay: true },
  ]);
  expect(refused).toEqual([]);
});

test("agents, nobody, strangers and expired SVIDs are refused", async () => {
  const stranger = createTestDomain().issue(["trustwarden", "verifier", "db", "inst-V"]);
  const past = Math.floor(Date.now() / 1000) - 7200;
  const expired = domain.issue(["trustwarden", "verifier", "db", "inst-V"], { now: past });
  for (const comer of [agent, undefined, stranger, expired]) expect(await come(comer)).toBe(401);
  expect(refused).toEqual(["principal_refused", "no_svid", "svid_untrusted", "svid_expired"]);
  expect(accepted).toEqual([]);
});

test("an instance that was stopped is refused, and others go on", async () => {
  state.stopped = "inst-V";
  expect(await come(verifier)).toBe(401);
  expect(refused).toEqual(["identity_revoked"]);
  state.stopped = "inst-W";
  expect(await come(verifier)).toBe(101);
});

test("without a lease of its own there is none to give, and another address has nothing", async () => {
  expect(await come(verifier, "/v1/decisions")).toBe(401);
  state.isServing = false;
  expect(await come(verifier)).toBe(503);
  expect(refused).toEqual(["not_found", "server_unreachable"]);
});
