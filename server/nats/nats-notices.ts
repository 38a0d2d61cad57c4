/**
 * Notices over NATS, for more servers than a database should wake: each tells all others with one message.
 *
 * Nobody is believed: a message has no content that is read, its subject says where to look, and how often anybody looks has
 * a bound, whatever is sent. While NATS is away everybody looks by the clock, as ever; no lease hangs on it.
 *
 * @see docs/decisions/0096
 */
import { randomInt } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import type { NatsConnection } from "@nats-io/transport-node";
import { NEWS, type News, type Notices } from "@trustwarden/core/notices.ts";
import type { NatsSettings } from "./config.ts";
import { connectNats } from "./connect-nats.ts";

/** Between two looks at the same: whoever floods the subject gets no more of them. */
const MIN_GAP_MS = 10;
const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 5000;
/** A connection that was over sooner is as good as none: who is let in and then refused does not come back at once. */
const STABLE_MS = 5000;

export interface NatsNoticesOptions {
  readonly settings: NatsSettings;
  /** As NATS lists it. */
  readonly name: string;
  /** NATS went away, or is back; also when it was not there at first. */
  readonly onLink: (isLinked: boolean) => void;
}

/** Owns the connection and the loop that makes it anew. */
export class NatsNotices implements Notices {
  readonly #options: NatsNoticesOptions;
  readonly #looks: Readonly<Record<News, Look>>;
  readonly #closing = new AbortController();
  readonly #running: Promise<void>;
  #connection: NatsConnection | undefined;
  /** Undefined until it was said once. */
  #wasLinked: boolean | undefined;

  constructor(options: NatsNoticesOptions) {
    this.#options = options;
    this.#looks = { state: new Look(), replicas: new Look(), appends: new Look() };
    this.#running = this.#run();
  }

  get isLinked(): boolean {
    return this.#wasLinked === true;
  }

  tell(news: News): void {
    // What is appended here may be sequenced here, NATS or not.
    if (news === "appends") this.#looks.appends.ask();
    try {
      this.#connection?.publish(`${this.#options.settings.subject}.${news}`);
    } catch {
      // Safe: the others look by the clock. That the connection is over is said where it is waited for.
    }
  }

  watch(news: News, onNews: () => void): () => void {
    return this.#looks[news].watch(onNews);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    for (const look of Object.values(this.#looks)) look.close();
    await this.#connection?.close();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    for (let pauseMs = FIRST_PAUSE_MS; !signal.aborted; pauseMs = Math.min(2 * pauseMs, MAX_PAUSE_MS)) {
      if (await this.#serve()) pauseMs = FIRST_PAUSE_MS;
      this.#say(false);
      // Jitter, so that servers that lost one NATS together do not come back together.
      await setTimeout(randomInt(pauseMs / 2, pauseMs), undefined, { signal }).catch(() => undefined);
    }
  }

  /** One connection, from its beginning to its end. @returns whether it was of use. */
  async #serve(): Promise<boolean> {
    const { settings, name } = this.#options;
    let connection: NatsConnection;
    try {
      connection = await connectNats(settings, name);
    } catch {
      // Safe: tried again for as long as this server is there, and everybody looks by the clock meanwhile.
      return false;
    }
    const fromMs = performance.now();
    this.#connection = connection;
    try {
      if (!this.#closing.signal.aborted) await this.#follow(connection);
    } catch {
      // Safe: as above.
    }
    this.#connection = undefined;
    await connection.close();
    return performance.now() - fromMs > STABLE_MS;
  }

  /** Returns when the connection is over, or good for nothing. */
  async #follow(connection: NatsConnection): Promise<void> {
    const refused = Promise.withResolvers<never>();
    for (const news of NEWS) {
      connection.subscribe(`${this.#options.settings.subject}.${news}`, {
        callback: (error) => {
          if (error === null) this.#looks[news].ask();
          else refused.reject(error);
        },
      });
    }
    // A refusal is on its way before the answer to the first, and here before that to the second.
    await Promise.race([connection.flush().then(() => connection.flush()), refused.promise]);
    this.#say(true);
    // What was told while nobody listened.
    for (const news of NEWS) this.#looks[news].ask();
    await Promise.race([untilTrouble(connection), connection.closed(), refused.promise]);
  }

  #say(isLinked: boolean): void {
    if (this.#closing.signal.aborted || this.#wasLinked === isLinked) return;
    this.#wasLinked = isLinked;
    this.#options.onLink(isLinked);
  }
}

/** One thing to look at: at once when nobody looked for a while, else a little later, once for all who asked. */
class Look {
  readonly #listeners = new Set<() => void>();
  #lastMs = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  watch(onNews: () => void): () => void {
    this.#listeners.add(onNews);
    return () => this.#listeners.delete(onNews);
  }

  ask(): void {
    if (this.#timer !== undefined || this.#isClosed) return;
    const waitMs = this.#lastMs + MIN_GAP_MS - performance.now();
    if (waitMs <= 0) this.#look();
    else this.#timer = globalThis.setTimeout(() => this.#look(), waitMs);
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  #look(): void {
    this.#timer = undefined;
    this.#lastMs = performance.now();
    for (const listener of [...this.#listeners]) listener();
  }
}

/** Returns when the server refuses something, above all a subject that this login may not use. */
async function untilTrouble(connection: NatsConnection): Promise<void> {
  for await (const { type } of connection.status()) if (type === "error" || type === "close") return;
}
