/**
 * A process with many verifiers, each with its own identity and lease, and a guarded service that is visited all the
 * time, so that beats and pushes compete with real work. Started by `run.ts`, which tells it what to watch.
 *
 * What is watched is the last check before an act, on a decision made just before the revocation: the decision that
 * passes longest.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { PendingAct } from "@trustwarden/core/revocation/view.ts";
import { AgentIdentity, systemRuntime, TrustWardenError, verifyAgent } from "trustwarden";
import { enrol, readTicket } from "../../sdk/enrol.ts";
import { createInstanceKey } from "../../sdk/instance-key.ts";
import { createLease, type Lease } from "../../sdk/lease.ts";
import { connectServer } from "../../sdk/trust-server.ts";
import { type Answer, type Order, order } from "./messages.ts";
import { share } from "./statistics.ts";

/** A busy machine lets a verifier wait; how long is for the run to say, which ends by itself. */
const READY_TIMEOUT_MS = 3_600_000;
/** Once refused, a verifier is tried less often: it only has to be seen that it stays so. */
const RELAXED_EVERY = 8;

/** On a machine that is too busy to answer in time, an enrolment is made again, with another ticket: this one may be spent. */
const PAUSE_AFTER_FAILURE_MS = 1_000;

/** Handshakes at once. */
const LANES = 4;
const PROGRESS_MS = 5_000;

interface Watched {
  readonly act: PendingAct;
  last: { readonly before: bigint; readonly after: bigint; until: bigint | null } | null;
  refusals: number;
}

// Refusals are thrown a thousand times a second here; nobody reads where.
Error.stackTraceLimit = 0;

const leases: Lease[] = [];
let watched: readonly Watched[] = [];
let timer: NodeJS.Timeout | undefined;
let known: ReturnType<typeof connectServer> | undefined;
let nextOpeningMs = 0;
let visits = 0;
let refusedVisits = 0;

process.on("message", (message) => {
  obey(order.parse(message)).catch(end);
});
process.on("disconnect", () => process.exit(0));

function end(error: unknown): never {
  console.error(error);
  process.exit(1);
}

async function obey(given: Order): Promise<void> {
  switch (given.kind) {
    case "open":
      await openAll(given);
      break;
    case "serve":
      void visitForEver(given).catch(end);
      break;
    case "recover":
      await Promise.all(leases.map((lease) => lease.ready()));
      break;
    case "watch":
      watched = leases.map(({ epoch }) => ({ act: { epoch, ids: given.ids }, last: null, refusals: 0 }));
      timer = setInterval(tryAll, given.everyMs);
      break;
    case "report":
      if (given.isLast) clearInterval(timer);
      tell(describe());
      return;
  }
  tell({ kind: "done" });
}

function describe(): Answer {
  const { user, system } = process.cpuUsage();
  return {
    kind: "report",
    lastAllows: watched.map(({ last }) =>
      last === null
        ? null
        : {
            before: String(last.before),
            after: String(last.after),
            until: last.until === null ? null : String(last.until),
          },
    ),
    visits,
    refusedVisits,
    processorMs: (user + system) / 1000,
  };
}

type Opening = Extract<Order, { kind: "open" }>;

/** In lanes: one after the other is mostly waiting, and all at once is a flood that nobody asked about. */
async function openAll(given: Opening): Promise<void> {
  const shares = given.tickets.map((ticket, index) => ({
    ticket,
    count: share(given.leases, given.tickets.length, index),
  }));
  const spoken = setInterval(
    () => console.error(`${readName()}: ${leases.length} of ${given.leases} leases`),
    PROGRESS_MS,
  );
  const lane = async () => {
    for (let next = shares.shift(); next !== undefined; next = shares.shift()) await openLeases(next, given);
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  clearInterval(spoken);
}

async function openLeases(
  { ticket: text, count }: { readonly ticket: string; readonly count: number },
  { origins, areRelays, beatMs, perSecond, spares }: Opening,
): Promise<void> {
  const runtime = systemRuntime;
  const { server, credential } = await enrolOne(text, spares);
  const peer = server.peerCheck(() => credential.tls);
  const [stopUrl = server.discovery.stop_url] = origins;
  const relays = areRelays ? origins : [];
  for (let opened = 0; opened < count; opened += 1) {
    if (perSecond > 0) await takeTurn(1000 / perSecond);
    const lease = createLease({
      stopUrl,
      relays,
      peer,
      runtime,
      beatMs,
      readyTimeoutMs: READY_TIMEOUT_MS,
    });
    await lease.ready();
    leases.push(lease);
  }
}

/** The process knows its server once, as a service does. @throws TrustWardenError what the server refuses, or without spares. */
async function enrolOne(text: string, spares: string[]) {
  const runtime = systemRuntime;
  const ticket = readTicket(text);
  try {
    known ??= connectServer(ticket.address, runtime);
    const server = await known;
    const key = createInstanceKey();
    const { credential } = await enrol({ server, key, envelope: ticket.envelope, runtime });
    return { server, credential };
  } catch (error) {
    const spare = spares.pop();
    const isLate = error instanceof TrustWardenError && error.code === "server_unreachable";
    if (!isLate || spare === undefined) throw error;
    known = undefined;
    await sleep(PAUSE_AFTER_FAILURE_MS);
    return await enrolOne(spare, spares);
  }
}

/** One after the other over all lanes, so far apart at least. */
async function takeTurn(apartMs: number): Promise<void> {
  const nowMs = performance.now();
  nextOpeningMs = Math.max(nowMs, nextOpeningMs + apartMs);
  await sleep(nextOpeningMs - nowMs);
}

function tryAll(): void {
  for (const [index, one] of watched.entries()) {
    if (one.refusals > 0 && one.refusals % RELAXED_EVERY !== 0) {
      one.refusals += 1;
      continue;
    }
    const before = process.hrtime.bigint();
    if (isAllowed(leases[index], one.act)) one.last = { before, after: process.hrtime.bigint(), until: null };
    else {
      one.refusals += 1;
      if (one.last?.until === null) one.last.until = process.hrtime.bigint();
    }
  }
}

function isAllowed(lease: Lease | undefined, act: PendingAct): boolean {
  if (lease === undefined) throw new Error("each watched verifier has a lease");
  try {
    lease.requireFresh();
    lease.requireUntouched(act);
    return true;
  } catch {
    // A refusal is what is measured here.
    return false;
  }
}

async function visitForEver({ pauseMs, ...tickets }: Extract<Order, { kind: "serve" }>): Promise<void> {
  const route = {
    method: "GET",
    path: "/transactions",
    action: "read:transactions",
    resource: "postgres://finance-db/transactions",
  } as const;
  const service = await verifyAgent({ ticket: tickets.serviceTicket, routes: [route] });
  const server = service.createServer((_visit, response) => {
    response.end("[]");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = Object(server.address());
  const visitor = await AgentIdentity.create({ name: readName(), ticket: tickets.visitorTicket });
  for (;;) {
    if (await isServed(visitor, `https://127.0.0.1:${port}/transactions`)) visits += 1;
    else refusedVisits += 1;
    // Lets messages and timers in between two visits, as a service with more than one caller would.
    await sleep(pauseMs);
  }
}

/** A visit that a busy machine does not answer in time is refused, and the next one is made all the same. */
async function isServed(visitor: AgentIdentity, url: string): Promise<boolean> {
  try {
    const answer = await visitor.fetch(url);
    await answer.arrayBuffer();
    return answer.status === 200;
  } catch (error) {
    if (error instanceof TrustWardenError) return false;
    throw error;
  }
}

function readName(): string {
  const name = process.argv[2];
  if (name === undefined) throw new Error("the process is started with its visitor's name");
  return name;
}

function tell(said: Answer): void {
  process.send?.(said);
}
