/**
 * A process of many verifiers, told over loopback what to watch:
 *
 *   TRUSTWARDEN_TICKET=tw1.… node attacks/support/leased-verifiers.ts --leases 20 --stop-port 7444
 *
 * Each holds a lease of the server on that port, and tries again and again to act on the decision that it was told of. It
 * says when it last could, on the machine's monotonic clock, which all processes share.
 */
import { createServer } from "node:http";
import { parseArgs } from "node:util";
import type { PendingAct } from "@trustwarden/core/revocation/view.ts";
import { enrol, readTicket } from "../../sdk/enrol.ts";
import { createInstanceKey } from "../../sdk/instance-key.ts";
import { verdict } from "../../sdk/lease.test.support.ts";
import { createLease, type Lease } from "../../sdk/lease.ts";
import { systemRuntime } from "../../sdk/runtime.ts";
import { connectServer } from "../../sdk/trust-server.ts";

const WATCH_MS = 2;
/** A loaded machine lets a handshake wait. */
const READY_TIMEOUT_MS = 60_000;

/** What the verifiers are told: a decision of this moment about these ids. */
export interface WatchTask {
  readonly ids: readonly string[];
}

/** What came of it, verifier by verifier. */
export interface WatchReport {
  /** Monotonic nanoseconds just before the last check that allowed; null when none did. */
  readonly lastAllows: readonly (string | null)[];
  /** `allowed` or the code of the refusal, at this moment. */
  readonly verdicts: readonly string[];
}

interface Watched {
  readonly lease: Lease;
  act: PendingAct;
  last: bigint | null;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { leases: { type: "string" }, "stop-port": { type: "string" } },
  });
  const watched = await openLeases(Number(values.leases), `https://127.0.0.1:${values["stop-port"]}`);
  setInterval(() => {
    for (const one of watched) tryOnce(one);
  }, WATCH_MS);
  const server = createServer((request, response) => {
    void readBody(request).then((body) => {
      if (body !== "") watch(watched, JSON.parse(body));
      response.end(JSON.stringify(describe(watched)));
    });
  });
  server.listen(0, "127.0.0.1", () => {
    console.log(JSON.stringify({ ready: true, url: `http://127.0.0.1:${Object(server.address()).port}` }));
  });
}

async function openLeases(count: number, stopUrl: string): Promise<readonly Watched[]> {
  const runtime = systemRuntime;
  const { address, envelope } = readTicket(process.env.TRUSTWARDEN_TICKET);
  const server = await connectServer(address, runtime);
  const { credential } = await enrol({ server, key: createInstanceKey(), envelope, runtime });
  const peer = server.peerCheck(() => credential.tls);
  const leases = Array.from({ length: count }, () =>
    createLease({ stopUrl, peer, runtime, readyTimeoutMs: READY_TIMEOUT_MS }),
  );
  await Promise.all(leases.map((lease) => lease.ready()));
  return leases.map((lease) => ({ lease, act: { epoch: lease.epoch, ids: [] }, last: null }));
}

function watch(watched: readonly Watched[], { ids }: WatchTask): void {
  for (const one of watched) {
    one.act = { epoch: one.lease.epoch, ids };
    one.last = null;
    tryOnce(one);
  }
}

function tryOnce(one: Watched): void {
  const before = process.hrtime.bigint();
  if (verdict(one.lease, one.act) === "allowed") one.last = before;
}

function describe(watched: readonly Watched[]): WatchReport {
  return {
    lastAllows: watched.map(({ last }) => (last === null ? null : String(last))),
    verdicts: watched.map(({ lease, act }) => verdict(lease, act)),
  };
}

async function readBody(request: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts).toString();
}

await main();
