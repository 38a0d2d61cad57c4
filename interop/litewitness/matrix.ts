/**
 * Everything that a log may do to a witness and must not (checklist 22 to 30), sent to a real `litewitness` by our own
 * tlog-witness client: what is cosigned verifies, and each refusal is read as what it is.
 */
import { issueCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import { createTestLogSigner, startTestLog } from "@trustwarden/core/agentledger/ledger.test.support.ts";
import { MemoryLogStorage } from "@trustwarden/core/agentledger/memory-log-storage.ts";
import type { Sequencer } from "@trustwarden/core/agentledger/sequencer.ts";
import { shardOrigin, vkeyFor } from "@trustwarden/core/agentledger/shard.ts";
import { parseTlogPolicy } from "@trustwarden/core/agentledger/tlog-policy.ts";
import { TreeReader } from "@trustwarden/core/agentledger/tree-reader.ts";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { WitnessFollower } from "../../server/witnessing/follower.ts";
import {
  createWitnessClient,
  requireOwnLine,
  type WitnessClient,
} from "../../server/witnessing/witness-client.ts";
import { absentFrom } from "../../server/witnessing/would-follow.ts";
import type { Verdict } from "../judge.ts";
import type { Litewitness } from "./witness.ts";

const ORIGIN = "log.matrix.test";
/** Sizes that the log grows through: on both sides of powers of two and of tiles. */
const SIZES = [1, 2, 3, 7, 8, 64, 255, 256, 257, 600] as const;
/** The last of them, and the largest that there is to grow to. */
const GROWN = 600;
const LARGEST = 1000;
const FORK = 300;
const TIMEOUT_MS = 10_000;

/** A log in memory, and what it would sign at each of its sizes. */
interface MatrixLog {
  readonly log: Sequencer;
  readonly tree: TreeReader;
}

/** What must come of a submission: a cosignature, the size that the witness knows, or a status. */
type Outcome = "cosigned" | { readonly behind: number } | { readonly status: number };

interface Attempt {
  readonly about: string;
  readonly outcome: Outcome;
  readonly oldSize: number;
  readonly proof: readonly Uint8Array[];
  readonly checkpoint: string;
}

/** Verdicts on every row of the matrix. */
export async function judgeMatrix(litewitness: Litewitness): Promise<readonly Verdict[]> {
  const sound = await createLog(LARGEST);
  const forked = await createLog(FORK);
  litewitness.follow(sound.log.vkey);
  const ended = new AbortController();
  const client = openClient(litewitness, ended.signal);
  const verdicts = [
    ...(await grow(client, sound)),
    ...(await hearAll(client, await refusals(sound, forked))),
    ...(await hearMalformed(litewitness)),
    ...(await race(client, sound)),
    await catchUp(client, sound),
    ...(await askOfShard(litewitness, client, sound)),
  ];
  ended.abort();
  return verdicts;
}

function openClient({ vkey, url }: Litewitness, ended: AbortSignal): WitnessClient {
  const [witness] = parseTlogPolicy(`witness lite ${vkey} ${url}\nquorum lite\n`).witnesses;
  if (witness === undefined) throw new Error("the policy has a witness");
  return createWitnessClient({ ...witness, url }, { timeoutMs: TIMEOUT_MS, ended });
}

/** @param fork - index from which its entries are others. */
async function createLog(fork: number): Promise<MatrixLog> {
  const storage = new MemoryLogStorage();
  const log = await startTestLog({ origin: ORIGIN, storage });
  const entries = Array.from({ length: LARGEST }, (_, index) => (index < fork ? `entry ${index}` : "other"));
  await log.append(entries.map(encodeUtf8));
  await log.waitForCheckpoint(LARGEST);
  return { log, tree: new TreeReader(storage, LARGEST) };
}

async function sign(
  { tree }: MatrixLog,
  size: number,
  { origin = ORIGIN, seed = 1 }: { readonly origin?: string; readonly seed?: number } = {},
): Promise<string> {
  return issueCheckpoint({ origin, size, root: await tree.readRoot(size) }, createTestLogSigner(seed));
}

async function prove({ tree }: MatrixLog, from: number, to: number): Promise<readonly Uint8Array[]> {
  return from === 0 || from === to ? [] : tree.readConsistencyProof(from, to);
}

/** Each size on the way, and the last one twice (22, 23). */
async function grow(client: WitnessClient, sound: MatrixLog): Promise<readonly Verdict[]> {
  const attempts: Attempt[] = [];
  let oldSize = 0;
  for (const size of [...SIZES, GROWN]) {
    attempts.push({
      about: `${oldSize} to ${size} (22, 23)`,
      outcome: "cosigned",
      oldSize,
      proof: await prove(sound, oldSize, size),
      checkpoint: await sign(sound, size),
    });
    oldSize = size;
  }
  return hearAll(client, attempts);
}

async function refusals(sound: MatrixLog, forked: MatrixLog): Promise<readonly Attempt[]> {
  const checkpoint = await sign(sound, 700);
  const right = await prove(sound, GROWN, 700);
  const [first = new Uint8Array(), ...rest] = right;
  const bent = [first.map((byte, at) => (at === 0 ? byte ^ 1 : byte)), ...rest];
  const stale = async (oldSize: number, about: string): Promise<Attempt> => ({
    about,
    outcome: { behind: GROWN },
    oldSize,
    proof: oldSize < 700 ? await prove(sound, oldSize, 700) : [],
    checkpoint,
  });
  const refuse = (about: string, status: number, more: Partial<Attempt>): Attempt => {
    return { about, outcome: { status }, oldSize: GROWN, proof: right, checkpoint, ...more };
  };
  return [
    await stale(256, "an older old size (24)"),
    await stale(0, "old size 0 (24)"),
    await stale(650, "an old size of a later tree (24)"),
    { ...(await stale(256, "a rollback to a tree that it saw (24)")), checkpoint: await sign(sound, 257) },
    refuse("the same size, another root (25)", 422, { proof: [], checkpoint: await sign(forked, GROWN) }),
    refuse("a forked history (26)", 422, {
      proof: await prove(forked, GROWN, 700),
      checkpoint: await sign(forked, 700),
    }),
    refuse("no proof (26)", 422, { proof: [] }),
    refuse("a bent proof (26)", 422, { proof: bent }),
    refuse("a proof too long (26)", 422, { proof: [...right, first] }),
    refuse("a proof from elsewhere (26)", 422, { proof: await prove(sound, 599, 700) }),
    refuse("a smaller tree (27)", 400, { proof: [], checkpoint: await sign(sound, 599) }),
    refuse("an old size beyond the checkpoint (27)", 400, { oldSize: 701, proof: [] }),
    refuse("an unknown origin (28)", 404, {
      oldSize: 0,
      proof: [],
      checkpoint: await sign(sound, 700, { origin: "log.other.test" }),
    }),
    refuse("another key (29)", 403, { checkpoint: await sign(sound, 700, { seed: 2 }) }),
    refuse("a signature of another size (29)", 403, { checkpoint: checkpoint.replace("\n700\n", "\n701\n") }),
  ];
}

async function hearAll(client: WitnessClient, attempts: readonly Attempt[]): Promise<readonly Verdict[]> {
  const verdicts: Verdict[] = [];
  for (const attempt of attempts) verdicts.push(await hear(client, attempt));
  return verdicts;
}

async function hear(client: WitnessClient, attempt: Attempt): Promise<Verdict> {
  const { about, outcome, oldSize, proof, checkpoint } = attempt;
  const answer = await client.submit({ oldSize, proof, checkpoint });
  // Throws unless its line is a cosignature of this checkpoint.
  if (answer.kind === "cosigned")
    requireOwnLine(client.witness, { note: checkpoint, answered: answer.lines });
  const expected = outcome === "cosigned" ? "accept" : "refuse";
  const isRight =
    outcome === "cosigned"
      ? answer.kind === "cosigned"
      : "behind" in outcome
        ? answer.kind === "behind" && answer.size === outcome.behind
        : answer.kind === "refused" && answer.status === outcome.status;
  return {
    name: about,
    expected,
    isAccepted: isRight === (expected === "accept"),
    said: JSON.stringify(answer),
  };
}

/** Bodies that are no submission at all; our client makes none of them. */
async function hearMalformed({ url }: Litewitness): Promise<readonly Verdict[]> {
  const verdicts: Verdict[] = [];
  for (const body of [
    "",
    "old\n\n",
    "old -1\n\nx\n",
    "old 600\nAAAA\n\nx\n",
    `old 0\n${"A\n".repeat(64)}\nx\n`,
  ]) {
    const { status } = await fetch(`${url}/add-checkpoint`, { method: "POST", body });
    const name = `malformed: ${JSON.stringify(body.slice(0, 20))}`;
    verdicts.push({ name, expected: "refuse", isAccepted: status !== 400, said: `status ${status}` });
  }
  return verdicts;
}

/** Two at once from one size: one wins, the other is told how far the witness is, and nothing rolls back (30). */
async function race(client: WitnessClient, sound: MatrixLog): Promise<readonly Verdict[]> {
  const submit = async (size: number) =>
    client.submit({
      oldSize: GROWN,
      proof: await prove(sound, GROWN, size),
      checkpoint: await sign(sound, size),
    });
  const [left, right] = await Promise.all([submit(800), submit(700)]);
  const winners = [left, right].filter(({ kind }) => kind === "cosigned");
  const winner = left.kind === "cosigned" ? 800 : 700;
  const losers = [left, right].filter((answer) => answer.kind === "behind" && answer.size === winner);
  const later = await submit(winner === 800 ? 700 : 800);
  const isToldLater = later.kind === "behind" && later.size === winner;
  const said = JSON.stringify([left, right, later]);
  return [
    { name: "two at once (30)", expected: "accept", isAccepted: winners.length === 1, said },
    { name: "the other of two at once (30)", expected: "refuse", isAccepted: losers.length !== 1, said },
    { name: "the other one again (30)", expected: "refuse", isAccepted: !isToldLater, said },
  ];
}

/** A client that knows nothing of the witness is told, proves from there, and is cosigned (24). */
async function catchUp(client: WitnessClient, { log }: MatrixLog): Promise<Verdict> {
  const note = log.checkpoint();
  const lines = await new WitnessFollower(client, log).cosign({ note, size: LARGEST }, 0);
  const name = "a client that catches up (24)";
  return { name, expected: "accept", isAccepted: lines !== null, said: lines ?? "nothing" };
}

/** What a server asks before it turns by the calendar: who was not told of the next shard says so, and who was cosigns its empty tree. */
async function askOfShard(
  litewitness: Litewitness,
  client: WitnessClient,
  sound: MatrixLog,
): Promise<readonly Verdict[]> {
  const origin = shardOrigin(ORIGIN, "2027q1");
  const note = await sign(sound, 0, { origin });
  const policy = parseTlogPolicy(`witness lite ${litewitness.vkey} ${litewitness.url}\nquorum lite\n`);
  const ask = () => absentFrom({ policy, clients: [client], note });
  const [untold] = await ask();
  litewitness.follow(vkeyFor(sound.log.vkey, origin));
  const [told] = [await ask(), await ask()].flat();
  const attempt = {
    about: "the first tree of the shard",
    outcome: "cosigned",
    oldSize: 0,
    proof: [],
  } as const;
  return [
    {
      name: "a shard to come, untold",
      expected: "refuse",
      isAccepted: untold === undefined,
      said: `${untold}`,
    },
    { name: "a shard to come, told", expected: "accept", isAccepted: told === undefined, said: `${told}` },
    await hear(client, { ...attempt, checkpoint: await sign(sound, 1, { origin }) }),
  ];
}
