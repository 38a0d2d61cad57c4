/**
 * The writer: the one thread that changes the state store, and the one that holds the keys which sign what it issues.
 *
 * Takes commands by message; what waits is committed together, without a timer, and what stops something by itself and first
 * (`writer-queue.ts`). Functions do not cross threads, so this file is
 * for its thread what `build.ts` is for the other: randomness and signers are made here. Time comes with each command.
 */
import { randomBytes } from "node:crypto";
import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { createTakeKept } from "../authority/kept-keys.ts";
import { openSigningKey } from "../signer/signing-key.ts";
import { loadAuthority } from "./commands/change-authority.ts";
import { type CommandDeps, createCommandDeps } from "./commands/deps.ts";
import { openMirroredGroups } from "./postgres-state/mirrored-groups.ts";
import type { StateSettings } from "./postgres-state/protocol.ts";
import { pooledRandom } from "./random-pool.ts";
import type { CommitCount } from "./remembered-reads.ts";
import { openForWriting } from "./schema.ts";
import { type Groups, runGroup } from "./writer-group.ts";
import type { FromWriter, ToWriter, WriterData, WriterRequest } from "./writer-protocol.ts";
import { WriterQueue } from "./writer-queue.ts";

const port = requirePort();

/** What waits. Lives in this thread. */
const queue = new WriterQueue();
let isClosing = false;
let isFatal = false;

start(workerData);

function start(data: WriterData): void {
  const { keys, rules, commits } = data;
  try {
    const random = pooledRandom(randomBytes);
    const deps = createCommandDeps({
      keys,
      rules,
      random,
      openSigner: openSigningKey,
      takeKept: keys.kept === null ? null : createTakeKept(keys.kept, random),
    });
    const groups =
      data.remote === null ? openLocalGroups(data, deps) : openRemoteGroups(data, data.remote, deps);
    port.on("message", (message: ToWriter) => {
      enqueue(message);
      work(groups, commits);
    });
    send({ kind: "ready" });
  } catch (error) {
    const isOurs = error instanceof TrustWardenError;
    const details = isOurs ? error.details : { message: error instanceof Error ? error.message : "unknown" };
    send({ kind: "refused", code: isOurs ? error.code : "store_unavailable", details });
    port.close();
  }
}

function openLocalGroups({ dataDir, keys }: WriterData, deps: CommandDeps): Groups {
  const database = openForWriting(dataDir);
  loadAuthority(database, deps, keys.firstAuthority);
  return { run: (group) => runGroup(database, deps, group), close: () => database.close() };
}

function openRemoteGroups(
  { dataDir, keys, commits }: WriterData,
  settings: StateSettings,
  deps: CommandDeps,
): Groups {
  return openMirroredGroups({
    dataDir,
    settings,
    deps,
    firstAuthority: keys.firstAuthority,
    onNews: (news) => {
      // Whoever reads asks the file again: it may have changed without a command.
      Atomics.add(commits, 0, 1);
      send(news);
    },
    onFatal: (why) => {
      isFatal = true;
      send({ kind: "replies", replies: [], isFatal, why });
    },
  });
}

function enqueue(message: ToWriter): void {
  if (message.kind === "close") isClosing = true;
  else queue.push(message);
}

/** Works until nothing waits. Messages that arrive meanwhile join the next group. */
function work(groups: Groups, commits: CommitCount): void {
  receiveWaiting();
  while (!queue.isEmpty) {
    const group = queue.takeGroup();
    const replies = answer(groups, group);
    // Also after a failed commit, since nobody knows what it left; and first, so that an answer is never ahead of it.
    Atomics.add(commits, 0, 1);
    send(replies);
    receiveWaiting();
  }
  if (!isClosing) return;
  groups.close();
  port.close();
}

function answer(groups: Groups, group: readonly WriterRequest[]): FromWriter {
  if (isFatal) {
    const details = { reason: "a commit failed before" };
    const replies = group.map(
      ({ id }) => ({ id, isDone: false, code: "store_unavailable", details }) as const,
    );
    return { kind: "replies", replies, isFatal };
  }
  const { replies, isFatal: hasFailed, why } = groups.run(group);
  isFatal = hasFailed;
  return { kind: "replies", replies, isFatal, ...(why !== undefined && { why }) };
}

function receiveWaiting(): void {
  for (;;) {
    const received = receiveMessageOnPort(port);
    if (received === undefined) return;
    enqueue(received.message);
  }
}

function send(message: FromWriter): void {
  port.postMessage(message);
}

function requirePort(): NonNullable<typeof parentPort> {
  if (parentPort === null) throw new Error("the writer runs in a worker thread");
  return parentPort;
}
