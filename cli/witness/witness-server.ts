/**
 * The HTTP side of a witness. Plain HTTP: what it cosigns is signed. That its answer is the newest one is not, so for logs
 * beyond this machine a TLS proxy stands before it.
 *
 * @see C2SP tlog-witness
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { MAX_SUBMISSION_BYTES } from "@trustwarden/core/agentledger/add-checkpoint.ts";
import {
  ADD_SHARD,
  decideAnnouncement,
  endedOrigin,
  parseAnnouncement,
} from "@trustwarden/core/agentledger/add-shard.ts";
import {
  decideSubmission,
  readSubmission,
  type WitnessAnswer,
  type WitnessedLog,
} from "@trustwarden/core/agentledger/witness.ts";
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { WitnessDirectory } from "./witness-directory.ts";
import { WitnessedLogs } from "./witnessed-logs.ts";

const CHECKPOINT = /^\/([0-9a-f]{64})\/checkpoint$/;
/** A log sends a few kilobytes at once; whoever is slower holds a connection. */
const REQUEST_TIMEOUT_MS = 10_000;
const MAX_CONNECTIONS = 256;
const MS_PER_SECOND = 1000;
const PLAIN = "text/plain; charset=utf-8";

export interface WitnessOptions {
  readonly directory: WitnessDirectory;
  /** Those that it was told of, by origin; their shards are found by the same keys. */
  readonly logs: ReadonlyMap<string, WitnessedLog>;
  /** Unix seconds. */
  readonly now: () => number;
  /** Told of every submission: ids and numbers only. */
  readonly onEvent: (event: Readonly<Record<string, string | number>>) => void;
}

/** A server that does not listen yet. */
export function createWitnessServer(options: WitnessOptions): Server {
  const { directory, now } = options;
  const logs = new WitnessedLogs({
    told: options.logs,
    store: directory.store,
    nowMs: () => now() * MS_PER_SECOND,
  });
  const server = createServer(
    { requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS },
    (request, response) => {
      answerRequest(request, { ...options, logs }).then(
        (answer) => send(response, answer),
        (error: unknown) => {
          options.onEvent({ failed: error instanceof Error ? error.message : String(error) });
          send(response, { status: 500, contentType: PLAIN, body: "failed; nothing was signed\n" });
        },
      );
    },
  );
  server.maxConnections = MAX_CONNECTIONS;
  return server;
}

interface Known extends Omit<WitnessOptions, "logs"> {
  readonly logs: WitnessedLogs;
}

interface Answer {
  readonly status: WitnessAnswer["status"] | 405 | 413 | 500;
  readonly contentType: string;
  readonly body: string;
}

async function answerRequest(request: IncomingMessage, options: Known): Promise<Answer> {
  const { method, url = "" } = request;
  const hash = CHECKPOINT.exec(url)?.[1];
  if (hash !== undefined && (method === "GET" || method === "HEAD")) {
    const origin = options.logs.originOf(hash);
    const note = origin === undefined ? null : options.directory.store.read(origin);
    return note === null ? refuse(404, "no checkpoint") : { status: 200, contentType: PLAIN, body: note };
  }
  const add = ADDITIONS.get(url);
  if (add === undefined) return refuse(404, "not here");
  if (method !== "POST") return refuse(405, "POST is meant");
  const body = await readBody(request);
  return body === null ? refuse(413, "too large") : addText(body, (text) => add(text, options));
}

function addText(bytes: Uint8Array, add: (text: string) => Answer): Answer {
  try {
    return add(parseUtf8(bytes));
  } catch (error) {
    // Safe to go on: this is the refusal.
    if (!(error instanceof TrustWardenError)) throw error;
    return refuse(400, "malformed");
  }
}

/** The end of a log, and the key of the shard that follows. */
function addShard(body: string, { directory, logs, now, onEvent }: Known): Answer {
  const announcement = parseAnnouncement(body);
  const origin = endedOrigin(announcement);
  const log = logs.get(origin);
  const { answer } = directory.store.end(origin, (remembered) => {
    const step = decideAnnouncement(announcement, { log, remembered, nowMs: now() * MS_PER_SECOND });
    // Before anything is remembered of it: what it later convicts somebody with is then there.
    if (step.next !== null) directory.keepEnd(origin, body);
    return step;
  });
  const event = { status: answer.status };
  onEvent(answer.status === 200 ? { ...event, ended: origin, next: announcement.vkey } : event);
  return answer;
}

function addCheckpoint(body: string, { directory, logs, now, onEvent }: Known): Answer {
  const submission = readSubmission(body, logs);
  if ("status" in submission) {
    onEvent({ status: submission.status });
    return submission;
  }
  const { head } = submission;
  const step = directory.store.update(head.origin, (remembered, hasEnded) =>
    decideSubmission(submission, { remembered, hasEnded, witness: directory.signer, now: now() }),
  );
  const kept =
    step.kind === "refused" && step.contradiction !== null
      ? directory.keepContradiction(step.contradiction)
      : null;
  const event = { status: step.answer.status, origin: head.origin, size: head.size };
  onEvent(kept === null ? event : { ...event, evidence: kept });
  return step.answer;
}

const ADDITIONS: ReadonlyMap<string, (body: string, options: Known) => Answer> = new Map([
  ["/add-checkpoint", addCheckpoint],
  [ADD_SHARD, addShard],
]);

/** Null for a body beyond the limit. */
async function readBody(request: IncomingMessage): Promise<Uint8Array | null> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of request) {
    const bytes = Buffer.from(part);
    size += bytes.length;
    if (size > MAX_SUBMISSION_BYTES) return null;
    parts.push(bytes);
  }
  return Buffer.concat(parts);
}

function refuse(status: Answer["status"], reason: string): Answer {
  return { status, contentType: PLAIN, body: `${reason}\n` };
}

function send(response: ServerResponse, { status, contentType, body }: Answer): void {
  // A body that was not read to its end cannot be followed by another request.
  const connection = status === 413 ? { connection: "close" } : {};
  response.writeHead(status, { "content-type": contentType, "cache-control": "no-store", ...connection });
  response.end(body);
}
