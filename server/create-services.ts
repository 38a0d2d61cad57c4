/** Makes the services that routes work with, from the opened parts and what was made of them. */
import { join } from "node:path";
import { ProvenChains } from "@trustwarden/core/agentid/proven-chains.ts";
import type { TrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { hmacSha256 } from "@trustwarden/core/crypto.ts";
import { ApprovalWaiters } from "./approvals/waiters.ts";
import { createAttestors } from "./attest/attestors.ts";
import { BackupOrders } from "./backup/backup-orders.ts";
import { createBrokers } from "./brokers.ts";
import { jwtIssuerOf } from "./config.ts";
import { createPeople } from "./console/create-people.ts";
import type { People } from "./console/people.ts";
import { readConsoleFiles } from "./console/static-files.ts";
import type { Core } from "./core.ts";
import { Federation } from "./federation/federation.ts";
import { fetchBundle } from "./federation/fetch-bundle.ts";
import { createBudgets } from "./gateway/create-budgets.ts";
import { createMcpGateway, type McpGateway } from "./gateway/mcp/create-mcp.ts";
import { formatPeer } from "./http/arrival.ts";
import { countTurnedAway } from "./http/control-ports.ts";
import { knownHosts } from "./http/listeners.ts";
import { Nonces } from "./http/nonces.ts";
import { formatOpenApi } from "./http/openapi.ts";
import { PublishedLists } from "./http/published-lists.ts";
import { Latest, Recent } from "./http/recent.ts";
import { flowOfPeer } from "./http/request-flow.ts";
import { ROUTES } from "./http/routes.ts";
import type { Services } from "./http/services.ts";
import { createIntake } from "./intake/create-intake.ts";
import { RatioHistory } from "./intake/ratio-history.ts";
import { Outcomes } from "./ledger/outcomes.ts";
import { PublishedCheckpoints } from "./ledger/published-checkpoints.ts";
import { LedgerQueries } from "./ledger/queries.ts";
import { RecordedDecisions } from "./ledger/recorded-decisions.ts";
import { type Refusal, Refusals } from "./ledger/refusals.ts";
import { createLedgerTurns } from "./ledger/turns.ts";
import { Scrape } from "./metrics/scrape.ts";
import { createAuthorizationServer } from "./oauth/create.ts";
import { createOwnerRequests } from "./owner-request-floors.ts";
import type { Parts } from "./parts.ts";
import type { OpenedPolicies } from "./policies.ts";
import { requireNewest } from "./shared/sharing.ts";
import { createStreamFiles } from "./ssf/stream-files.ts";
import { createStreamNotes } from "./ssf/stream-notes.ts";
import { SecurityEventStreams } from "./ssf/streams.ts";
import { SERVER_VERSION } from "./version.ts";

/** Enough for the uploads that every OPA of a deployment may repeat. */
const MAX_RECENT_DECISIONS = 50_000;
/** What the key of nonces that several servers take is made for. */
const NONCES = "nonces of servers that share a store";
const OAUTH_NONCES = "nonces of OAuth of servers that share a store";
const TASKS = "tasks of A2A agents of servers that share a store";
const MS_PER_SECOND = 1000;

/** Nothing of it has been started; see `build.ts`. */
export function createServices(
  core: Core,
  { policies, custom, ...made }: Pick<Services, "feed" | "urls" | "gateway" | "sharing"> & OpenedPolicies,
): Services {
  const { parts, ledger, identity } = core;
  const { clock, random, keys, store, highWater, index } = parts;
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
    lists: listsOf(parts, { ...made, publicUrl }),
    rootCrls: () => keeper.rootCrls(),
    federation,
    ...createBrokers({ ...parts, ...made, ledger, identity, publicUrl }),
    chains: new ProvenChains(federation.bundles),
    serverSvid: () => identity.current(),
    serverKey: keys.serverSigner.publicKey,
    serverSigner: keys.serverSigner,
    commands,
    reads,
    ledger,
    turns: createLedgerTurns(parts),
    backups: new BackupOrders({ config: parts.config, random, nowMs: () => clock.nowMs() }),
    decisions: new RecordedDecisions(parts.shardedLog),
    ...createSearches({ ledger, index, shared: parts.shared }),
    seen: parts.seen,
    published: new PublishedCheckpoints({ ledger: ledger.origin, log: parts.shardedLog }),
    ...createLimits(core),
    policy: policies,
    customPolicies: custom,
    opaDecisions: new Recent(MAX_RECENT_DECISIONS),
    opaStatuses: new Latest(MAX_RECENT_DECISIONS),
    budgets: createBudgets({ ...parts, ...made }),
    mcp: createMcp(core),
    consoleFiles: readConsoleFiles(),
    people: peopleOf(parts, made),
    approvals: new ApprovalWaiters(),
    streams: createStreams(parts),
    ratioHistory: new RatioHistory(join(parts.config.dataDir, "agents-per-owner")),
    nonces: noncesOf(parts),
    oauth: createAuthorizationServer({
      ...parts,
      ...made,
      names: knownHosts(parts.config),
      nonceKey: sharedKey(parts, OAUTH_NONCES),
    }),
    attestors: createAttestors(parts.config.attestation),
    ownerRequests: createOwnerRequests({ ...parts.config, ...made.sharing, reads, clock }),
    raiseEpoch: (epoch) => highWater.raise({ epoch }),
    startedMonoMs: clock.monoMs(),
    log: parts.log,
    meter: parts.meter,
    scrape: createScrape(parts),
    openApi: () => formatOpenApi(ROUTES, SERVER_VERSION),
  };
}

function createMcp({ parts, ledger, identity }: Core): McpGateway {
  const handleKey = sharedKey(parts, TASKS);
  return createMcpGateway({
    ...parts,
    ...parts.store,
    ledger,
    serverSvid: () => identity.current(),
    handleKey,
  });
}

function listsOf(
  { store, clock }: Parts,
  { sharing, publicUrl }: Pick<Services, "sharing"> & { readonly publicUrl: () => string },
): PublishedLists {
  return new PublishedLists({
    ...store,
    clock,
    publicUrl,
    requireNewest: () => requireNewest({ sharing }),
  });
}

function createStreams({ config, shardedLog, random, clock, shared }: Parts): SecurityEventStreams {
  const files = shared === null ? createStreamFiles(config.dataDir) : createStreamNotes(shared.notes);
  return new SecurityEventStreams({ files, ledger: shardedLog, issuer: jwtIssuerOf(config), random, clock });
}

function peopleOf({ keys, random, store, config }: Parts, { urls }: Pick<Services, "urls">): People {
  return createPeople({
    key: keys.peopleKey,
    random,
    reads: store.reads,
    origin: () => urls().console,
    isSocketConfirmed: config.console?.secondAdmin === "everywhere",
    // Without a console there are no people, and the socket is not counted.
    linesPerDay: config.console?.linesPerDay ?? 0,
    providers: config.console?.identityProviders ?? [],
  });
}

function createLimits(core: Core) {
  const { parts } = core;
  const { clock, log } = parts;
  const refusals = new Refusals({
    monoMs: () => clock.monoMs(),
    write: (refusal) => writeRefusal(core, refusal),
    onError: () => log.error({ code: "ledger_unavailable" }, "dropped refusals could not be counted"),
  });
  const intake = createIntake(
    parts,
    (error, socket) => countTurnedAway({ refusals }, error, { peer: formatPeer(socket) }),
    (socket) => flowOfPeer({ reads: parts.store.reads, clock }, socket),
  );
  return { refusals, intake } satisfies Partial<Services>;
}

/** Servers that share a store take each other's nonces. */
function noncesOf(parts: Parts): Nonces {
  const key = sharedKey(parts, NONCES);
  return key === null ? new Nonces(parts.random) : new Nonces(parts.random, key);
}

/** Derived from the server's key, which all of them have; null for a server alone. */
function sharedKey({ keys, shared }: Pick<Parts, "keys" | "shared">, purpose: string): Uint8Array | null {
  return shared === null ? null : hmacSha256(keys.serverPkcs8, encodeUtf8(purpose));
}

function createSearches(parts: Pick<Core, "ledger"> & Pick<Parts, "index" | "shared">) {
  const { index, shared, ledger } = parts;
  const newest: Pick<Parts["index"], "findOutcome"> = {
    findOutcome: async (intent) => {
      await shared?.log.refresh();
      return index.findOutcome(intent);
    },
  };
  return {
    outcomes: new Outcomes({ ledger, index: newest }),
    events: new LedgerQueries(parts),
    indexedSize: () => index.size,
  } satisfies Partial<Services>;
}

function createScrape({ meter, index, clock, shared }: Parts): Scrape {
  return new Scrape({
    figures: meter.figures,
    indexed: () => index.size,
    notices: shared?.notices,
    version: SERVER_VERSION,
    startedAt: Math.floor(clock.nowMs() / MS_PER_SECOND),
  });
}

function createFederation(
  { parts, ledger, identity }: Core,
  { feed, ownBundle }: { readonly feed: Services["feed"]; readonly ownBundle: () => TrustBundle },
): Federation {
  const { clock, random, store, log, highWater } = parts;
  return new Federation({
    ownBundle,
    reads: store.reads,
    commands: store.commands,
    fetch: fetchBundle,
    announce: async (committed, trustDomain) => {
      await ledger.settle(committed);
      await Promise.all([
        feed.publish([{ kind: "federation", id: trustDomain }], committed.epoch),
        highWater.raise({ epoch: committed.epoch }),
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
