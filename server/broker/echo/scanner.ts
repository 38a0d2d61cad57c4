/**
 * Looks for secrets in a stream, under every reading, wherever the chunks are cut; says where in the stream they are.
 *
 * Linear in the stream. The reading as it is goes over every byte; each other one runs only from an escape until it
 * says again what the first one says, which in ordinary text is a byte or two later.
 */
import { Automaton } from "./automaton.ts";
import { createReadings, type Placed, type Reading } from "./readings.ts";

/** A secret in the stream; offsets count from its beginning. */
export interface Found {
  readonly start: number;
  readonly end: number;
  /** Owners of the patterns. */
  readonly owners: readonly number[];
}

/** One reading beside the stream: its own state, and where its last bytes were. */
interface Lane {
  readonly reading: Reading;
  state: number;
  /** `start` of the last bytes of the reading, in a ring. */
  readonly starts: Float64Array;
  count: number;
  /** Whether it says what the stream as it is says. */
  isAligned: boolean;
}

/** Owns the states of one stream. */
export class Scanner {
  readonly #automaton: Automaton;
  readonly #lanes: readonly Lane[];
  readonly #onFound: (found: Found) => void;
  #state = Automaton.ROOT;
  #position = 0;

  constructor(automaton: Automaton, onFound: (found: Found) => void) {
    this.#automaton = automaton;
    this.#onFound = onFound;
    const lanes: Lane[] = [];
    const readings = createReadings((index) => (placed) => this.#advance(lanes[index], placed));
    for (const reading of readings) {
      lanes.push({
        reading,
        state: Automaton.ROOT,
        starts: new Float64Array(automaton.maxLength + 1),
        count: 0,
        isAligned: true,
      });
    }
    this.#lanes = lanes;
  }

  /** Reads on. */
  push(chunk: Uint8Array): void {
    // One more than the bytes: the state before each, and after the last.
    const states = new Int32Array(chunk.length + 1);
    states[0] = this.#state;
    this.#readAsIs(chunk, states);
    for (const lane of this.#lanes) this.#readBeside(lane, chunk, states);
    this.#position += chunk.length;
  }

  /** Nothing follows: what may have been the beginning of an escape is none. */
  end(): void {
    for (const lane of this.#lanes) if (!lane.isAligned) lane.reading.end();
  }

  /** Everything before this offset is settled: no secret that is yet to be found begins before it. */
  get settled(): number {
    const own = this.#position - this.#automaton.depthOf(this.#state);
    return this.#lanes.reduce((least, lane) => Math.min(least, this.#settledIn(lane)), own);
  }

  #readAsIs(chunk: Uint8Array, states: Int32Array): void {
    const automaton = this.#automaton;
    let state = this.#state;
    for (let index = 0; index < chunk.length; index += 1) {
      state = automaton.next(state, chunk[index] ?? 0);
      states[index + 1] = state;
      const length = state === Automaton.ROOT ? 0 : automaton.matchOf(state);
      if (length > 0) {
        const end = this.#position + index + 1;
        this.#onFound({ start: end - length, end, owners: automaton.ownersOf(state) });
      }
    }
    this.#state = state;
  }

  #readBeside(lane: Lane, chunk: Uint8Array, states: Int32Array): void {
    // Where each trigger stands next: looked for once for each place, however often the lane joins the stream again.
    const next = lane.reading.triggers.map((byte) => ({ byte, at: -1 }));
    let index = 0;
    while (index < chunk.length) {
      if (lane.isAligned) {
        index = findTrigger(chunk, index, next);
        if (index === chunk.length) return;
        this.#leave(lane, states[index] ?? Automaton.ROOT, this.#position + index);
      }
      const start = this.#position + index;
      lane.reading.push({ byte: chunk[index] ?? 0, start, end: start + 1 });
      index += 1;
      lane.isAligned =
        lane.state === Automaton.ROOT &&
        states[index] === Automaton.ROOT &&
        lane.reading.waitsFrom() === undefined;
    }
  }

  /** Takes over the state of the stream as it is, in which the last bytes stand one after the other. */
  #leave(lane: Lane, state: number, position: number): void {
    lane.isAligned = false;
    lane.state = state;
    lane.count = 0;
    const depth = this.#automaton.depthOf(state);
    for (let start = position - depth; start < position; start += 1) remember(lane, start);
  }

  #advance(lane: Lane | undefined, { byte, start, end }: Placed): void {
    if (lane === undefined) throw new Error("a reading has its lane");
    remember(lane, start);
    lane.state = this.#automaton.next(lane.state, byte);
    const length = this.#automaton.matchOf(lane.state);
    if (length === 0) return;
    this.#onFound({ start: recall(lane, length), end, owners: this.#automaton.ownersOf(lane.state) });
  }

  #settledIn(lane: Lane): number {
    if (lane.isAligned) return this.#position;
    const depth = this.#automaton.depthOf(lane.state);
    return depth > 0 ? recall(lane, depth) : (lane.reading.waitsFrom() ?? this.#position);
  }
}

function remember(lane: Lane, start: number): void {
  lane.starts[lane.count % lane.starts.length] = start;
  lane.count += 1;
}

/** Where the byte was that came `back` bytes ago, the last one being 1. */
function recall(lane: Lane, back: number): number {
  return lane.starts[(lane.count - back) % lane.starts.length] ?? 0;
}

/** The next byte at which a reading may differ, or the length. */
function findTrigger(chunk: Uint8Array, from: number, next: { readonly byte: number; at: number }[]): number {
  let found = chunk.length;
  for (const trigger of next) {
    if (trigger.at < from) {
      const at = chunk.indexOf(trigger.byte, from);
      trigger.at = at === -1 ? chunk.length : at;
    }
    if (trigger.at < found) found = trigger.at;
  }
  return found;
}
