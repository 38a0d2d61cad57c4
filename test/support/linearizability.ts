/**
 * Whether a recorded history of concurrent operations could have come from one object that does one thing at a time.
 *
 * The search of Wing and Gong: take any operation that nothing unfinished-before precedes, see whether the object could
 * have answered so, and go on; remember which sets of operations and states led nowhere. An operation without an answer
 * (its server died, its connection broke) may have taken effect at any time after it was asked, or never. Knows nothing
 * of servers.
 *
 * @see Wing, Gong, "Testing and Verifying Concurrent Objects", 1993; Lowe, "Testing for Linearizability", 2017
 */

/** Configurations looked at before the search says that it does not know. */
const MAX_STEPS = 200_000;

/** One operation of one client. Instants are of one counter or clock for all clients. */
export interface Operation<Input, Output> {
  readonly input: Input;
  /** Undefined when no answer came. */
  readonly output: Output | undefined;
  readonly askedAt: number;
  /** Infinite when no answer came. */
  readonly answeredAt: number;
}

/** What one object that does one thing at a time would do. */
export interface Model<State, Input, Output> {
  readonly initial: State;
  /**
   * The state after an operation; undefined when this state does not answer so.
   *
   * @param output - undefined for whatever would be answered.
   */
  readonly step: (state: State, input: Input, output: Output | undefined) => State | undefined;
  /** The same text for the same state only. */
  readonly format: (state: State) => string;
}

/**
 * An order in which one object could have done it all.
 *
 * @returns undefined when there is none.
 * @throws Error for a history without an answer, and when the search would take too long to say.
 */
export function findLinearization<State, Input, Output>(
  history: readonly Operation<Input, Output>[],
  model: Model<State, Input, Output>,
): readonly Operation<Input, Output>[] | undefined {
  if (!history.some(({ output }) => output !== undefined)) throw new Error("a history without an answer");
  return new Search(history, model).run();
}

/** One step of the search: what was taken to come here, and what is still to be tried from here. */
interface Place<State> {
  readonly taken: bigint;
  readonly state: State;
  readonly last: number;
  readonly untried: number[];
}

class Search<State, Input, Output> {
  readonly #history: readonly Operation<Input, Output>[];
  readonly #model: Model<State, Input, Output>;
  readonly #answered: bigint;
  readonly #seen = new Set<string>();

  constructor(history: readonly Operation<Input, Output>[], model: Model<State, Input, Output>) {
    this.#history = history.toSorted((one, other) => one.askedAt - other.askedAt);
    this.#model = model;
    this.#answered = this.#history.reduce(
      (all, { output }, index) => (output === undefined ? all : all | bit(index)),
      0n,
    );
  }

  run(): readonly Operation<Input, Output>[] | undefined {
    const path = [this.#placeAt(0n, this.#model.initial, -1)];
    for (let place = path.at(-1); place !== undefined; place = path.at(-1)) {
      if ((place.taken & this.#answered) === this.#answered) return this.#orderOf(path);
      const next = this.#advance(place);
      if (next === undefined) path.pop();
      else path.push(next);
    }
    return undefined;
  }

  #advance({ taken, state, untried }: Place<State>): Place<State> | undefined {
    for (let index = untried.shift(); index !== undefined; index = untried.shift()) {
      const operation = this.#of(index);
      const after = this.#model.step(state, operation.input, operation.output);
      if (after === undefined) continue;
      const next = taken | bit(index);
      const key = `${next.toString(36)} ${this.#model.format(after)}`;
      if (this.#seen.has(key)) continue;
      if (this.#seen.size >= MAX_STEPS) throw new Error("the history is too tangled to decide");
      this.#seen.add(key);
      return this.#placeAt(next, after, index);
    }
    return undefined;
  }

  /** What may come next was asked before the first answer of what is left. */
  #placeAt(taken: bigint, state: State, last: number): Place<State> {
    const left = [...this.#history.keys()].filter((index) => (taken & bit(index)) === 0n);
    const firstAnswerAt = left.reduce(
      (first, index) => Math.min(first, this.#of(index).answeredAt),
      Infinity,
    );
    const untried = left.filter((index) => this.#of(index).askedAt <= firstAnswerAt);
    // What was answered first: those without an answer fit everywhere, and are mostly not needed.
    untried.sort((one, other) => this.#of(one).answeredAt - this.#of(other).answeredAt || one - other);
    return { taken, state, last, untried: this.#withoutTwins(untried) };
  }

  /** Of equal questions without an answer the first stands for all: it may come wherever a later one may. */
  #withoutTwins(untried: readonly number[]): number[] {
    const unanswered = new Set<string>();
    return untried.filter((index) => {
      const { input, output } = this.#of(index);
      if (output !== undefined) return true;
      const question = JSON.stringify(input);
      if (unanswered.has(question)) return false;
      unanswered.add(question);
      return true;
    });
  }

  #orderOf(path: readonly Place<State>[]): readonly Operation<Input, Output>[] {
    return path.slice(1).map(({ last }) => this.#of(last));
  }

  #of(index: number): Operation<Input, Output> {
    const operation = this.#history[index];
    if (operation === undefined) throw new Error("an operation of the history");
    return operation;
  }
}

function bit(index: number): bigint {
  return 1n << BigInt(index);
}

/** Records what clients of this process ask and are answered, in the order in which it happens. */
export class Recorder<Input, Output> {
  readonly #operations: Operation<Input, Output>[] = [];
  #instant = 0;

  /** What was asked so far; call it when every client has stopped. */
  get history(): readonly Operation<Input, Output>[] {
    return this.#operations;
  }

  /**
   * Asks and records.
   *
   * @param ask - undefined, or a rejection, when it is not known whether it was done.
   */
  async record(input: Input, ask: () => Promise<Output | undefined>): Promise<Output | undefined> {
    const askedAt = this.#next();
    // A connection that broke is one of the answers that a history can hold.
    const output = await ask().catch(() => undefined);
    const answeredAt = output === undefined ? Number.POSITIVE_INFINITY : this.#next();
    this.#operations.push({ input, output, askedAt, answeredAt });
    return output;
  }

  #next(): number {
    this.#instant += 1;
    return this.#instant;
  }
}
