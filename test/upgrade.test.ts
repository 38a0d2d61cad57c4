/**
 * The upgrade drill: a server of the version before works under load, ends, and this version goes on with its data; what was
 * acknowledged is in the ledger, who was stopped stays stopped, and a service of the version before goes on at the new server.
 * The way back is refused with a reason.
 */

import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { formatRequestCommitment } from "@trustwarden/core/intent.ts";
import { afterEach, expect, it, vi } from "vitest";
import { ChildFailed, ROOT, type RunningChild, runProgram, startChild } from "../attacks/support/child.ts";
import { intentHeaders } from "../attacks/support/visits.ts";
import { createOwner, enrolAgent, intentOf, type TestInstance, verifierTicket } from "./support/actors.ts";
import { jsonOf, type RawAnswer, send, sendAdmin } from "./support/http.ts";
import { checkOutPreviousVersion } from "./support/previous-version.ts";
import { createHome, type TestHome, type TestServer, TRUST_DOMAIN } from "./support/server.ts";

const LONG = { timeout: 240_000 };
const SCOPE = ["read:transactions"];
const RESOURCE = "sqlite://finance-db/transactions";
const AGAIN = { timeout: 60_000, interval: 200 };

const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const previous = checkOutPreviousVersion();
if (previous === undefined) process.stderr.write("SKIPPED: an upgrade needs the history of git\n");

interface Running {
  readonly child: RunningChild;
  readonly server: TestServer;
}

/** @param directory - of the program. */
async function start(home: TestHome, directory: string, before?: TestServer): Promise<Running> {
  const ports =
    before === undefined ? ["0", "0"] : [before.url, before.stopUrl].map((url) => new URL(url).port);
  const child = await startChild({
    args: [relative(ROOT, `${directory}/server/main.ts`)],
    cwd: directory,
    env: {
      TRUSTWARDEN_DATA_DIR: home.dataDir,
      TRUSTWARDEN_CONFIG_DIR: home.configDir,
      TRUSTWARDEN_TRUST_DOMAIN: TRUST_DOMAIN,
      TRUSTWARDEN_PORT: ports[0] ?? "",
      TRUSTWARDEN_STOP_PORT: ports[1] ?? "",
      TRUSTWARDEN_LOG_LEVEL: "error",
    },
  });
  cleanups.push(() => child.stop());
  const { url, stop_url, admin_socket } = child.ready;
  const none = {
    webUrl: null,
    policyUrl: null,
    envoyPort: null,
    gatewayUrl: null,
    metricsUrl: null,
    consoleUrl: null,
  };
  const addresses = { url: String(url), stopUrl: String(stop_url), adminSocket: String(admin_socket) };
  return { child, server: { ...none, ...addresses, failed: child.exited, close: () => child.stop(), home } };
}

/** One visit to the service, and the event it is recorded as. */
async function visit(service: { readonly url: string; readonly id: string }, agent: TestInstance) {
  const salt = new Uint8Array(randomBytes(32));
  const target = "/transactions";
  const request = formatRequestCommitment({ method: "GET", target, body: new Uint8Array() }, salt);
  const intent = intentOf(agent, {
    aud: service.id,
    action: "read:transactions",
    resource: RESOURCE,
    request,
  });
  const answer = await send(service.url, { target, headers: intentHeaders(intent, salt) }, agent.tls);
  return { status: answer.status, eventId: intent.intent.event_id };
}

const admin = (server: TestServer, method: string, target: string, body?: object): Promise<RawAnswer> =>
  sendAdmin(server.adminSocket, {
    method,
    target,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });

it.skipIf(previous === undefined)(
  "from the version before to this one, under load, and no way back",
  LONG,
  async () => {
    if (previous === undefined) throw new Error("it is skipped then");
    cleanups.push(() => previous.remove());
    const home = createHome();
    cleanups.push(() => home.remove());
    const old = await start(home, previous.directory);
    const owner = await createOwner(old.server);
    const agent = await enrolAgent(old.server, owner, { name: "worker", scope: SCOPE });
    const stopped = await enrolAgent(old.server, owner, { name: "stopped", scope: SCOPE });
    const service = await startService(old.server, previous.directory);
    expect((await visit(service, stopped)).status).toBe(200);
    const target = { kind: "instance", id: stopped.answer.instance_id };
    expect((await admin(old.server, "POST", "/v1/revocations", { target })).status).toBe(200);

    // Load that goes on while the versions change: what was answered is what has to be in the ledger.
    const acknowledged: string[] = [];
    let [isOver, refused] = [false, 0];
    const lane = async (): Promise<void> => {
      while (!isOver) {
        const { status, eventId } = await visit(service, agent).catch(() => ({ status: 0, eventId: "" }));
        if (status === 200) acknowledged.push(eventId);
        else refused += 1;
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    };
    const lanes = Promise.all([lane(), lane(), lane()]);
    try {
      await vi.waitUntil(() => acknowledged.length > 50, AGAIN);
      await old.child.stop();
      const before = acknowledged.length;
      const now = await start(home, ROOT, old.server);
      await vi.waitUntil(() => acknowledged.length > before + 50, AGAIN);
      isOver = true;
      await lanes;
      expect(refused).toBeGreaterThan(0);

      // The same owner, agents and stops, read by the new version.
      const late = await enrolAgent(now.server, owner, { name: "late", scope: SCOPE });
      expect((await visit(service, late)).status).toBe(200);
      expect((await visit(service, stopped)).status).toBe(401);
      for (const eventId of [acknowledged[0], acknowledged[before - 1], acknowledged.at(-1)])
        await vi.waitFor(
          async () => expect((await admin(now.server, "GET", `/v1/events/${eventId}`)).status).toBe(200),
          AGAIN,
        );
      const events = join(home.configDir, "events.jsonl");
      await warden(home, "ledger", "verify");
      await warden(home, "ledger", "export", "--format", "jsonl", events);
      const exported = readFileSync(events, "utf8");
      expect(acknowledged.filter((eventId) => !exported.includes(eventId))).toEqual([]);
      await now.child.stop();

      // The way back: the old program says why it does not start, and changes nothing.
      const back = await start(home, previous.directory, old.server).catch((error: unknown) => error);
      if (!(back instanceof ChildFailed)) throw new Error("the version before started on newer data");
      // Until version 9 it cannot read the seal either, and looks at that first (docs/decisions/0099).
      expect(back.output).toMatch(
        /"config_invalid".*newer than this server|"state_changed".*its seal cannot be read/s,
      );
      const again = await start(home, ROOT, old.server);
      await vi.waitFor(async () => expect((await visit(service, agent)).status).toBe(200), AGAIN);
      await again.child.stop();
    } finally {
      isOver = true;
      await lanes;
    }
  },
);

/** A command of this version that has to succeed. */
async function warden({ dataDir }: TestHome, ...args: readonly string[]): Promise<void> {
  const { exitCode, output } = await runProgram({ args: ["cli/main.ts", ...args, "--data", dataDir] });
  expect([args, exitCode, output]).toEqual([args, 0, output]);
}

/** The finance API of a version, with the SDK of that version. */
async function startService(server: TestServer, directory: string) {
  const ticket = await verifierTicket(server, { name: "finance-api", ttlSeconds: 86_400 });
  const child = await startChild({
    args: [relative(ROOT, `${directory}/examples/finance/server.ts`)],
    cwd: directory,
    env: { TRUSTWARDEN_TICKET: ticket },
  });
  cleanups.push(() => child.stop());
  const url = String(child.ready.url);
  const routes = jsonOf(await send(url, { target: "/.well-known/trustwarden-routes" }));
  return { url, id: String(routes.verifier) };
}
