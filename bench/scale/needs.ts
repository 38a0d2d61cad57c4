/**
 * What a number of agents needs, by arithmetic on measured figures.
 *
 * A deployment is one trust domain with one state database, one ledger sequencer and as many servers as decide for it. All of its
 * groups of commands change one row of its database and all of its entries have one sequencer, so servers are added to a
 * deployment for decisions and leases, and deployments for everything else (`docs/decisions/0053`).
 */
import type { Assumptions, Constants } from "./constants.ts";

const SECONDS_A_DAY = 86_400;
const DAYS_A_YEAR = 365;
/** Any server may die. */
const FEWEST_SERVERS = 2;

/** Of all agents together, unless it says of one deployment. */
export interface Needs {
  readonly renewalsPerSecond: number;
  readonly callsPerSecond: number;
  readonly entriesPerSecond: number;
  /** The most that one deployment's issuing and its sequencer take. */
  readonly agentsPerDeployment: number;
  /** Which of the two ends it. */
  readonly limit: "issuing" | "sequencer";
  /** Also the number of databases, of sequencers and of ledgers. */
  readonly deployments: number;
  readonly deploymentsPerRegion: number;
  /** Of one deployment. */
  readonly serversEach: number;
  readonly servers: number;
  /** Of one deployment. */
  readonly verifiersEach: number;
  /** Of one deployment; 0 when its servers keep all leases. */
  readonly relaysEach: number;
  readonly relays: number;
  readonly ledgerBytesAYear: number;
  /** Of it, what renewals leave. */
  readonly renewalBytesAYear: number;
  readonly indexBytesAYear: number;
  readonly stateBytes: number;
  /** Of the servers, for live instances. */
  readonly serverResidentBytes: number;
  /** Of the agents' own processes. */
  readonly agentResidentBytes: number;
}

/** @throws Error when a figure is not above zero: the result would mean nothing. */
export function computeNeeds(constants: Constants, assumed: Assumptions): Needs {
  for (const [name, value] of [...Object.entries(constants), ...Object.entries(assumed)])
    if (!(value > 0)) throw new Error(`${name} has to be above zero`);
  const { agents, used } = assumed;
  const renewalsEach = 1 / assumed.renewalEverySeconds;
  const callsEach = assumed.callsPerAgentADay / SECONDS_A_DAY;
  const entriesEach = renewalsEach * constants.entriesPerRenewal + callsEach * constants.entriesPerCall;
  const byIssuing = Math.floor((constants.renewalsPerSecond * used) / renewalsEach);
  const bySequencer = Math.floor((constants.entriesPerSecond * used) / entriesEach);
  const agentsPerDeployment = Math.max(1, Math.min(byIssuing, bySequencer, agents));
  const deployments = Math.ceil(agents / agentsPerDeployment);
  const verifiersEach = Math.ceil(agentsPerDeployment / assumed.agentsPerVerifier);
  const forCalls = Math.ceil((agentsPerDeployment * callsEach) / (constants.callsPerSecond * used));
  const serversEach = Math.max(FEWEST_SERVERS, forCalls);
  const relaysEach = countRelays(verifiersEach, { leases: constants.leasesPerServer, servers: serversEach });
  const aYear = (perSecond: number) => perSecond * SECONDS_A_DAY * DAYS_A_YEAR * agents;
  const renewalBytesAYear = aYear(renewalsEach * constants.bytesPerRenewal);
  return {
    renewalsPerSecond: agents * renewalsEach,
    callsPerSecond: agents * callsEach,
    entriesPerSecond: agents * entriesEach,
    agentsPerDeployment,
    limit: byIssuing <= bySequencer ? "issuing" : "sequencer",
    deployments,
    deploymentsPerRegion: Math.ceil(deployments / assumed.regions),
    serversEach,
    servers: deployments * serversEach,
    verifiersEach,
    relaysEach,
    relays: deployments * relaysEach,
    ledgerBytesAYear: renewalBytesAYear + aYear(callsEach * constants.bytesPerCall),
    renewalBytesAYear,
    indexBytesAYear: aYear((renewalsEach + callsEach) * constants.indexBytesPerEvent),
    stateBytes: agents * constants.stateBytesPerAgent,
    serverResidentBytes: agents * constants.residentBytesPerInstance,
    agentResidentBytes: agents * constants.residentBytesPerAgent,
  };
}

/** Relays of all levels between some servers and their verifiers, each with as many leases as a server. */
export function countRelays(
  verifiers: number,
  { leases, servers }: { readonly leases: number; readonly servers: number },
): number {
  return levelsBelow(verifiers, { leases, servers }).reduce((sum, relays) => sum + relays, 0);
}

/** Relays of each level, those beside the verifiers first. @throws Error when a relay has no more than one lease. */
export function levelsBelow(
  verifiers: number,
  { leases, servers }: { readonly leases: number; readonly servers: number },
): readonly number[] {
  if (leases < 2) throw new Error("a relay with one lease makes nothing wider");
  const levels: number[] = [];
  for (let below = verifiers; below > leases * servers; ) {
    below = Math.ceil(below / leases);
    levels.push(below);
  }
  return levels;
}
