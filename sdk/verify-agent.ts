/**
 * `verifyAgent`: for a service that agents visit. Enrols the service as a verifier, holds its lease, and puts the one
 * path (`core/guard.ts`) around its handlers.
 *
 * Nothing but the published route table is answered to anybody who does not walk the whole path.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server, type ServerOptions } from "node:https";
import type { Duplex } from "node:stream";
import { parseSpiffeId, pathOf } from "@trustwarden/core/agentid/spiffe-id.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { RevocationTarget } from "@trustwarden/core/revocation/frames.ts";
import { createRouteTable, type Route, type RouteTable } from "@trustwarden/core/route-table.ts";
import { askNow } from "./authority-watch.ts";
import { enrol, readTicket, renewCredential } from "./enrol.ts";
import { relaysFromEnvironment, ticketFromEnvironment } from "./environment.ts";
import { askAbout, type Evaluation, type Question } from "./evaluate.ts";
import { fetchVisit, type Peer, type VisitFetch } from "./fetch-handler.ts";
import { FreshServers } from "./fresh-servers.ts";
import { createInstanceKey } from "./instance-key.ts";
import { createLease } from "./lease.ts";
import { requireRelays } from "./lease-places.ts";
import { LiveVisits } from "./live-visits.ts";
import { handleVisit, type OnRefusal, type VisitListener } from "./node-handler.ts";
import { sendOutcomes } from "./outcome.ts";
import { OutcomeSpool } from "./outcome-spool.ts";
import { type Runtime, systemRuntime } from "./runtime.ts";
import { SvidHolder } from "./svid-holder.ts";
import { SERVER_TLS_OPTIONS } from "./tls.ts";
import { connectServer, type TrustServer } from "./trust-server.ts";
import { handleUpgrade, type UpgradeListener } from "./upgrade-handler.ts";
import type { Reception } from "./visit-ports.ts";

/** Limits of the listener: slow or huge requests end before anybody looks at them. */
const SERVER_LIMITS = {
  headersTimeout: 10_000,
  requestTimeout: 30_000,
  handshakeTimeout: 10_000,
  maxHeaderSize: 65_536,
  insecureHTTPParser: false,
  joinDuplicateHeaders: false,
} as const;

/** Services are fewer than agents, and agents find the way to a peer only while its chain counts. */
const RENEWAL_SPREAD_MS = 2_000;

/** How a service wants to be visited. */
export interface VerifyAgentOptions {
  /** What each request means; nothing else is served. */
  readonly routes: readonly Route[];
  /** Must be the ticket's, when given: a check against a mixed-up ticket. */
  readonly name?: string;
  /** A verifier's `TRUSTWARDEN_TICKET` value; the variable itself when absent. */
  readonly ticket?: string;
  /** Origins of relays to take the lease from instead of the server, the next when one fails; `TRUSTWARDEN_RELAYS` when absent. */
  readonly relays?: readonly string[];
  /** Hears exactly what stopped a visit; the visitor is told less. */
  readonly onRefusal?: OnRefusal;
  readonly runtime?: Runtime;
}

/** A service's guard. */
export interface GuardAgents {
  /** SPIFFE ID of the service: the `aud` of intents for it. */
  readonly id: string;
  /** Options for `https.createServer`: TLS 1.3, the service's SVID, our own check of the visitor. */
  readonly tlsOptions: () => ServerOptions;
  /** A `node:http` request listener that calls yours for allowed visits only. */
  readonly handler: (
    listener: VisitListener,
  ) => (this: unknown, request: IncomingMessage, response: ServerResponse) => void;
  /** An `upgrade` listener that calls yours for allowed visits only: WebSockets and the like. */
  readonly upgradeHandler: (
    listener: UpgradeListener,
  ) => (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
  /** The same in fetch style; whoever owns the socket hands over the peer's chain. */
  readonly fetchHandler: (handler: VisitFetch) => (request: Request, peer: Peer) => Promise<Response>;
  /**
   * Whether a visitor may do these things too: for what a route cannot say. Each answer is an `evaluation` in the ledger.
   *
   * @throws TrustWardenError `action_malformed`, `lease_expired`, the server's refusal, `server_unreachable`.
   */
  readonly evaluate: (spiffeId: string, questions: readonly Question[]) => Promise<readonly Evaluation[]>;
  /** Gives the server each renewed SVID. `handler` does so by itself from the first visit on. */
  readonly keepFresh: (server: Server) => void;
  /** `https.createServer` with `tlsOptions`, `handler` and `keepFresh`. */
  readonly createServer: (listener: VisitListener) => Server;
  /** Takes a new key and SVID now, as happens by itself at half life. */
  readonly renew: () => Promise<void>;
  /** Ends the lease, after which every visit is refused, cuts those under way, and reports. Close the server first. */
  readonly close: () => Promise<void>;
}

interface Opened {
  readonly reception: Reception;
  readonly fresh: FreshServers;
}

/**
 * Enrols the service and waits for its lease.
 *
 * @throws TrustWardenError `config_invalid` for the route table and for more than 64 relays, `ticket_missing`, `ticket_mismatch`,
 *   `server_untrusted`, `server_unreachable`, and the server's refusals.
 */
export async function verifyAgent(options: VerifyAgentOptions): Promise<GuardAgents> {
  const { runtime = systemRuntime } = options;
  const table = createRouteTable(options.routes);
  const ticket = readTicket(options.ticket ?? ticketFromEnvironment());
  const { kind, name } = ticket.unverified;
  if (kind !== "verifier") throw new TrustWardenError("ticket_mismatch", { field: "kind" });
  if (options.name !== undefined && options.name !== name)
    throw new TrustWardenError("ticket_mismatch", { field: "name" });
  const relays = options.relays ?? relaysFromEnvironment();
  requireRelays(relays);
  const server = await connectServer(ticket.address, runtime);
  const opened = await open({ server, envelope: ticket.envelope, relays, runtime });
  return createGuardAgents({ ...opened, table, onRefusal: options.onRefusal ?? (() => undefined) });
}

async function open(options: {
  readonly server: TrustServer;
  readonly envelope: string;
  readonly relays: readonly string[];
  readonly runtime: Runtime;
}): Promise<Opened> {
  const { server, envelope, relays, runtime } = options;
  const { answer, credential } = await enrol({ server, key: createInstanceKey(), envelope, runtime });
  const fresh = new FreshServers(credential.key.createTlsOptions(credential.svidChain));
  const id = parseSpiffeId(answer.spiffe_id);
  if (!pathOf(id).startsWith("/trustwarden/verifier/"))
    throw new TrustWardenError("server_untrusted", { reason: "id" });
  const holder = new SvidHolder({
    first: credential,
    renew: (current) =>
      renewCredential({ server, current, key: createInstanceKey(), sign: () => ({}), runtime }),
    instanceExpiresAt: answer.instance_expires_at,
    onRenewed: ({ svidChain, key }) => fresh.update(key.createTlsOptions(svidChain)),
    runtime,
  });
  const agent = () => holder.current().serverAgent;
  const outcomes = new OutcomeSpool({ send: (sent) => sendOutcomes(server, agent(), sent), runtime });
  const followFederation = () => void refreshFederated(server, runtime);
  const follower = {
    // What happened while nobody listened was not told.
    onConnected: () => {
      followFederation();
      void askNow(server);
    },
    onTargets: (targets: readonly RevocationTarget[]) => {
      if (targets.some(({ kind }) => kind === "federation")) followFederation();
      if (targets.some(({ kind }) => kind === "authority")) void askNow(server);
    },
  };
  const lease = createLease({
    stopUrl: server.discovery.stop_url,
    relays,
    peer: server.peerCheck(() => holder.presented),
    runtime,
    follower,
  });
  server.retain();
  const unfollow = server.onAuthority(() => {
    if (server.mustRenew(holder.leaf)) holder.renewSoon({ spreadMs: RENEWAL_SPREAD_MS });
  });
  await Promise.all([lease.ready(), refreshFederated(server, runtime)]);
  return {
    reception: { id, server, holder, lease, outcomes, visits: new LiveVisits(), runtime, unfollow },
    fresh,
  };
}

/** Whom a federated issuer may speak for is told anew at each connection and change. */
async function refreshFederated(server: TrustServer, runtime: Runtime): Promise<void> {
  try {
    await server.refreshFederated();
  } catch (error) {
    // Safe to go on: the bundles at hand only say whose chain is a good one; the server decides with its own.
    const code = error instanceof TrustWardenError ? error.code : "internal";
    runtime.notify({ code, what: "The bundles of federated trust domains could not be read.", details: {} });
  }
}

function createGuardAgents(
  options: Opened & { readonly table: RouteTable; readonly onRefusal: OnRefusal },
): GuardAgents {
  const { reception, fresh, table, onRefusal } = options;
  let closing: Promise<void> | undefined;
  const tlsOptions = () => ({ ...SERVER_TLS_OPTIONS, ...SERVER_LIMITS, ...fresh.current });
  const handler = (listener: VisitListener) =>
    function onRequest(this: unknown, request: IncomingMessage, response: ServerResponse): void {
      fresh.learn(this);
      void handleVisit({ reception, table, listener, onRefusal }, request, response);
    };
  return {
    id: reception.id,
    tlsOptions,
    handler,
    upgradeHandler: (listener) => (request, socket, head) =>
      void handleUpgrade({ reception, table, listener, onRefusal }, { request, socket, head }),
    fetchHandler: (own) => (request, peer) =>
      fetchVisit({ reception, table, handler: own, onRefusal }, request, peer),
    evaluate: async (spiffeId, questions) => {
      const { server, holder, lease } = reception;
      const answers = await askAbout({ server, agent: holder.current().serverAgent }, spiffeId, questions);
      lease.requireFresh();
      return answers;
    },
    keepFresh: (server) => fresh.learn(server),
    createServer: (listener) => {
      const server = createServer(tlsOptions(), handler(listener));
      fresh.learn(server);
      return server;
    },
    renew: () => reception.holder.renew(),
    close: () => {
      closing ??= closeReception(reception);
      return closing;
    },
  };
}

async function closeReception(reception: Reception): Promise<void> {
  const { lease, outcomes, holder, server, unfollow, visits } = reception;
  unfollow();
  lease.close();
  // Each end is signed with the key at hand, so both stay until the last is reported.
  await visits.close();
  await outcomes.close();
  holder.close();
  server.release();
}
