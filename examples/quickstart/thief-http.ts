/**
 * The thief's HTTP: many requests over few connections, no check of whom it talks to, and a count of the answers.
 */
import { Agent, request } from "node:https";
import type { SecureContext } from "node:tls";

const CONNECTIONS = 24;
const TIMEOUT_MS = 10_000;

/** One attempt. */
export interface Attempt {
  readonly origin: string;
  readonly method: string;
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** Counts of what came back; lives for one raid. */
export class Raid {
  readonly #agent: Agent;
  readonly #statuses = new Map<number, number>();
  readonly #successes: string[] = [];

  /** @param identity - what the connections present; anonymous without. */
  constructor(identity?: SecureContext) {
    this.#agent = new Agent({
      keepAlive: true,
      maxSockets: CONNECTIONS,
      rejectUnauthorized: false,
      ...(identity === undefined ? {} : { secureContext: identity }),
    });
  }

  /** Attempts that were answered as to somebody who is known; must stay empty. */
  get successes(): readonly string[] {
    return this.#successes;
  }

  /** How often each status came; 0 is a connection that was refused or cut. */
  get statuses(): ReadonlyMap<number, number> {
    return this.#statuses;
  }

  /** Makes the attempts, as many at once as there are connections, until the deadline. @returns how many were made. */
  async run(attempts: Iterable<Attempt>, deadlineMs = Number.POSITIVE_INFINITY): Promise<number> {
    const iterator = attempts[Symbol.iterator]();
    let made = 0;
    const worker = async (): Promise<void> => {
      for (let next = iterator.next(); next.done !== true; next = iterator.next()) {
        if (Date.now() >= deadlineMs) return;
        made += 1;
        await this.#make(next.value);
      }
    };
    await Promise.all(Array.from({ length: CONNECTIONS }, worker));
    return made;
  }

  /** One attempt; its status and the start of its answer. */
  async make(attempt: Attempt): Promise<{ readonly status: number; readonly text: string }> {
    const answer = await send(this.#agent, attempt);
    this.#statuses.set(answer.status, (this.#statuses.get(answer.status) ?? 0) + 1);
    const isIn = (answer.status >= 200 && answer.status < 300) || answer.status === 101;
    if (isIn) this.#successes.push(`${attempt.method} ${attempt.target}`);
    return answer;
  }

  close(): void {
    this.#agent.destroy();
  }

  async #make(attempt: Attempt): Promise<void> {
    await this.make(attempt);
  }
}

function send(agent: Agent, attempt: Attempt): Promise<{ readonly status: number; readonly text: string }> {
  const { origin, method, target, headers, body } = attempt;
  return new Promise((resolve) => {
    const cut = (): void => resolve({ status: 0, text: "" });
    const sent = request(
      new URL(target, origin),
      { agent, method, headers, timeout: TIMEOUT_MS },
      (answer) => {
        const parts: Buffer[] = [];
        answer.on("data", (part: Buffer) => parts.push(part));
        answer.on("end", () =>
          resolve({ status: answer.statusCode ?? 0, text: Buffer.concat(parts).toString("utf8") }),
        );
        answer.on("error", cut);
      },
    );
    sent.on("upgrade", (_answer, socket) => {
      socket.destroy();
      resolve({ status: 101, text: "" });
    });
    sent.on("timeout", () => sent.destroy());
    sent.on("error", cut);
    sent.end(body);
  });
}
