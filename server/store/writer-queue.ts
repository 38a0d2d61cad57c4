/**
 * Which commands the writer commits next. What stops something (revocations, narrowings, secrets that are disabled, owners who
 * leave with their agents) is a group by itself and the next one: it waits for the group that is being committed, and neither
 * for those that wait nor for the work of others in its own transaction (J11). After such a group one of the others has its
 * turn, so that whoever stops without end keeps nobody from being served.
 */
import type { WriterRequest } from "./writer-protocol.ts";

/** More in one transaction would delay the replies of the first by more than a flush costs. */
const MAX_GROUP = 64;

/** Owns what waits: a command is in it until it is taken. */
export class WriterQueue {
  readonly #urgent: WriterRequest[] = [];
  readonly #ordinary: WriterRequest[] = [];
  #hasJustStopped = false;

  get isEmpty(): boolean {
    return this.#urgent.length + this.#ordinary.length === 0;
  }

  push(request: WriterRequest): void {
    (isUrgent(request) ? this.#urgent : this.#ordinary).push(request);
  }

  /** The commands of the next transaction, in the order in which they came; none when none wait. */
  takeGroup(): readonly WriterRequest[] {
    const isOthersTurn = this.#hasJustStopped && this.#ordinary.length > 0;
    const queue = isOthersTurn || this.#urgent.length === 0 ? this.#ordinary : this.#urgent;
    this.#hasJustStopped = queue === this.#urgent;
    return queue.splice(0, MAX_GROUP);
  }
}

function isUrgent(request: WriterRequest): boolean {
  const { kind } = request;
  if (kind === "changeSecret") return ["disable", "delete"].includes(request.command.change);
  if (kind === "changePeople") return request.command.change === "end" && request.command.stopsAgents;
  return kind === "revoke" || kind === "narrow";
}
