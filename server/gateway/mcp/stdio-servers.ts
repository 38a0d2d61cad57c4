/**
 * Which process answers whom: in the stateless era one for each agent instance and upstream, in the older one for each
 * session. No process ever serves two agents, so none can mix them up (F23).
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { RpcId, RpcMessage } from "@trustwarden/core/gateway/mcp/json-rpc.ts";
import type { LaunchManifest } from "@trustwarden/core/gateway/mcp/launch-manifest.ts";
import type { Exchange, Incoming, McpLink, Outgoing } from "./link.ts";
import { MessageQueue } from "./message-queue.ts";
import { Slots } from "./slots.ts";
import { type LaunchOrder, StdioProcess } from "./stdio-process.ts";

/** Each is a process of this machine. */
const MAX_PROCESSES = 256;
/** More servers and sessions at once than an agent talks to. */
const MAX_OF_INSTANCE = 16;
/** After a process that died, the next one waits; doubled each time, up to a minute. */
const FIRST_BACKOFF_MS = 250;
const MAX_BACKOFF_MS = 60_000;
const IDLE_MS = 600_000;

/** Who is answered by a process. */
export interface StdioCaller {
  readonly upstream: string;
  readonly instanceId: string;
  readonly ownerId: string;
  readonly manifest: LaunchManifest;
}

interface Running {
  readonly caller: StdioCaller;
  readonly process: StdioProcess;
  /** Of requests that wait, by our id. */
  readonly waiting: Map<RpcId, MessageQueue>;
  readonly streams: Set<MessageQueue>;
  usedMs: number;
}

interface Failures {
  readonly count: number;
  readonly untilMs: number;
}

/** Owns every process of stdio servers. */
export class StdioServers {
  readonly #never: readonly string[];
  readonly #monoMs: () => number;
  readonly #nextId: () => string;
  readonly #running = new Map<string, Running>();
  /** Of one agent with one upstream: who crashes its own process holds up nobody else. */
  readonly #failures = new Map<string, Failures>();
  readonly #slots = new Slots({ total: MAX_PROCESSES, perInstance: MAX_OF_INSTANCE });

  constructor(options: {
    readonly monoMs: () => number;
    readonly nextId: () => string;
    /** As `LaunchOrder.never`. */
    readonly never: readonly string[];
  }) {
    this.#never = options.never;
    this.#monoMs = options.monoMs;
    this.#nextId = options.nextId;
  }

  get size(): number {
    return this.#running.size;
  }

  /** The way to the processes of one agent. */
  linkFor(caller: StdioCaller, signal: AbortSignal): McpLink {
    return {
      post: async (outgoing) => this.#post(caller, outgoing, signal),
      listen: async ({ sessionId }) => this.#listen(this.#find(caller, sessionId), signal),
      end: async ({ sessionId }) => this.#find(caller, sessionId).process.kill(),
    };
  }

  /** Ends what the rule does not keep: an upstream that is gone, an instance that is dead. */
  end(isKept: (caller: StdioCaller) => boolean): void {
    const now = this.#monoMs();
    for (const { caller, process, usedMs, waiting } of this.#running.values()) {
      const isIdle = waiting.size === 0 && now - usedMs > IDLE_MS;
      if (isIdle || !isKept(caller)) process.kill();
    }
    for (const [key, { untilMs }] of this.#failures) {
      if (now - untilMs > MAX_BACKOFF_MS) this.#failures.delete(key);
    }
  }

  async #post(caller: StdioCaller, outgoing: Outgoing, signal: AbortSignal): Promise<Exchange> {
    const { message, era } = outgoing;
    const isFirst = message.kind === "request" && message.method === "initialize";
    const sessionId = isFirst ? this.#nextId() : outgoing.sessionId;
    const running =
      isFirst || (era === "modern" && !this.#running.has(keyOf(caller, null)))
        ? this.#start(caller, isFirst ? sessionId : null)
        : this.#find(caller, era === "modern" ? null : sessionId);
    running.usedMs = this.#monoMs();
    if (message.kind !== "request") {
      running.process.send(message);
      return { status: 202, sessionId: null, isStream: false, incoming: none() };
    }
    const queue = new MessageQueue(signal);
    running.waiting.set(message.id, queue);
    running.process.send(message);
    return exchangeOf(running, { id: message.id, queue, sessionId: isFirst ? sessionId : null });
  }

  #listen(running: Running, signal: AbortSignal): Exchange {
    const queue = new MessageQueue(signal);
    running.streams.add(queue);
    const incoming = untilEnd(queue, () => running.streams.delete(queue));
    return { status: 200, sessionId: null, isStream: true, incoming };
  }

  #find(caller: StdioCaller, sessionId: string | null): Running {
    const found = this.#running.get(keyOf(caller, sessionId));
    if (found === undefined) throw new TrustWardenError("mcp_session_unknown");
    return found;
  }

  #start(caller: StdioCaller, sessionId: string | null): Running {
    const key = keyOf(caller, sessionId);
    const failures = this.#failures.get(keyOf(caller, null));
    if (failures !== undefined && this.#monoMs() < failures.untilMs)
      throw new TrustWardenError("mcp_launch_refused", {
        reason: "it ended too often",
        count: failures.count,
      });
    const giveBack = this.#slots.take(caller);
    const startedMs = this.#monoMs();
    const waiting = new Map<RpcId, MessageQueue>();
    const streams = new Set<MessageQueue>();
    const process = launchOr(
      giveBack,
      { manifest: caller.manifest, never: this.#never },
      {
        message: (message) => deliver({ waiting, streams }, message),
        end: () => {
          giveBack();
          this.#running.delete(key);
          this.#noteEnd(
            keyOf(caller, null),
            waiting.size > 0 || this.#monoMs() - startedMs < FIRST_BACKOFF_MS,
          );
          for (const queue of [...waiting.values(), ...streams]) queue.fail();
        },
      },
    );
    const running = { caller, process, waiting, streams, usedMs: startedMs };
    this.#running.set(key, running);
    return running;
  }

  #noteEnd(key: string, isFailure: boolean): void {
    if (!isFailure) return void this.#failures.delete(key);
    const count = (this.#failures.get(key)?.count ?? 0) + 1;
    const backoffMs = Math.min(FIRST_BACKOFF_MS * 2 ** (count - 1), MAX_BACKOFF_MS);
    this.#failures.set(key, { count, untilMs: this.#monoMs() + backoffMs });
  }
}

/** A process that could not be started holds no slot. */
function launchOr(
  giveBack: () => void,
  order: LaunchOrder,
  on: ConstructorParameters<typeof StdioProcess>[1],
): StdioProcess {
  try {
    return new StdioProcess(order, on);
  } catch (error) {
    giveBack();
    throw error;
  }
}

function keyOf({ upstream, instanceId }: StdioCaller, sessionId: string | null): string {
  return `${upstream} ${instanceId} ${sessionId ?? ""}`;
}

/** To whom a message goes: an answer and progress to their request, the rest to the stream or the one that waits. */
function deliver({ waiting, streams }: Pick<Running, "waiting" | "streams">, message: RpcMessage): void {
  const id = idOf(message);
  const queue = id === undefined ? undefined : waiting.get(id);
  const isAnswer = message.kind === "result" || message.kind === "failure";
  const [stream] = streams;
  const [only] = waiting.values();
  const other = waiting.size === 1 ? only : stream;
  // An answer that nobody waits for is dropped.
  (isAnswer ? queue : (queue ?? other))?.push(message);
}

/** Our id of the request that a message belongs to. */
function idOf(message: RpcMessage): RpcId | undefined {
  if (message.kind === "result") return message.id;
  if (message.kind === "failure") return message.id ?? undefined;
  const { progressToken } = message.params;
  const isToken = typeof progressToken === "string" || typeof progressToken === "number";
  return message.kind === "notification" && isToken ? progressToken : undefined;
}

/** One message is an answer as it is; more are a stream. */
async function exchangeOf(
  { waiting, process }: Running,
  request: { readonly id: RpcId; readonly queue: MessageQueue; readonly sessionId: string | null },
): Promise<Exchange> {
  const { id, queue, sessionId } = request;
  const end = (): void => {
    if (!waiting.delete(id) || process.isEnded || queue.isAnswered) return;
    // Nobody waits any more: the server may stop (MCP, Cancellation).
    process.send({ kind: "notification", method: "notifications/cancelled", params: { requestId: id } });
  };
  try {
    const first = await queue.next();
    const isWhole = first.kind === "result" || first.kind === "failure";
    return { status: 200, sessionId, isStream: !isWhole, incoming: untilEnd(queue, end, first) };
  } catch (error) {
    end();
    throw error;
  }
}

async function* untilEnd(queue: MessageQueue, end: () => void, first?: RpcMessage): AsyncIterable<Incoming> {
  try {
    for (let message = first ?? (await queue.next()); ; message = await queue.next()) {
      yield { message, eventId: null, retryMs: null };
      if (first !== undefined && (message.kind === "result" || message.kind === "failure")) return;
    }
  } finally {
    end();
  }
}

async function* none(): AsyncIterable<Incoming> {
  // A notification has no answer.
}
