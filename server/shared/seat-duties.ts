/**
 * What one of several servers does for all of them: begun by whoever has the sequencer's seat, ended when the seat is lost, and
 * begun by the next.
 *
 * For a moment two may do it, since one that lost the seat hears of it late. So a duty is something that may be done twice.
 *
 * @see docs/decisions/0064
 */

/** Begins it. @returns how to end it. */
export type Duty = () => Promise<() => Promise<void>>;

/** Owns which duties are under way: all of them, or none. */
export class SeatDuties {
  readonly #duties: Duty[] = [];
  /** How to end what is under way, the earliest first. */
  readonly #ends = new Map<Duty, () => Promise<void>>();
  /** Beginnings and ends go one after the other. */
  #turn: Promise<void> = Promise.resolve();
  #isSeated = false;

  /** Whether this server does what is done once. */
  get isSeated(): boolean {
    return this.#isSeated;
  }

  /** From now on this is done too, at once where this server has the seat. */
  add(duty: Duty): Promise<void> {
    this.#duties.push(duty);
    return this.#inTurn(() => this.#begin());
  }

  /** This server has the seat. */
  begin(): Promise<void> {
    this.#isSeated = true;
    return this.#inTurn(() => this.#begin());
  }

  /** It has the seat no more; returns when everything has ended. */
  end(): Promise<void> {
    this.#isSeated = false;
    return this.#inTurn(async () => {
      const ends = [...this.#ends.values()].reverse();
      this.#ends.clear();
      for (const end of ends) await end();
    });
  }

  async #begin(): Promise<void> {
    for (const duty of this.#duties)
      if (this.#isSeated && !this.#ends.has(duty)) this.#ends.set(duty, await duty());
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(work);
    // Whoever asked for it hears of its failure.
    this.#turn = turn.catch(() => undefined);
    return turn;
  }
}
