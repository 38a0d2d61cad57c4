/**
 * Puts the server together: the only place where clock and randomness are made, and where the opened parts become the
 * services that routes work with.
 *
 * Starting is one order, each step relying on the one before: lock, keys, policy, log, state (`parts.ts`), what a crash
 * left in the outbox, the server's own SVID, listeners. Whatever cannot be proven stops the start.
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { Random } from "@trustwarden/core/id.ts";
import type { RevocationTarget } from "@trustwarden/core/revocation/frames.ts";
import { startBackupNotes } from "./backup/start-backup-notes.ts";
import { tellRestore } from "./backup/tell-restore.ts";
import { startBrokers } from "./brokers.ts";
import { type Clock, createSystemClock, FlooredClock } from "./clock.ts";
import { jwtIssuerOf, type ServerConfig } from "./config.ts";
import { type Core, createCore, tlsMaterialOf } from "./core.ts";
import { createServices } from "./create-services.ts";
import { createFeed, type Feed, type FeedOptions } from "./feed/feed.ts";
import { createGatewayParts, openConfiguredGateway } from "./gateway/build-gateway.ts";
import { takeOverBudgets, tendBudgets } from "./gateway/create-budgets.ts";
import { followGateway } from "./gateway/follow-others.ts";
import type { Gateway } from "./gateway/gateway.ts";
import { formatUrl, knownHosts, type Listeners, openListeners } from "./http/listeners.ts";
import { formatRoute } from "./http/route.ts";
import { ROUTES } from "./http/routes.ts";
import type { Services } from "./http/services.ts";
import { foundTokenKey, tendAuthority } from "./http/tend-authority.ts";
import { watchAgentRatio } from "./intake/agent-ratio.ts";
import { OutboxSweep } from "./ledger/outbox-sweep.ts";
import { createLog } from "./log.ts";
import { createFigures } from "./metrics/figures.ts";
import { observeEvents, observeFeed } from "./metrics/observe.ts";
import { type OutsideListeners, openOutsideListeners } from "./outside-listeners.ts";
import { type Cleanup, openParts, type Parts } from "./parts.ts";
import { openPolicies } from "./policies.ts";
import { openReplica } from "./replicas.ts";
import { ALONE, askTogether, requireCurrent, type Sharing } from "./shared/sharing.ts";
import { openSinks } from "./sinks/open-sinks.ts";
import { tendStreams } from "./ssf/silent-streams.ts";
import { remoteStateOf } from "./state-config.ts";
import { tendStateLink } from "./state-link.ts";
import type { OnFollowed } from "./store/sqlite.ts";
import { openTraces } from "./traces/open-traces.ts";

/** A server that is listening. */
export interface BuiltServer {
  readonly url: string;
  readonly stopUrl: string;
  readonly adminSocket: string;
  /** https URL of the web listener; null without one. */
  readonly webUrl: string | null;
  /** https URL of the policy listener; null without one. */
  readonly policyUrl: string | null;
  /** Where proxies ask, gRPC over TLS; null without that listener. */
  readonly envoyPort: number | null;
  /** https origin of the gateway; null without one. */
  readonly gatewayUrl: string | null;
  /** Origin of the console; null without one. */
  readonly consoleUrl: string | null;
  /** Where Prometheus reads; null without that listener. */
  readonly metricsUrl: string | null;
  /** Resolves with the reason when nothing more can be recorded: the process must end. */
  readonly failed: Promise<unknown>;
  /** Stops accepting, finishes what is in flight, and releases the data directory. */
  close(): Promise<void>;
}

/**
 * Starts a server; on any failure everything that was opened is closed again.
 *
 * @param clock - another clock than the machine's, for tests that move time.
 * @throws TrustWardenError any code of the set-up section of `core/error.ts`, and `clock_rolled_back`.
 */
export async function buildServer(
  config: ServerConfig,
  clock: Clock = createSystemClock(),
): Promise<BuiltServer> {
  const cleanups: Cleanup[] = [];
  const close = once(() => closeAll(cleanups));
  try {
    const random: Random = (length) => new Uint8Array(randomBytes(length));
    const figures = createFigures(ROUTES.map(formatRoute));
    const log = observeEvents({ figures }, createLog(config.logLevel));
    const tracer = openTraces(config.traces, { clock, random, log, cleanups });
    const meter = { figures, monoMs: () => clock.monoMs(), tracer };
    const parts = await openParts({
      config,
      meter,
      log,
      random,
      clock: new FlooredClock(clock),
      cleanups,
    });
    await takeOverBudgets(parts);
    return await startServing(parts, { cleanups, close });
  } catch (error) {
    await close();
    throw error;
  }
}

async function startServing(
  parts: Parts,
  { cleanups, close }: { readonly cleanups: Cleanup[]; readonly close: () => Promise<void> },
): Promise<BuiltServer> {
  const { config, log, store } = parts;
  let listeners: Listeners | undefined;
  let outside: OutsideListeners | undefined;
  let gateway: Gateway | undefined;
  const core = await createCore(parts, (core) => {
    for (const listener of [listeners, gateway, outside]) listener?.renewTls(tlsMaterialOf(core));
  });
  cleanups.push(() => core.identity.close());
  const inForce = await openPolicies(parts, cleanups);
  const gatewayParts = createGatewayParts({
    reads: store.reads,
    url: () => (gateway === undefined ? null : formatUrl(config.gateway?.host ?? config.host, gateway.port)),
    names: knownHosts({ ...config, ...config.gateway }),
  });
  const onPush = (targets: readonly RevocationTarget[]): void => {
    gatewayParts.calls.cut(targets);
    services.mcp.sweep();
    void services.databaseRoles.sweep();
  };
  const onFollowed: OnFollowed = (tables) => followOthers(services, tables);
  const { feed, sharing } = openFeed(parts, { onPush, onFollowed }, cleanups);
  const urls = () => ({
    server: formatUrl(config.host, listeners?.port ?? 0),
    stop: formatUrl(config.host, listeners?.stopPort ?? 0),
    policy: config.policy.listener?.url ?? outside?.addresses.policyUrl ?? null,
    console: outside?.addresses.consoleUrl ?? null,
  });
  const services = createServices(core, { feed, sharing, urls, gateway: gatewayParts, ...inForce });
  closeAtTheEnd(services, { config, cleanups });
  await beginWith(parts, services, feed);
  await startBrokers(services, cleanups);
  await services.turns.start(cleanups);
  watchAgentRatio(core, services.ratioHistory, cleanups);
  cleanups.push(async () => {
    await services.refusals.close();
    await core.ledger.drain();
  });
  if (config.workloadApi.witSvid) await foundTokenKey("wit", core.keeper, services);
  const adminSocket = join(config.dataDir, "admin.sock");
  const opened = await openListeners({
    services,
    routes: ROUTES,
    listen: { ...config, adminSocket },
    tls: tlsMaterialOf(core),
  });
  listeners = opened;
  // Together: a listener is closed only when its last connection is, and the leases' are the feed's to end.
  cleanups.push(async () => {
    services.approvals.close();
    services.streams.close();
    await Promise.all([opened.close(), feed.close()]);
  });
  outside = await openOutsideListeners(services, { config, tls: tlsMaterialOf(core), cleanups });
  gateway = await openConfiguredGateway({ services, config, tls: tlsMaterialOf(core), cleanups });
  await startTelling(core, services, cleanups);
  services.federation.start();
  tendAuthority(core.keeper, services);
  cleanups.push(() => core.keeper.close());
  const { server: url, stop: stopUrl } = urls();
  log.info({ url, stop_url: stopUrl, trust_domain: config.trustDomain }, "listening");
  return {
    url,
    stopUrl,
    adminSocket,
    ...outside.addresses,
    gatewayUrl: gatewayParts.url(),
    failed: parts.failed,
    close,
  };
}

/**
 * What others wrote is here, and how this state was restored is in the ledger, before anybody is served; from now on this server
 * goes on while the store is away as far as it may, and looks after what others left.
 */
async function beginWith(parts: Parts, services: Services, feed: Feed): Promise<void> {
  services.gateway.calls.holdTo(services.sharing.leftMs);
  await requireCurrent(services);
  await tellRestore(services);
  tendStateLink({ store: parts.store, ledger: services.ledger, feed, log: parts.log });
  await tendBudgets({ ...parts, sharing: services.sharing });
}

/** What works by itself, each with its own end. */
function closeAtTheEnd(
  services: Services,
  { config, cleanups }: { readonly config: Pick<ServerConfig, "dataDir">; readonly cleanups: Cleanup[] },
): void {
  const { scrape, federation, budgets, intake, mcp } = services;
  cleanups.push(startBackupNotes(services, config.dataDir));
  cleanups.push(() => services.backups.close());
  cleanups.push(() => scrape.close());
  cleanups.push(() => federation.close());
  cleanups.push(() => budgets.close());
  cleanups.push(() => intake.checks.close());
  cleanups.push(() => intake.requests.close());
  cleanups.push(() => mcp.stdio.end(() => false));
}

/** The feed of a server alone, or of one of those that share the store: then the outbox of all of them is looked after too. */
function openFeed(
  { config, store, clock, log, meter, random, shared }: Parts,
  told: { readonly onPush: NonNullable<FeedOptions["onPush"]>; readonly onFollowed: OnFollowed },
  cleanups: Cleanup[],
): { readonly feed: Feed; readonly sharing: Sharing } {
  const { onPush, onFollowed } = told;
  const onEvent: FeedOptions["onEvent"] = (event) => log.info(event, "lease");
  const settings = remoteStateOf(config.state);
  if (shared === null || settings === undefined) {
    return {
      feed: observeFeed(meter, createFeed({ store: store.reads, clock, onEvent, onPush })),
      sharing: ALONE,
    };
  }
  const replica = openReplica({
    store,
    settings,
    random,
    feed: { clock, onEvent, onPush },
    onFollowed,
    notices: shared.notices,
    onUnannounced: () => log.error({ code: "store_unavailable" }, "what others stopped could not be told"),
  });
  cleanups.push(() => replica.close());
  const sweep = new OutboxSweep({
    reads: store.reads,
    markSequenced: store.commands.markSequenced,
    appends: shared.appends,
    monoMs: () => clock.monoMs(),
    onFailure: () => log.warn({ code: "ledger_unavailable" }, "what was owed to the ledger waits"),
  });
  cleanups.push(() => sweep.close());
  const sharing = {
    isShared: true,
    name: replica.name,
    others: () => replica.others(),
    uses: shared.uses,
    isCurrent: () => replica.leftMs() > 0,
    leftMs: () => replica.leftMs(),
    catchUp: askTogether(() => store.commands.markSequenced([])),
  };
  return { feed: observeFeed(meter, replica.feed), sharing };
}

/** What this process remembers of the state beside its copy is brought up to what others wrote. */
function followOthers(services: Services, tables: Parameters<OnFollowed>[0]): void {
  const { federation, approvals, reads, keeper, log } = services;
  if (keeper.follow())
    services
      .onAuthorityStep()
      .catch(() => log.error({ code: "store_unavailable" }, "the server's SVID could not be renewed"));
  federation.follow();
  followGateway(services, tables);
  approvals.tellAnswered((id) => reads.findApproval(id)?.answer !== null);
}

/** Sinks send, and streams that nobody takes from are given up, by the server that has the seat where there are several. */
async function startTelling(core: Core, services: Services, cleanups: Cleanup[]): Promise<void> {
  await openConfiguredSinks(core, cleanups);
  const { shared } = core.parts;
  const isTending = () => shared?.duties.isSeated ?? true;
  cleanups.push(tendStreams({ ...services, self: () => services.serverSvid().spiffeId, isTending }));
}

function openConfiguredSinks(core: Core, cleanups: Cleanup[]): Promise<void> {
  const { config, clock, log, keys, shared } = core.parts;
  const settings = config.sinks;
  const svid = () => tlsMaterialOf(core);
  return openSinks({
    ...config,
    settings,
    ledger: core.ledger,
    svid,
    issuer: jwtIssuerOf(config),
    signer: keys.serverSigner,
    nowMs: () => clock.nowMs(),
    log,
    shared,
    cleanups,
  });
}

/** Closes what was opened, last first, all of it; the first failure is thrown at the end. */
async function closeAll(cleanups: Cleanup[]): Promise<void> {
  const errors: unknown[] = [];
  for (let cleanup = cleanups.pop(); cleanup !== undefined; cleanup = cleanups.pop()) {
    try {
      await cleanup();
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw errors[0];
}

function once(run: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  return () => {
    running ??= run();
    return running;
  };
}
