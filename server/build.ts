/**
 * Puts the server together: the only place where clock and randomness are made, and where the opened parts become the
 * services that routes work with.
 *
 * Starting is one order, each step relying on the one before: lock, keys, policy, log, state (`parts.ts`), what a crash
 * left in the outbox, the server's own SVID, listeners. Whatever cannot be proven stops the start.
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { AuthorityStep } from "@trustwarden/core/agentid/authority-steps.ts";
import { ProvenChains } from "@trustwarden/core/agentid/proven-chains.ts";
import type { TrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { encodeBase64, encodeHex } from "@trustwarden/core/bytes.ts";
import { formatPem } from "@trustwarden/core/pem.ts";
import { ApprovalWaiters } from "./approvals/waiters.ts";
import { createAttestors } from "./attest/attestors.ts";
import { AuthorityKeeper } from "./authority/keeper.ts";
import { createBrokers, startBrokers } from "./brokers.ts";
import { type Clock, createSystemClock, FlooredClock } from "./clock.ts";
import { jwtIssuerOf, type ServerConfig } from "./config.ts";
import { Federation } from "./federation/federation.ts";
import { fetchBundle } from "./federation/fetch-bundle.ts";
import { createFeed } from "./feed/feed.ts";
import { createGatewayParts, openConfiguredGateway } from "./gateway/build-gateway.ts";
import { createBudgets } from "./gateway/create-budgets.ts";
import type { Gateway } from "./gateway/gateway.ts";
import { createMcpGateway } from "./gateway/mcp/create-mcp.ts";
import { formatUrl, knownHosts, type Listeners, openListeners, type TlsMaterial } from "./http/listeners.ts";
import { Nonces } from "./http/nonces.ts";
import { formatOpenApi } from "./http/openapi.ts";
import { PublishedLists } from "./http/published-lists.ts";
import { Latest, Recent } from "./http/recent.ts";
import { ROUTES } from "./http/routes.ts";
import type { Services } from "./http/services.ts";
import { foundTokenKey, tendAuthority } from "./http/tend-authority.ts";
import { createIntake } from "./intake/create-intake.ts";
import { Ledger } from "./ledger/ledger.ts";
import { Outcomes } from "./ledger/outcomes.ts";
import { LedgerQueries } from "./ledger/queries.ts";
import { RecordedDecisions } from "./ledger/recorded-decisions.ts";
import { type Refusal, Refusals } from "./ledger/refusals.ts";
import { createServerRecords } from "./ledger/server-records.ts";
import { createLog } from "./log.ts";
import { createAuthorizationServer } from "./oauth/create.ts";
import { type OutsideListeners, openOutsideListeners } from "./outside-listeners.ts";
import { createOwnerRequests } from "./owner-request-floors.ts";
import { type Cleanup, openParts, type Parts } from "./parts.ts";
import { type OpenedPolicies, openPolicies } from "./policies.ts";
import { createServerIdentity, type ServerIdentity } from "./server-identity.ts";
import { openSinks } from "./sinks/open-sinks.ts";
import { SERVER_VERSION } from "./version.ts";

/** Enough for the uploads that every OPA of a deployment may repeat. */
const MAX_RECENT_DECISIONS = 50_000;

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
  /** Resolves with the reason when nothing more can be recorded: the process must end. */
  readonly failed: Promise<unknown>;
  /** Stops accepting, finishes what is in flight, and releases the data directory. */
  close(): Promise<void>;
}

/** What the parts become before the server listens. */
interface Core {
  readonly parts: Parts;
  readonly keeper: AuthorityKeeper;
  readonly ledger: Ledger;
  readonly identity: ServerIdentity;
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
    const parts = await openParts({
      config,
      log: createLog(config.logLevel),
      random: (length) => new Uint8Array(randomBytes(length)),
      clock: new FlooredClock(clock),
      cleanups,
    });
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
  const { config, log, clock, store } = parts;
  let listeners: Listeners | undefined;
  let outside: OutsideListeners | undefined;
  let gateway: Gateway | undefined;
  const core = await createCore(parts, (core) => {
    for (const listener of [listeners, gateway, outside]) listener?.renewTls(tlsMaterialOf(core));
  });
  cleanups.push(() => core.identity.close());
  const gatewayParts = createGatewayParts({
    reads: store.reads,
    url: () => (gateway === undefined ? null : formatUrl(config.gateway?.host ?? config.host, gateway.port)),
    names: knownHosts({ ...config, ...config.gateway }),
  });
  const feed = createFeed({
    store: store.reads,
    clock,
    onEvent: (event) => log.info(event, "lease"),
    onPush: (targets) => {
      gatewayParts.calls.cut(targets);
      services.mcp.sweep();
      void services.databaseRoles.sweep();
    },
  });
  const urls = () => ({
    server: formatUrl(config.host, listeners?.port ?? 0),
    stop: formatUrl(config.host, listeners?.stopPort ?? 0),
    policy: outside?.addresses.policyUrl ?? null,
  });
  const inForce = await openPolicies(parts, cleanups);
  const services = createServices(core, { feed, urls, gateway: gatewayParts, ...inForce });
  cleanups.push(() => services.federation.close());
  cleanups.push(() => services.budgets.close());
  cleanups.push(() => services.intake.checks.close());
  cleanups.push(() => services.mcp.stdio.end(() => false));
  await startBrokers(services, cleanups);
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
    await Promise.all([opened.close(), feed.close()]);
  });
  outside = await openOutsideListeners(services, { config, tls: tlsMaterialOf(core), cleanups });
  gateway = await openConfiguredGateway({ services, config, tls: tlsMaterialOf(core), cleanups });
  await openConfiguredSinks(core, cleanups);
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

async function createCore(parts: Parts, onRenewed: (core: Core) => void): Promise<Core> {
  const { keys, random, clock, store, log } = parts;
  let identity: ServerIdentity | undefined;
  const serverSvid = () => {
    if (identity === undefined) throw new Error("the server signs nothing before it has its SVID");
    return identity.current();
  };
  const ledger = new Ledger({
    origin: parts.origin,
    log: parts.sequencer,
    reader: parts.reader,
    records: createServerRecords({ signer: keys.serverSigner, serverSvid, random }),
    index: parts.index,
    clock,
    witnessing: parts.witnessing,
    markSequenced: store.commands.markSequenced,
    onUnmarked: () => log.warn({ code: "store_unavailable" }, "recorded events could not be marked"),
  });
  void parts.failed.then(() => ledger.fail());
  const keeper = new AuthorityKeeper({
    keys,
    commands: store.commands,
    reads: store.reads,
    random,
    nowMs: () => clock.nowMs(),
  });
  const mended = await keeper.open();
  const core = (made: ServerIdentity): Core => ({ parts, keeper, ledger, identity: made });
  identity = await createServerIdentity({
    commands: store.commands,
    settle: (committed) => ledger.settle(committed),
    policy: parts.policy.engine.policy,
    nowMs: () => clock.nowMs(),
    onRenewed: () => identity && onRenewed(core(identity)),
    onFailed: () => log.error({ code: "store_unavailable" }, "the server's SVID could not be renewed"),
  });
  await recordMended(core(identity), mended);
  return core(identity);
}

/** The events of steps that were taken while the server could sign none. */
async function recordMended({ parts, keeper, ledger }: Core, steps: readonly AuthorityStep[]): Promise<void> {
  for (const { step } of steps) {
    const details = {
      step,
      authority_kind: "intermediate",
      key_id: encodeHex(keeper.current().intermediate.ski),
      forced: false,
      reason: "the intermediate had ended while the server was down",
      sequence: keeper.state().sequence,
      authorities_sha256: keeper.current().authoritiesSha256,
      certificate: encodeBase64(keeper.current().intermediate.der),
    };
    const draft = {
      kind: "authority",
      allow: true,
      reasons: [],
      subject: details.key_id,
      chain: [],
    } as const;
    const epoch = parts.store.reads.epoch();
    const context = { nowMs: parts.clock.nowMs(), principal: "operator", peer: "local", intent: null, epoch };
    await ledger.recordControl({ ...draft, details }, context);
  }
}

function createServices(
  core: Core,
  { policies, custom, ...made }: Pick<Services, "feed" | "urls" | "gateway"> & OpenedPolicies,
): Services {
  const { parts, ledger, identity } = core;
  const { clock, random, keys, store, highWater, origin, index } = parts;
  const { reads, commands } = store;
  const { keeper } = core;
  const federation = createFederation(core, { feed: made.feed, ownBundle: () => keeper.current().bundle });
  const publicUrl = () => parts.config.jwtIssuer ?? made.urls().server;
  return {
    ...made,
    version: SERVER_VERSION,
    clock,
    random,
    trustDomain: keys.trustDomain,
    jwtIssuer: jwtIssuerOf(parts.config),
    witSvid: parts.config.workloadApi.witSvid,
    authority: () => keeper.current(),
    keeper,
    onAuthorityStep: () => identity.follow(keeper.current().intermediate.der),
    lists: new PublishedLists({ commands, reads, clock, publicUrl }),
    rootCrls: () => keeper.rootCrls(),
    federation,
    ...createBrokers({ ...parts, ledger, identity, gateway: made.gateway, publicUrl }),
    chains: new ProvenChains(federation.bundles),
    serverSvid: () => identity.current(),
    serverKey: keys.serverSigner.publicKey,
    commands,
    reads,
    ledger,
    decisions: new RecordedDecisions(parts.sequencer),
    outcomes: new Outcomes({ ledger, index }),
    events: new LedgerQueries({ ledger, index }),
    seen: parts.seen,
    refusals: new Refusals({
      monoMs: () => clock.monoMs(),
      write: (refusal) => writeRefusal(core, refusal),
      onError: () => parts.log.error({ code: "ledger_unavailable" }, "dropped refusals could not be counted"),
    }),
    intake: createIntake(parts),
    policy: policies,
    customPolicies: custom,
    opaDecisions: new Recent(MAX_RECENT_DECISIONS),
    opaStatuses: new Latest(MAX_RECENT_DECISIONS),
    budgets: createBudgets(parts),
    mcp: createMcpGateway({ ...parts, ...store, ledger, serverSvid: () => identity.current() }),
    approvals: new ApprovalWaiters(),
    nonces: new Nonces(random),
    oauth: createAuthorizationServer({
      config: parts.config,
      random,
      urls: made.urls,
      names: knownHosts(parts.config),
    }),
    attestors: createAttestors(parts.config.attestation),
    ownerRequests: createOwnerRequests({ reads, clock, dataDir: parts.config.dataDir }),
    raiseEpoch: (epoch) => highWater.raise({ origin, epoch }),
    startedMonoMs: clock.monoMs(),
    log: parts.log,
    openApi: () => formatOpenApi(ROUTES, SERVER_VERSION),
  };
}

function createFederation(
  { parts, ledger, identity }: Core,
  { feed, ownBundle }: { readonly feed: Services["feed"]; readonly ownBundle: () => TrustBundle },
): Federation {
  const { clock, random, store, log, highWater, origin } = parts;
  return new Federation({
    ownBundle,
    reads: store.reads,
    commands: store.commands,
    fetch: fetchBundle,
    announce: async (committed, trustDomain) => {
      await ledger.settle(committed);
      await Promise.all([
        feed.publish([{ kind: "federation", id: trustDomain }], committed.epoch),
        highWater.raise({ origin, epoch: committed.epoch }),
      ]);
    },
    context: () => ({
      nowMs: clock.nowMs(),
      principal: identity.current().spiffeId,
      peer: "local",
      intent: null,
    }),
    now: () => clock.trustedSeconds(),
    jitter: () => (random(1)[0] ?? 0) / 256,
    warn: (facts) => log.warn(facts, "a federated bundle could not be renewed; the last one stays in force"),
  });
}

async function writeRefusal({ parts, ledger }: Core, refusal: Refusal): Promise<void> {
  const { principal, peer, code, details, subject = null, chain = [] } = refusal;
  const draft = { kind: "refuse", allow: false, reasons: [code], subject, chain, details } as const;
  const epoch = parts.store.reads.epoch();
  await ledger.recordControl(draft, { nowMs: parts.clock.nowMs(), principal, peer, intent: null, epoch });
}

/** The TLS key is the key of the server's SVID; the chain goes out without the root, which clients pin. */
function tlsMaterialOf({ parts, identity, keeper }: Core): TlsMaterial {
  const roots = keeper.current().bundle.x509Authorities;
  return {
    key: formatPem("PRIVATE KEY", parts.keys.serverPkcs8),
    cert: identity
      .current()
      .svidChain.map((der) => formatPem("CERTIFICATE", der))
      .join(""),
    ca: roots.map(({ der }) => formatPem("CERTIFICATE", der)).join(""),
  };
}

function openConfiguredSinks(core: Core, cleanups: Cleanup[]): Promise<void> {
  const { config, clock, log } = core.parts;
  const settings = config.sinks;
  const svid = () => tlsMaterialOf(core);
  return openSinks({
    ...config,
    settings,
    ledger: core.ledger,
    svid,
    nowMs: () => clock.nowMs(),
    log,
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
