/**
 * How much of everybody's one person reads alone in a day. What takes two admins as one file takes them page by page too.
 *
 * Lists of everybody's count by the lines that are delivered. What is found by the name of an agent or a job counts apart, and ten
 * times as much of it is free, so that no list that somebody scrolled through stands before the agent that has to be looked at. A single event, a single
 * agent, and what an owner sees of its own are not counted: their ids are in the lists.
 *
 * @see docs/decisions/0107
 */
import { agentQuery, eventQuery } from "@trustwarden/core/api/ledger.ts";
import { treeQuery } from "@trustwarden/core/api/tree.ts";
import { formatPrincipal } from "@trustwarden/core/principal.ts";
import { ownerLimitOf } from "../http/relation.ts";
import { formatRoute, type Question, type Route } from "../http/route.ts";
import type { Services } from "../http/services.ts";
import type { ReadKind } from "../store/reading-ports.ts";

/** More of what one agent or job shows, for each line of everybody's. */
const NAMED_SHARE = 10;
/** Entries of a bundle of the log. */
const TILE_LINES = 256;
/** Changes that a replay lists at most (`server/http/acts/policy-replay.ts`). */
const REPLAY_LINES = 1000;
/** Of a file about an agent or a job: as much as a long page. */
const FILE_LINES = 500;
/** What names one agent, and not an owner or a trust domain. */
const AGENT = /^(?:agt_|inst-|spiffe:\/\/[^/]+\/).+/;
const NAME_LENGTH = 3;

/** What a row reads. */
interface ReadRow {
  kind(question: Question): ReadKind;
  /** Lines that it delivers: a number that is known before, or the member of the answer that has them. */
  readonly lines: number | string;
}

const everybody = (lines: ReadRow["lines"]): ReadRow => ({ kind: () => "everybody", lines });

const READ_ROWS: Readonly<Record<string, ReadRow>> = {
  "GET /v1/events": { kind: kindOfSearch, lines: "events" },
  // Of everybody's it takes two admins however small it is (`confirmed-rows.ts`).
  "GET /v1/evidence": { kind: () => "named", lines: FILE_LINES },
  "GET /v1/agents": { kind: kindOfAgents, lines: "agents" },
  "GET /v1/owners": everybody("owners"),
  "GET /v1/tree": { kind: kindOfTree, lines: "rows" },
  "GET /v1/entries": everybody("entries"),
  "GET /v1/ledger/tail": everybody("events"),
  "GET /ledger/tile/entries/*": everybody(TILE_LINES),
  "GET /ledger/shard/:shard/tile/entries/*": everybody(TILE_LINES),
  "POST /v1/policy/replays": everybody(REPLAY_LINES),
};

/** Names of the rows that are counted. */
export const COUNTED_ROWS: readonly string[] = Object.keys(READ_ROWS);

/** How a row counts; undefined for one that does not. */
export function readRowOf(route: Route): ReadRow | undefined {
  return READ_ROWS[formatRoute(route)];
}

/** Whether what a caller reads is counted: people who see everybody's, and the host's operator where nobody acts alone. */
export function isCounted(
  { people }: Pick<Services, "people">,
  { caller: { principal } }: Question,
): boolean {
  if (principal.kind === "person") return ownerLimitOf(principal) === undefined;
  return principal.kind === "operator" && people.isSocketConfirmed;
}

/** Whether a caller has read so much of this today that more of it waits for a second admin. */
export function isBeyondAllowance(
  services: Pick<Services, "people" | "reads" | "clock">,
  route: Route,
  question: Question,
): boolean {
  const row = readRowOf(route);
  if (row === undefined || !isCounted(services, question)) return false;
  const kind = row.kind(question);
  const principal = formatPrincipal(question.caller.principal);
  const read = services.reads.readingOf(principal, services.clock.trustedSeconds())[kind];
  return read >= allowanceOf(services, kind);
}

/** Lines of a day. */
export function allowanceOf({ people }: Pick<Services, "people">, kind: ReadKind): number {
  return kind === "everybody" ? people.linesPerDay : people.linesPerDay * NAMED_SHARE;
}

/** Lines of an answer, in the member that has them. */
export function countLines(answer: unknown, member: string): number {
  const lines: unknown = typeof answer === "object" && answer !== null ? Reflect.get(answer, member) : null;
  if (!Array.isArray(lines)) throw new Error(`an answer with ${member} has lines`);
  return lines.length;
}

/** By the name of an agent or a job, with whatever else; by an owner or a kind alone, under whichever term, it is everybody's. */
function kindOfSearch({ query }: Question): ReadKind {
  const { agent, actor, subtree, job } = eventQuery.parse(query);
  const isNamed =
    job !== undefined || [agent, actor, subtree].some((name) => name !== undefined && AGENT.test(name));
  return isNamed ? "named" : "everybody";
}

function kindOfAgents({ query }: Question): ReadKind {
  return isName(agentQuery.parse(query).name) ? "named" : "everybody";
}

/** Whoever looks for an agent by its name, or below one, looks at that one. */
function kindOfTree({ query }: Question): ReadKind {
  const { prefix, under } = treeQuery.parse(query);
  return isName(prefix) || (under !== undefined && AGENT.test(under)) ? "named" : "everybody";
}

/** A letter or two go through all agents by the alphabet. */
function isName(text: string | undefined): boolean {
  return text !== undefined && text.length >= NAME_LENGTH;
}
