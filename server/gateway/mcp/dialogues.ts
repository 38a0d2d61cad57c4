/**
 * What is remembered between the requests of one agent to one upstream: sessions of the legacy era, calls that run, and
 * questions of the server that wait for an answer.
 *
 * Every id that crosses the gateway is rewritten: the session that a client holds is ours, and so is each request id on
 * either side. Two agents that count from 1 never meet, and a session id is worth nothing to another agent (F9, F23).
 */
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { RpcId } from "@trustwarden/core/gateway/mcp/json-rpc.ts";
import type { ClientFeature } from "@trustwarden/core/gateway/mcp/methods.ts";
import type { Random } from "@trustwarden/core/id.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { type SlotHolder, Slots } from "./slots.ts";

/** Sessions of one instance with one upstream; a client that opens more has lost count. */
const MAX_SESSIONS = 16;
/** Dialogues of one instance with all upstreams. */
const MAX_OF_INSTANCE = 1024;
const MAX_DIALOGUES = 65_536;
const MAX_OPEN = 1024;
const SESSION_BYTES = 24;
/** A session that was not used for this long is over. */
const IDLE_MS = 3_600_000;
const SWEEP_MS = 1000;

/** A question of the server, as it is known upstream. */
export interface Question {
  readonly id: RpcId;
  readonly feature: ClientFeature;
}

/** One agent's talk with one upstream: in one session, or without any. */
export interface Dialogue {
  readonly upstream: string;
  readonly instanceId: string;
  /** What the client calls it; null without a session. */
  readonly sessionId: string | null;
  /** What the upstream calls it. */
  readonly upstreamSessionId: string | null;
  /** Protocol version that `initialize` settled. */
  readonly version: string | null;
  /** What the client said in `initialize`, where the endpoint answered it itself. */
  readonly hello: JsonObject | null;
  /** The talks with its members, by name, of a client with an endpoint that stands for several. */
  readonly members: Map<string, Promise<Dialogue>>;
  /** Streams of the client on which a member may speak, called with each one that is talked with from now on. */
  readonly listeners: Set<(member: string, talk: Dialogue) => Promise<void>>;
  /** Ids of the client's running requests, with ours. */
  readonly running: Map<RpcId, string>;
  /** Our ids of the server's questions. */
  readonly asked: Map<string, Question>;
  usedMs: number;
}

/** Owns every dialogue of the gateway. */
export class Dialogues {
  readonly #random: Random;
  readonly #monoMs: () => number;
  readonly #known = new Map<string, { readonly dialogue: Dialogue; readonly giveBack: () => void }>();
  readonly #slots = new Slots({ total: MAX_DIALOGUES, perInstance: MAX_OF_INSTANCE });
  #sweptMs = Number.NEGATIVE_INFINITY;

  constructor(options: { readonly random: Random; readonly monoMs: () => number }) {
    this.#random = options.random;
    this.#monoMs = options.monoMs;
  }

  get size(): number {
    return this.#known.size;
  }

  /**
   * The dialogue of a request.
   *
   * @throws TrustWardenError `mcp_session_unknown` for a session that is over, never was, or is another agent's;
   *   `mcp_slots_exhausted`.
   */
  find(upstream: string, holder: SlotHolder, sessionId: string | undefined): Dialogue {
    const { instanceId } = holder;
    const known = this.#known.get(keyOf(upstream, instanceId, sessionId ?? null));
    if (known !== undefined) {
      known.dialogue.usedMs = this.#monoMs();
      return known.dialogue;
    }
    if (sessionId !== undefined) throw new TrustWardenError("mcp_session_unknown");
    const facts = { upstream, instanceId, sessionId: null, upstreamSessionId: null, version: null };
    return this.#keep(createDialogue(facts), holder);
  }

  /** Opens a session for what the upstream assigned. @throws TrustWardenError `mcp_slots_exhausted`. */
  open(
    { upstream, holder }: { readonly upstream: string; readonly holder: SlotHolder },
    assigned: { readonly sessionId: string | null; readonly version: string; readonly hello?: JsonObject },
  ): Dialogue {
    const { instanceId } = holder;
    const own = [...this.#known.values()].filter(
      ({ dialogue }) =>
        dialogue.upstream === upstream && dialogue.instanceId === instanceId && dialogue.sessionId !== null,
    );
    if (own.length >= MAX_SESSIONS)
      throw new TrustWardenError("mcp_slots_exhausted", { of: "session", limit: MAX_SESSIONS });
    return this.#keep(
      createDialogue({
        upstream,
        instanceId,
        sessionId: encodeBase64url(this.#random(SESSION_BYTES)),
        upstreamSessionId: assigned.sessionId,
        version: assigned.version,
        hello: assigned.hello ?? null,
      }),
      holder,
    );
  }

  close({ upstream, instanceId, sessionId }: Dialogue): void {
    this.#forget(keyOf(upstream, instanceId, sessionId));
  }

  /** Whether the last sweep was some time ago; a dead instance is refused long before it is swept. */
  isSweepDue(): boolean {
    const isDue = this.#monoMs() - this.#sweptMs >= SWEEP_MS;
    if (isDue) this.#sweptMs = this.#monoMs();
    return isDue;
  }

  /** Ends what is idle, and what belongs to instances that are dead. */
  sweep(isAlive: (instanceId: string) => boolean): void {
    const now = this.#monoMs();
    for (const [key, { dialogue }] of this.#known) {
      if (now - dialogue.usedMs > IDLE_MS || !isAlive(dialogue.instanceId)) this.#forget(key);
    }
  }

  /** Takes note of a running request. Of two with one id, only the first can be cancelled by it. */
  begin(dialogue: Dialogue, clientId: RpcId, ownId: string): void {
    if (dialogue.running.has(clientId)) return;
    if (dialogue.running.size >= MAX_OPEN) throw new TrustWardenError("quota_exceeded", { limit: MAX_OPEN });
    dialogue.running.set(clientId, ownId);
  }

  /** Our id for a question of the server. */
  ask(dialogue: Dialogue, question: Question): string {
    if (dialogue.asked.size >= MAX_OPEN) throw new TrustWardenError("quota_exceeded", { limit: MAX_OPEN });
    const id = encodeBase64url(this.#random(SESSION_BYTES));
    dialogue.asked.set(id, question);
    return id;
  }

  #keep(dialogue: Dialogue, holder: SlotHolder): Dialogue {
    const giveBack = this.#slots.take(holder);
    dialogue.usedMs = this.#monoMs();
    const key = keyOf(dialogue.upstream, dialogue.instanceId, dialogue.sessionId);
    this.#known.set(key, { dialogue, giveBack });
    return dialogue;
  }

  #forget(key: string): void {
    this.#known.get(key)?.giveBack();
    this.#known.delete(key);
  }
}

/** A dialogue in which nothing was said yet. */
export function createDialogue(
  facts: Pick<Dialogue, "upstream" | "instanceId" | "sessionId" | "upstreamSessionId" | "version"> &
    Partial<Pick<Dialogue, "hello">>,
): Dialogue {
  return {
    hello: null,
    ...facts,
    members: new Map(),
    listeners: new Set(),
    running: new Map(),
    asked: new Map(),
    usedMs: 0,
  };
}

/** The instance is part of the key: another agent's session is not found, whatever it presents. */
function keyOf(upstream: string, instanceId: string, sessionId: string | null): string {
  return `${upstream} ${instanceId} ${sessionId ?? ""}`;
}
