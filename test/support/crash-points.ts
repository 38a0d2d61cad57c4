/**
 * Where a server can be killed: after every numbered step of the sequencer, and at each place between signing,
 * committing, recording and answering.
 *
 * A point is a line of the server's source, found by its text. A line that is gone or there twice is an error, so that
 * no point silently stops being tried.
 */

/** One place in the source of the server. */
export interface CrashPoint {
  readonly name: string;
  /** End of the file's path. */
  readonly file: string;
  readonly line: RegExp;
  readonly place: "before" | "after";
  /** Whether an ordinary start comes by. */
  readonly inStart?: boolean;
  /** Whether a turn has not begun there. */
  readonly hasNotTurned?: boolean;
}

/**
 * A server that keeps a promise less well, to show that a campaign would notice: the matching line is left out.
 */
export interface Weakening {
  readonly name: string;
  readonly file: string;
  readonly line: RegExp;
  /** Name of the crash point at which it shows. */
  readonly crashAt: string;
  /** What the campaign says then. */
  readonly found: RegExp;
}

const SEQUENCER = "core/agentledger/sequencer.ts";
const INTEGRATOR = "core/agentledger/integrator.ts";

/** In the order in which one command passes them. */
export const CRASH_POINTS: readonly CrashPoint[] = [
  {
    name: "signed, not committed",
    file: "server/store/writer-group.ts",
    line: /database\.exec\("COMMIT"\);/,
    place: "before",
    inStart: true,
  },
  {
    name: "committed, not answered by the writer",
    file: "server/store/writer-group.ts",
    line: /database\.exec\("COMMIT"\);/,
    place: "after",
    inStart: true,
  },
  {
    name: "issued, not in the ledger",
    file: "server/http/acts/identity.ts",
    line: /const appended = await services\.ledger\.settle\(committed\);/,
    place: "before",
  },
  {
    name: "revoked, not pushed",
    file: "server/http/acts/revocation.ts",
    line: /const committed = await services\.commands\.revoke\(/,
    place: "after",
  },
  { name: "step 1 under way: write-ahead log", file: SEQUENCER, line: /\/\/ 1$/, place: "after" },
  { name: "step 1 done: write-ahead log", file: SEQUENCER, line: /^\s*await durable;$/, place: "after" },
  { name: "step 2: acknowledged", file: SEQUENCER, line: /\/\/ 2$/, place: "after" },
  {
    name: "issued and recorded, not answered",
    file: "server/http/acts/identity.ts",
    line: /^ {2}const \{ depth, fanOut, budget \} = identity\.limits;$/,
    place: "before",
  },
  {
    name: "decided and recorded, not answered",
    file: "server/http/decision-ports.ts",
    line: /services\.decisions\.remember\(/,
    place: "before",
  },
  {
    name: "outcome recorded, not answered",
    file: "server/http/acts/outcomes.ts",
    line: /return \{ index, acknowledgement: acknowledge\(\) \};/,
    place: "before",
  },
  {
    name: "revocation complete, not answered",
    file: "server/http/acts/revocation.ts",
    line: /return \{ \.\.\.stopped, instances: committed\.value\.instances \};/,
    place: "before",
  },
  {
    name: "recorded, outbox marked",
    file: "server/ledger/ledger.ts",
    line: /await this\.#mark\(ids\);/,
    place: "after",
  },
  { name: "step 3: tiles", file: INTEGRATOR, line: /\/\/ 3$/, place: "after", inStart: true },
  { name: "step 4: state with the new tree", file: INTEGRATOR, line: /\/\/ 4$/, place: "after" },
  { name: "step 5: checkpoint signed", file: INTEGRATOR, line: /\/\/ 5$/, place: "after", inStart: true },
  { name: "step 6: state with the checkpoint", file: INTEGRATOR, line: /\/\/ 6$/, place: "after" },
  {
    name: "step 6: mark raised",
    file: INTEGRATOR,
    line: /await highWater\.raise\(\{ origin, tree: head \}\);/,
    place: "after",
  },
  { name: "step 7: published", file: INTEGRATOR, line: /\/\/ 7$/, place: "after", inStart: true },
  { name: "step 8: partial tiles removed", file: INTEGRATOR, line: /\/\/ 8$/, place: "after", inStart: true },
  { name: "step 8: write-ahead log trimmed", file: SEQUENCER, line: /\/\/ 8$/, place: "after" },
];

const KEEPER = "server/authority/keeper.ts";

/** Of each step of the authority; tried by `crash-rotation.test.ts`. */
export const AUTHORITY_POINTS: readonly CrashPoint[] = [
  {
    name: "authority: key made, step not committed",
    file: KEEPER,
    line: /const committed = await commands\.changeAuthority\(/,
    place: "before",
  },
  {
    name: "authority: step committed, nobody told",
    file: KEEPER,
    line: /const committed = await commands\.changeAuthority\(/,
    place: "after",
  },
  {
    name: "authority: everybody told, lists not written",
    file: KEEPER,
    line: /await announce\(committed, command\.step\);/,
    place: "after",
  },
];

const SHARDS = "core/agentledger/sharded-log.ts";

/** Of each step of a ledger's turn to its next shard; tried by `crash-turns.test.ts`. */
export const TURN_POINTS: readonly CrashPoint[] = [
  {
    name: "turn: its key is made, and nothing names it",
    file: "server/ledger/turns.ts",
    line: /^\s*const made = key === "new key" \? this\.#makeKey\(\) : undefined;$/,
    place: "after",
    hasNotTurned: true,
  },
  { name: "turn step 1: the end is durable", file: SHARDS, line: /\/\/ 1$/, place: "after" },
  { name: "turn step 2: the old shard is closed", file: SHARDS, line: /\/\/ 2$/, place: "after" },
  { name: "turn step 3: the next shard is open", file: SHARDS, line: /\/\/ 3$/, place: "after" },
  { name: "turn step 4: the beginning is durable", file: SHARDS, line: /\/\/ 4$/, place: "after" },
];

/** What a campaign must find out. */
export const WEAKENINGS: readonly Weakening[] = [
  {
    name: "the write-ahead log is not written",
    file: SEQUENCER,
    line: /^\s*await storage\.appendWal\(record\);$/,
    crashAt: "step 2: acknowledged",
    found: /as promised|no longer|audit/,
  },
  {
    name: "the outbox is marked, but not brought into the ledger",
    file: "server/ledger/outbox.ts",
    line: /^\s*await log\.append\(entries\);$/,
    crashAt: "issued, not in the ledger",
    found: /off the books/,
  },
  {
    name: "used intents are forgotten by a start",
    file: "server/ledger/tail.ts",
    line: /^\s*seen\.remember\(\{ intent: parseIntent\(payload\),.*\}\);$/,
    crashAt: "decided and recorded, not answered",
    found: /refused/,
  },
];

/** Source of a file with a statement at the point's place. @throws Error when the point is not there exactly once. */
export function insertAt(source: string, point: CrashPoint, statement: string): string {
  const lines = source.split("\n");
  const at = findOnce(lines, point);
  const end = point.place === "before" ? at : endOfStatement(lines, at) + 1;
  return [...lines.slice(0, end), statement, ...lines.slice(end)].join("\n");
}

/** Source of a file without the weakening's line. @throws Error when the line is not there exactly once. */
export function leaveOut(source: string, weakening: Weakening): string {
  const lines = source.split("\n");
  const at = findOnce(lines, weakening);
  return [...lines.slice(0, at), "", ...lines.slice(at + 1)].join("\n");
}

function findOnce(lines: readonly string[], { name, line }: Pick<CrashPoint, "name" | "line">): number {
  const found = lines.flatMap((text, index) => (line.test(text) ? [index] : []));
  const [at] = found;
  if (at === undefined || found.length > 1) throw new Error(`"${name}" is there ${found.length} times`);
  return at;
}

/** A statement that is wrapped by the formatter ends at the first line that closes it. */
function endOfStatement(lines: readonly string[], start: number): number {
  const closing = lines.findIndex((text, index) => index >= start && /[;{}]\s*(\/\/ \d)?$/.test(text));
  return closing === -1 ? start : closing;
}
