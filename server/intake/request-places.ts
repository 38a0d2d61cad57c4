/**
 * A place for every request that costs something: asked for when its head has come, held from when all of it is here until it
 * is answered.
 *
 * Before anybody is proven a request belongs to whom its connection proved itself as earlier, or to whom its certificate was
 * issued, or else to its network;
 * once the caller is proven its place moves to that caller, within its owner. What is over an owner's share is refused
 * for the price of reading its head. Stopping, health and operators take no place and are never refused here.
 */
import type { Socket } from "node:net";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { Admission, RETRY_AFTER_SECONDS } from "./admission.ts";
import { LoopTurns } from "./loop-turns.ts";
import { networkOf } from "./network.ts";
import type { Pace } from "./pace.ts";

/** Whoever a request is of: the owner, and within it the agent; what has no owner stands for itself. */
export interface RequestFlow {
  readonly owner: string;
  readonly agent: string;
  /** As the ledger names it; absent while nobody is proven. */
  readonly principal?: string;
}

/** The place of one request. */
export interface Place {
  /** Holds the place from now on. @throws TrustWardenError `overloaded`. */
  take(): void;
  /** Resolves when the thread has time for it: owners in turns. Ask for it when the place is taken. */
  turn(): Promise<void>;
  /**
   * The request turned out to be of this caller, and counts as its from now on.
   *
   * @throws TrustWardenError `overloaded`; the place is given back then.
   */
  moveTo(flow: RequestFlow): void;
  /** Gives the place back; again is nothing. */
  leave(): void;
}

/** What takes no place gives none back. */
const NO_PLACE: Place = {
  take: () => undefined,
  turn: () => Promise.resolve(),
  moveTo: () => undefined,
  leave: () => undefined,
};

/** One request or call, by any protocol. */
export interface Arriving {
  readonly socket: Socket;
}

const placesOf = new WeakMap<Arriving, Place>();

/** The place that a request took; of one that took none, a place that is none. */
export function placeOf(request: Arriving): Place {
  return placesOf.get(request) ?? NO_PLACE;
}

/**
 * Hears of each request that was refused before anybody asked who its caller is. Of a place that has no room to move to
 * whoever authenticates hears, as of every other refusal.
 */
export type OnRefused = (error: TrustWardenError, socket: Socket) => void;

/** Owns the places of requests, and knows which connection is whose. */
export class RequestPlaces {
  readonly #pace: Pace;
  readonly #admission: Admission;
  readonly #onRefused: OnRefused;
  readonly #recognise: (socket: Socket) => RequestFlow | undefined;
  readonly #turns: LoopTurns;
  /** Whom a connection proved itself as, in an earlier request or in its handshake; null for a stranger so far. */
  readonly #proven = new WeakMap<Socket, RequestFlow | null>();

  /** @param recognise - whose a new connection is, as far as its handshake says; asked once for each. */
  constructor(
    pace: Pace,
    onRefused: OnRefused,
    recognise: (socket: Socket) => RequestFlow | undefined = () => undefined,
  ) {
    this.#pace = pace;
    this.#recognise = recognise;
    this.#turns = new LoopTurns({
      monoMs: () => performance.now(),
      onWaited: (waitedMs) => pace.noteWaited(waitedMs),
    });
    this.#onRefused = onRefused;
    this.#admission = new Admission(() => pace.limit);
  }

  /** Requests on their way. */
  get held(): number {
    return this.#admission.held;
  }

  /** Requests that may be on their way now. */
  get places(): number {
    return this.#pace.limit;
  }

  /** Notes whom a connection belongs to, so that its next request is counted at once. */
  know(socket: Socket, flow: RequestFlow): void {
    this.#proven.set(socket, flow);
  }

  /**
   * Asks whether there is room for a request whose head has come; nothing is held before `take`, or whoever sends its body
   * slowly would hold places for doing nothing.
   *
   * @throws TrustWardenError `overloaded`, with `principal` where it is known.
   */
  knock(request: Arriving): Place {
    const flow = this.#flowOf(request.socket);
    this.#admit(flow, request.socket)();
    let leave: (() => void) | undefined;
    const place: Place = {
      take: () => {
        leave ??= this.#admit(flow, request.socket);
      },
      turn: () => this.#turns.wait(flow.owner),
      moveTo: (next) => {
        if (next.owner === flow.owner && next.agent === flow.agent) return;
        leave?.();
        leave = this.#enter(next);
      },
      leave: () => leave?.(),
    };
    placesOf.set(request, place);
    return place;
  }

  /** Whose a refusal is, so that owners can have theirs in turns. */
  ownerOf(socket: Socket): string {
    return this.#flowOf(socket).owner;
  }

  #flowOf(socket: Socket): RequestFlow {
    let known = this.#proven.get(socket);
    if (known === undefined) {
      known = this.#recognise(socket) ?? null;
      this.#proven.set(socket, known);
    }
    return known ?? strangerAt(socket);
  }

  #admit(flow: RequestFlow, socket: Socket): () => void {
    try {
      return this.#enter(flow);
    } catch (error) {
      if (error instanceof TrustWardenError) this.#onRefused(error, socket);
      throw error;
    }
  }

  #enter({ owner, agent, principal }: RequestFlow): () => void {
    const leave = this.#admission.tryEnter([owner, agent], 1);
    if (leave === undefined) {
      this.#pace.noteRefused();
      const whose = principal === undefined ? {} : { principal };
      throw new TrustWardenError("overloaded", { ...whose, retryAfterSeconds: RETRY_AFTER_SECONDS });
    }
    this.#pace.noteHeld(this.#admission.held);
    return leave;
  }

  close(): void {
    this.#pace.close();
  }
}

/** Nobody knows yet who it is; so it is one of those in its network. */
function strangerAt({ remoteAddress = "unix" }: Socket): RequestFlow {
  return { owner: `peer ${networkOf(remoteAddress)}`, agent: `peer ${remoteAddress}` };
}
