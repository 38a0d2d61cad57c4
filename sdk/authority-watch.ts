/**
 * Hears of a changed authority in time: one small question a server, a process, every 15 seconds.
 *
 * Agents hold no lease, so nobody tells them; verifiers and nodes are told by the feed, and ask at that moment. However
 * many identities of one server live in a process, one of them asks for all.
 */
import type { ErrorCode } from "@trustwarden/core/error.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { jitter, type Runtime } from "./runtime.ts";

/** A forced rotation reaches every live agent within a minute: one question, one renewal, and two tries for each. */
const POLL_MS = 15_000;
/** After a question that found no server: one lost packet must not cost another whole round. */
const RETRY_MS = 4_000;

/** A server as the watch sees it. */
export interface Watched {
  /** The same for servers that may share what one of them read: address and pin. */
  readonly watchKey: string;
  readonly runtime: Runtime;
  /** Reads what the server says of its authority, and the bundle when it changed. */
  readAuthority(): Promise<void>;
  /** Takes over what `other` has read. */
  adoptAuthority(other: this): void;
}

/** Of this process, by key; an entry is there as long as it has members. */
const watches = new Map<string, Watch<Watched>>();

/** Has a server hear of changes until `unwatch`. */
export function watch(server: Watched): void {
  const known = watches.get(server.watchKey) ?? new Watch<Watched>();
  watches.set(server.watchKey, known);
  known.add(server);
}

export function unwatch(server: Watched): void {
  const known = watches.get(server.watchKey);
  known?.remove(server);
  if (known?.isEmpty === true) watches.delete(server.watchKey);
}

/** Asks now, for every member. A failure is reported, and the next question comes in its time. */
export async function askNow(server: Watched): Promise<void> {
  await watches.get(server.watchKey)?.ask();
}

/** Owns the members and the one timer, which does not keep the process alive. */
class Watch<Member extends Watched> {
  readonly #members = new Set<Member>();
  #timer: NodeJS.Timeout | undefined;
  /** The question under way and whether another one was asked for since it began. */
  #asking: Promise<void> | undefined;
  #isAskedAgain = false;
  /** Questions without an answer since the last that had one. */
  #failures = 0;

  get isEmpty(): boolean {
    return this.#members.size === 0;
  }

  add(member: Member): void {
    this.#members.add(member);
    if (this.#timer === undefined) this.#schedule(member.runtime);
  }

  remove(member: Member): void {
    this.#members.delete(member);
    if (!this.isEmpty) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** A question that was asked before the change cannot know of it, so a second one follows the one under way. */
  ask(): Promise<void> {
    this.#isAskedAgain = this.#asking !== undefined;
    this.#asking ??= this.#askOnce().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  async #askOnce(): Promise<void> {
    do {
      this.#isAskedAgain = false;
      const [first] = this.#members;
      if (first === undefined) return;
      try {
        await first.readAuthority();
        for (const member of this.#members) if (member !== first) member.adoptAuthority(first);
        this.#failures = 0;
      } catch (error) {
        // Safe to go on: what is at hand stays in force, its certificates end by themselves, and it is asked again.
        this.#failures += 1;
        const code: ErrorCode = error instanceof TrustWardenError ? error.code : "internal";
        first.runtime.notify({ code, what: "The authority could not be read again.", details: {} });
      }
    } while (this.#isAskedAgain);
  }

  #schedule(runtime: Runtime): void {
    // Up to a quarter earlier or later: a thousand processes of one start must not ask at once.
    const delayMs = this.#failures === 0 ? POLL_MS : Math.min(POLL_MS, RETRY_MS * 2 ** (this.#failures - 1));
    this.#timer = setTimeout(() => void this.#tick(), delayMs * (0.75 + 0.5 * jitter(runtime)));
    this.#timer.unref();
  }

  async #tick(): Promise<void> {
    await this.ask();
    const [first] = this.#members;
    if (first !== undefined) this.#schedule(first.runtime);
  }
}
