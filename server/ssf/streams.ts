/**
 * The streams that receivers made: who may have which, and what each is still owed.
 *
 * A receiver is a service with a verifier's SVID, and sees its own streams alone; another's are not there. Events are read
 * from the ledger when somebody asks for them and taken when that receiver says so, at least once each.
 *
 * @see OpenID Shared Signals Framework 1.0 §8; RFC 8936
 */
import { setTimeout } from "node:timers/promises";
import type { StreamSource } from "@trustwarden/core/agentledger/event-stream.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { formatUlid, formatUuidV7, type Random } from "@trustwarden/core/id.ts";
import { formatCanonicalJson } from "@trustwarden/core/json.ts";
import { askTogether } from "../shared/sharing.ts";
import { EVENT_TYPES, formatEventType, type SecurityEvent } from "./security-event.ts";
import { isSilent } from "./silent-streams.ts";
import type { KeptStream, StreamFiles } from "./stream-files.ts";
import { givenUp, isGivenUp, isUpdate, type StreamState } from "./stream-state.ts";
import { StreamWindow } from "./stream-window.ts";

/** Of one receiver, and of all: each stream that is polled reads the ledger for itself. */
const MAX_STREAMS_EACH = 4;
const MAX_STREAMS = 64;
/** Without a place: kept to say so; beyond this many the oldest goes. */
const MAX_GIVEN_UP = 64;
/** Subjects that a stream does not tell about. */
const MAX_REMOVED = 256;
/** Verifications that nobody has taken. */
const MAX_VERIFICATIONS = 8;
/** Between two verifications of one stream. */
export const MIN_VERIFICATION_SECONDS = 30;
/** How often a poll that waits looks at the ledger. */
const LOOK_MS = 250;
/** Shorter than what proxies and clients wait for. */
const MAX_WAIT_MS = 25_000;
const MAX_EVENTS = 100;

/** What may be changed of a stream. */
export type StreamChange = Partial<
  Pick<StreamState, "description" | "requested" | "status" | "reason" | "removed" | "verifications">
>;

/** One poll. @see RFC 8936 §2.2 */
export interface Poll {
  /** `jti` of what was taken, or could not be understood and is not wanted again. */
  readonly taken: ReadonlySet<string>;
  /** 0 asks for nothing and only takes. */
  readonly maxEvents?: number;
  readonly isImmediate: boolean;
  /** Whether the receiver went away. */
  readonly isGone: () => boolean;
}

/** What a poll brings. */
export interface Polled {
  readonly events: readonly SecurityEvent[];
  readonly hasMore: boolean;
}

/** One stream at work. */
interface Live {
  state: StreamState;
  /** Of what is kept. */
  revision: number;
  readonly window: StreamWindow;
  /** Polls so far; a later one ends the wait of an earlier. */
  polls: number;
  verifiedMonoMs: number;
  /** Changes and reads of one stream go one after the other. */
  turn: Promise<unknown>;
}

interface StreamsOptions {
  readonly files: StreamFiles;
  /** `size` counts what is accepted, also before it can be read. */
  readonly ledger: StreamSource & { readonly size: number; publishedSize(): number };
  readonly issuer: string;
  readonly random: Random;
  readonly clock: { nowMs(): number; monoMs(): number };
}

/** Owns them. */
export class SecurityEventStreams {
  readonly #options: StreamsOptions;
  readonly #streams = new Map<string, Live>();
  readonly #ask = askTogether(() => this.#readNewest());
  #isClosed = false;

  /** @throws TrustWardenError `config_invalid` for a file that is no stream. */
  constructor(options: StreamsOptions) {
    this.#options = options;
    for (const state of options.files.readAll()) this.#open({ state, revision: 0 });
  }

  /** Has, when it returns, what other servers changed before. @throws TrustWardenError `store_unavailable`. */
  async refresh(): Promise<void> {
    if (this.#options.files.readNewest !== undefined) await this.#ask();
  }

  /** In the order in which they were made. */
  list(receiver: string): readonly StreamState[] {
    return [...this.#streams.values()]
      .map(({ state }) => state)
      .filter((state) => state.receiver === receiver);
  }

  /** @throws TrustWardenError `not_found`, also for another receiver's. */
  read(receiver: string, streamId: string): StreamState {
    return this.#require(receiver, streamId).state;
  }

  /** Refuses what `create` would refuse now, and makes nothing. @throws TrustWardenError `ssf_limit_reached`. */
  requireRoom(receiver: string): void {
    const placed = [...this.#streams.values()].map(({ state }) => state).filter((state) => !isGivenUp(state));
    const own = placed.filter((state) => state.receiver === receiver);
    if (own.length >= MAX_STREAMS_EACH || placed.length >= MAX_STREAMS)
      throw new TrustWardenError("ssf_limit_reached", { limit: MAX_STREAMS_EACH });
  }

  /** Begins with what happens from now on. @throws TrustWardenError `ssf_limit_reached`. */
  async create(
    receiver: string,
    wanted: Pick<StreamState, "description" | "requested">,
  ): Promise<StreamState> {
    const { files, ledger, clock, random } = this.#options;
    this.requireRoom(receiver);
    const state: StreamState = {
      ...wanted,
      streamId: `str_${formatUlid(clock.nowMs(), random)}`,
      receiver,
      status: "enabled",
      reason: null,
      removed: [],
      verifications: [],
      next: ledger.size,
    };
    const live = this.#open({ state, revision: 0 });
    try {
      live.revision = await files.write({ state, revision: 0 });
    } catch (error) {
      this.#streams.delete(state.streamId);
      throw error;
    }
    return state;
  }

  /** Refuses what `change` would refuse now, and changes nothing. @throws as `change`. */
  requireChangeable(receiver: string, streamId: string, change: (state: StreamState) => StreamChange): void {
    this.#changedTo(this.read(receiver, streamId), change);
  }

  /** @throws TrustWardenError `not_found`, `ssf_limit_reached` for too many subjects. */
  change(
    receiver: string,
    streamId: string,
    change: (state: StreamState) => StreamChange,
  ): Promise<StreamState> {
    const live = this.#require(receiver, streamId);
    return this.#inTurn(live, async () => {
      const before = live.state;
      const changed = this.#changedTo(before, change);
      // What happened while a stream was disabled is never told.
      if (before.status === "disabled" || changed.status === "disabled")
        live.window.moveTo(this.#options.ledger.size);
      return this.#keep(live, changed);
    });
  }

  /** @throws TrustWardenError `not_found`. */
  async remove(receiver: string, streamId: string): Promise<void> {
    const live = this.#require(receiver, streamId);
    await this.#inTurn(live, () => this.#options.files.remove(live));
    this.#streams.delete(streamId);
  }

  /**
   * Gives up each stream from which nobody takes any more: it has no place then, and says so.
   *
   * @param record - of a change, before it is made.
   * @throws TrustWardenError `store_unavailable`, `ledger_unavailable`, `ledger_corrupt`.
   */
  async giveUpSilent(record: (state: StreamState) => Promise<void>): Promise<void> {
    await this.refresh();
    for (const live of [...this.#streams.values()])
      if (!isGivenUp(live.state)) await this.#inTurn(live, () => this.#giveUpIfSilent(live, record));
    // Ids rise, so the oldest stand first.
    const lost = [...this.#streams.values()].filter(({ state }) => isGivenUp(state));
    const oldest = lost.toSorted((one, other) => (one.state.streamId < other.state.streamId ? -1 : 1));
    for (const { state } of oldest.slice(0, -MAX_GIVEN_UP)) await this.remove(state.receiver, state.streamId);
  }

  /** Has the stream say the receiver's word back. @throws TrustWardenError `not_found`, `rate_limited`. */
  async verify(receiver: string, streamId: string, state: string | null): Promise<void> {
    const { clock, random } = this.#options;
    const live = this.#require(receiver, streamId);
    const monoMs = clock.monoMs();
    if (monoMs - live.verifiedMonoMs < MIN_VERIFICATION_SECONDS * 1000)
      throw new TrustWardenError("rate_limited", { retryAfterSeconds: MIN_VERIFICATION_SECONDS });
    live.verifiedMonoMs = monoMs;
    const jti = formatUuidV7(clock.nowMs(), random);
    await this.change(receiver, streamId, ({ verifications }) => ({
      verifications: [...verifications, { jti, state }].slice(-MAX_VERIFICATIONS),
    }));
  }

  /**
   * Takes what the receiver says it has, and brings what comes next; waits for it unless the receiver is in a hurry.
   *
   * @throws TrustWardenError `not_found`, `ledger_corrupt`.
   */
  async poll(receiver: string, streamId: string, poll: Poll): Promise<Polled> {
    const { clock } = this.#options;
    const live = this.#require(receiver, streamId);
    live.polls += 1;
    const mine = live.polls;
    const maxEvents = Math.min(poll.maxEvents ?? MAX_EVENTS, MAX_EVENTS);
    const untilMs = clock.monoMs() + MAX_WAIT_MS;
    let polled = await this.#look(live, { taken: poll.taken, maxEvents });
    const isOver = () =>
      poll.isImmediate ||
      maxEvents === 0 ||
      polled.events.length > 0 ||
      poll.isGone() ||
      live.polls !== mine ||
      this.#isClosed ||
      clock.monoMs() >= untilMs;
    while (!isOver()) {
      await setTimeout(LOOK_MS);
      await this.refresh();
      this.#require(receiver, streamId);
      polled = await this.#look(live, { taken: new Set(), maxEvents });
    }
    return polled;
  }

  /** Ends the waits. */
  close(): void {
    this.#isClosed = true;
  }

  #look(
    live: Live,
    { taken, maxEvents }: { readonly taken: ReadonlySet<string>; readonly maxEvents: number },
  ): Promise<Polled> {
    const { ledger } = this.#options;
    return this.#inTurn(live, async () => {
      // Read first: what was taken before a restart is only known when it was read again.
      const isRead = await live.window.fill({ source: ledger, size: ledger.publishedSize() });
      const { state, window } = live;
      window.keep((event) => !taken.has(event.jti) && isWanted(state, event));
      const verifications = state.verifications.filter(({ jti }) => !taken.has(jti));
      if (window.next !== state.next || verifications.length < state.verifications.length)
        await this.#keep(live, { ...state, verifications });
      const own = verifications.map((sent) => formatOwn(state, sent));
      // A stream that has ended says that, and nothing else.
      if (isGivenUp(state)) return { events: own.slice(0, maxEvents), hasMore: false };
      if (state.status !== "enabled") return { events: [], hasMore: false };
      const owed = [...own, ...window.events];
      return { events: owed.slice(0, maxEvents), hasMore: owed.length > maxEvents || !isRead };
    });
  }

  async #giveUpIfSilent(live: Live, record: (state: StreamState) => Promise<void>): Promise<void> {
    const { ledger, clock, random } = this.#options;
    if (!(await isSilent(live.state, ledger, clock.nowMs()))) return;
    await record(live.state);
    live.window.moveTo(ledger.size);
    await this.#keep(live, givenUp(live.state, formatUuidV7(clock.nowMs(), random)));
  }

  /** @throws TrustWardenError `ssf_limit_reached`, also for a stream that was given up where there is no place for it. */
  #changedTo(state: StreamState, change: (state: StreamState) => StreamChange): StreamState {
    const changed = { ...state, ...change(state) };
    if (changed.removed.length > MAX_REMOVED)
      throw new TrustWardenError("ssf_limit_reached", { limit: MAX_REMOVED });
    if (!isGivenUp(state) || isGivenUp(changed)) return changed;
    this.requireRoom(state.receiver);
    return { ...changed, verifications: changed.verifications.filter((sent) => !isUpdate(sent)) };
  }

  /** Kept before it counts. */
  async #keep(live: Live, changed: StreamState): Promise<StreamState> {
    const state = { ...changed, next: live.window.next };
    live.revision = await this.#options.files.write({ state, revision: live.revision });
    live.state = state;
    return state;
  }

  async #readNewest(): Promise<void> {
    const { files } = this.#options;
    const before = [...this.#streams].filter(([, { revision }]) => revision > 0);
    const kept = (await files.readNewest?.()) ?? [];
    for (const [id] of before) if (!kept.some(({ state }) => state.streamId === id)) this.#streams.delete(id);
    for (const newest of kept) {
      const live = this.#streams.get(newest.state.streamId);
      if (live === undefined) this.#open(newest);
      else if (newest.revision > live.revision)
        await this.#inTurn(live, async () => this.#follow(live, newest));
    }
  }

  /** What another server read and gave out is not given out here; what it left is offered here again. */
  #follow(live: Live, { state, revision }: KeptStream): void {
    if (revision <= live.revision) return;
    live.state = state;
    live.revision = revision;
    live.window.moveTo(this.#placeOf(state));
  }

  /** A ledger that is shorter than the place is an older one: everything is told once more. */
  #placeOf({ next }: StreamState): number {
    const { ledger, files } = this.#options;
    // Another server may have read on behind what is known here; then nothing is read until it is.
    return next <= ledger.size || files.readNewest !== undefined ? next : 0;
  }

  #open({ state, revision }: KeptStream): Live {
    const { issuer } = this.#options;
    const live: Live = {
      state,
      revision,
      window: new StreamWindow(issuer, this.#placeOf(state)),
      polls: 0,
      verifiedMonoMs: Number.NEGATIVE_INFINITY,
      turn: Promise.resolve(),
    };
    this.#streams.set(state.streamId, live);
    return live;
  }

  #require(receiver: string, streamId: string): Live {
    const live = this.#streams.get(streamId);
    if (live === undefined || live.state.receiver !== receiver) throw new TrustWardenError("not_found");
    return live;
  }

  #inTurn<T>(live: Live, work: () => Promise<T>): Promise<T> {
    // Whoever was before has told its own caller of its failure.
    const turn = live.turn.catch(() => undefined).then(work);
    live.turn = turn;
    return turn;
  }
}

/** Full names of the events that a stream brings. */
export function deliveredTo({ requested }: Pick<StreamState, "requested">): readonly string[] {
  const names = EVENT_TYPES.map(formatEventType);
  return requested === null ? names : names.filter((name) => requested.includes(name));
}

function isWanted(state: StreamState, event: SecurityEvent): boolean {
  return (
    state.status !== "disabled" &&
    deliveredTo(state).includes(formatEventType(event.type)) &&
    !state.removed.includes(formatCanonicalJson(event.subject))
  );
}

function formatOwn(
  { streamId, status, reason }: StreamState,
  sent: StreamState["verifications"][number],
): SecurityEvent {
  const { jti, state } = sent;
  const subject = { format: "opaque", id: streamId };
  if (isUpdate(sent)) return { type: "stream-updated", jti, subject, claims: { status, reason } };
  return { type: "verification", jti, subject, claims: state === null ? {} : { state } };
}
