/**
 * A run of an agent and the instance that it runs as.
 *
 * An agent that is somebody's child is a new instance at each run: made before the run does anything, by the agent in
 * whose work it is called, and ended with it. A run that stops to ask a human keeps its instance until it goes on, since
 * the answer is for that instance alone.
 */
import { AgentIdentity, type ChildOptions } from "trustwarden";
import { actAs, requireActing } from "./acting.ts";
import { isEndOfAgent } from "./call-gate.ts";

/** Who an agent of a framework is: an identity at hand, or the child to be made of whoever calls it. */
export type Who = AgentIdentity | ChildOptions;

/** One run. */
export interface Turn {
  readonly agent: AgentIdentity;
  /** Fires when the agent is over (revoked, expired): the run must end. */
  readonly signal: AbortSignal;
  /** Rejects with what ended the agent; never resolves. */
  readonly stopped: Promise<never>;
  /** Tells the turn what a tool call failed with. */
  readonly onFailure: (error: unknown) => void;
  /** Runs work as the agent's, and ends it when the agent is over. */
  readonly run: <T>(work: () => T | PromiseLike<T>) => Promise<T>;
  /** Ends the instance if it was made for this run; one that waits for a human is kept for the next. */
  readonly end: (ending?: { readonly isWaiting: boolean }) => Promise<void>;
}

/** Owns the instances of one agent of a framework that wait for a human. */
export class Turns {
  readonly #who: Who;
  readonly #waiting = new WeakMap<AgentIdentity, AgentIdentity[]>();

  constructor(who: Who) {
    this.#who = who;
  }

  /**
   * Begins a run.
   *
   * @throws TrustWardenError `agent_missing` for a child that nobody calls; `scope_not_subset` and the server's other
   *   refusals of a child.
   */
  async begin(): Promise<Turn> {
    if (this.#who instanceof AgentIdentity) return createTurn(requireActing(this.#who), async () => {});
    const parent = requireActing();
    const waiting = this.#waiting.get(parent) ?? [];
    const agent = waiting.shift() ?? (await parent.spawn(this.#who));
    this.#waiting.set(parent, waiting);
    return createTurn(agent, async ({ isWaiting }) => {
      if (isWaiting) waiting.push(agent);
      else await endInstance(agent);
    });
  }

  /** A whole run: begun, done, ended. @param work - its result says whether it waits for a human. */
  async whole<T>(work: (turn: Turn) => Promise<T>, isWaiting: (result: T) => boolean): Promise<T> {
    const turn = await this.begin();
    let ending = { isWaiting: false };
    try {
      const result = await turn.run(() => work(turn));
      ending = { isWaiting: isWaiting(result) };
      return result;
    } finally {
      await turn.end(ending);
    }
  }
}

function createTurn(
  agent: AgentIdentity,
  end: (ending: { readonly isWaiting: boolean }) => Promise<void>,
): Turn {
  const controller = new AbortController();
  const stopped = Promise.withResolvers<never>();
  // Whoever does not wait for it is told by the signal.
  stopped.promise.catch(() => undefined);
  return {
    agent,
    signal: controller.signal,
    stopped: stopped.promise,
    onFailure: (error) => {
      if (!isEndOfAgent(error)) return;
      stopped.reject(error);
      controller.abort(error);
    },
    run: (work) => actAs(agent, async () => Promise.race([work(), stopped.promise])),
    end: (ending = { isWaiting: false }) => end(ending),
  };
}

/** Ends what was made for one run, so that its scope and its place among the parent's children are free again. */
async function endInstance(agent: AgentIdentity): Promise<void> {
  try {
    await agent.revoke("the run is over");
  } catch {
    // Safe to go on: revoked with its parent it cannot say so itself, and otherwise its key is gone with this process's handle.
    await agent.close();
  }
}
