/**
 * The one way of a tool call through the guard: decided and recorded before, reported after, whatever the framework.
 *
 * Frameworks with a question to a human ask first ("does this call need approval?") and run later. `begin` makes the
 * decision then, and `run` goes through the permit that it left open, so that one call stays one decision. A permit
 * that nobody picks up at once is reported as broken off, and a late `run` is decided anew.
 */
import { type AgentIdentity, TrustWardenError } from "trustwarden";
import { actAs, requireActing } from "./acting.ts";
import type { ToolCall } from "./tool-rules.ts";

/** From the decision to the run: a framework goes on at once, and a decision is worth no more than a lease. */
const HANDOVER_MS = 500;
/** Decisions that came too late, until the call is refused. */
const MAX_TRIES = 3;
/** Calls between question and run; the oldest is forgotten, and decided anew when it comes. */
const MAX_OPEN = 256;

/** What `begin` found: the call may run, has to be put before a human, or will fail. */
export type Verdict =
  | { readonly kind: "run" }
  | { readonly kind: "ask"; readonly request: string }
  | { readonly kind: "refused"; readonly error: unknown };

/** A call that was asked about and has not run yet. */
interface OpenCall {
  readonly fingerprint: string;
  readonly verdict: Promise<Verdict>;
  readonly handOver: (work: () => Promise<unknown>) => void;
  readonly done: Promise<unknown>;
}

/** Names a call of one agent, as its framework does. */
export interface CallName {
  /** The instance that it is bound to; whose work it is, when absent. */
  readonly agent?: AgentIdentity | undefined;
  /** The framework's id of the call; without one `begin` and `run` cannot be joined. */
  readonly id?: string | undefined;
  /** Ends the work; what is under way then is reported as aborted. */
  readonly signal?: AbortSignal | undefined;
  /** Whether a call that nobody asked about before waits for the owner, where it needs one. */
  readonly waitsForOwner?: boolean | undefined;
}

/** Owns the calls between question and run. */
export class CallGate {
  /** By instance and call id, oldest first. */
  readonly #open = new Map<string, OpenCall>();

  /** Decides a call before it runs; the same call again gets the same answer. @throws TrustWardenError as `requireActing`. */
  async begin(name: CallName & { readonly id: string }, call: ToolCall): Promise<Verdict> {
    const agent = requireActing(name.agent);
    const key = `${agent.instanceId} ${name.id}`;
    const fingerprint = fingerprintOf(call);
    const known = this.#open.get(key);
    if (known?.fingerprint === fingerprint) return known.verdict;
    const opened = openCall(agent, call);
    this.#open.set(key, opened);
    const [oldest] = this.#open.keys();
    if (this.#open.size > MAX_OPEN && oldest !== undefined) this.#open.delete(oldest);
    return opened.verdict;
  }

  /**
   * Runs the work of an allowed call, as the agent's. A call that waits for a human waits here until the owner has
   * answered. An answer that calls itself a failure (`isError`) is one in the ledger.
   *
   * @throws TrustWardenError `denied`, `approval_required`, `approval_denied`, `approval_expired`, `lease_expired`,
   *   `agent_missing`, `agent_mismatch`, the server's refusals; and whatever the work throws.
   */
  run<T>(name: CallName, call: ToolCall, work: () => Promise<T>): Promise<T> {
    return honestly(work, (told) => this.#run(name, call, told));
  }

  async #run<T>(name: CallName, call: ToolCall, work: () => Promise<T>): Promise<T> {
    const agent = requireActing(name.agent);
    const key = `${agent.instanceId} ${name.id}`;
    const known = name.id === undefined ? undefined : this.#open.get(key);
    this.#open.delete(key);
    const act = () => actAs(agent, () => untilStopped(agent, () => watched(work, name.signal)));
    if (known?.fingerprint !== fingerprintOf(call))
      return performOrAsk(agent, call, { act, waits: name.waitsForOwner });
    const verdict = await known.verdict;
    switch (verdict.kind) {
      case "refused":
        throw verdict.error;
      case "ask":
        return perform(agent, call, act, await agent.waitForApproval(verdict.request));
      case "run":
        return pickUp(known, act, () => perform(agent, call, act));
    }
  }
}

/** The work's answer calls itself a failure. */
class FailedAnswer extends Error {}

/**
 * What a tool of an MCP server answers may be a failure by the server's own word, which frameworks give to the model as
 * any other answer. On the way through the guard it is what it says; the framework gets the answer.
 */
async function honestly<T>(
  work: () => Promise<T>,
  guarded: (told: () => Promise<T>) => Promise<T>,
): Promise<T> {
  let failed: { readonly answer: T } | undefined;
  const told = async (): Promise<T> => {
    const answer = await work();
    if (Object(answer).isError !== true) return answer;
    failed = { answer };
    throw new FailedAnswer("the answer is a failure by its own word");
  };
  try {
    return await guarded(told);
  } catch (error) {
    if (error instanceof FailedAnswer && failed !== undefined) return failed.answer;
    throw error;
  }
}

/** Whether the agent itself is over: revoked, expired or closed. Its run has to end, not only this call. */
export function isEndOfAgent(error: unknown): boolean {
  if (!(error instanceof TrustWardenError)) return false;
  return error.status === 401 || error.code === "identity_closed";
}

function fingerprintOf({ action, resource, params }: ToolCall): string {
  return JSON.stringify([action, resource, params]);
}

async function perform<T>(
  agent: AgentIdentity,
  { action, resource, params }: ToolCall,
  act: () => Promise<T>,
  approval?: string,
): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    let isBegun = false;
    const begin = () => {
      isBegun = true;
      return act();
    };
    try {
      return await agent.act(action, resource, params, begin, approval === undefined ? {} : { approval });
    } catch (error) {
      if (isBegun || tries === MAX_TRIES || !isTooLate(error)) throw unwrapAbort(error);
    }
  }
}

/** The decision came later than it is worth anything, as on a busy machine: it is asked for anew, by another intent. */
function isTooLate(error: unknown): boolean {
  return error instanceof TrustWardenError && error.code === "lease_expired";
}

async function performOrAsk<T>(
  agent: AgentIdentity,
  call: ToolCall,
  { act, waits = false }: { readonly act: () => Promise<T>; readonly waits: boolean | undefined },
): Promise<T> {
  try {
    return await perform(agent, call, act);
  } catch (error) {
    const verdict = verdictOf(error);
    if (!waits || verdict.kind !== "ask") throw error;
    return perform(agent, call, act, await agent.waitForApproval(verdict.request));
  }
}

function openCall(agent: AgentIdentity, call: ToolCall): OpenCall {
  const verdict = Promise.withResolvers<Verdict>();
  const work = Promise.withResolvers<() => Promise<unknown>>();
  const done = perform(agent, call, async () => {
    verdict.resolve({ kind: "run" });
    const timer = setTimeout(
      () => work.reject(new TrustWardenError("call_aborted", { reason: "not run in time" })),
      HANDOVER_MS,
    );
    try {
      const run = await work.promise;
      clearTimeout(timer);
      return await run();
    } finally {
      clearTimeout(timer);
    }
  });
  done.catch((error: unknown) => verdict.resolve(verdictOf(error)));
  return { fingerprint: fingerprintOf(call), verdict: verdict.promise, handOver: work.resolve, done };
}

function verdictOf(error: unknown): Verdict {
  const isAsk = error instanceof TrustWardenError && error.code === "approval_required";
  return isAsk ? { kind: "ask", request: String(error.details.request) } : { kind: "refused", error };
}

/** Runs under the open permit, or anew when that was gone before the work began; never both. */
async function pickUp<T>(open: OpenCall, act: () => Promise<T>, anew: () => Promise<T>): Promise<T> {
  let isTaken = false;
  let answer: { readonly value: T } | undefined;
  open.handOver(async () => {
    isTaken = true;
    answer = { value: await act() };
  });
  try {
    await open.done;
  } catch (error) {
    if (!isTaken) return anew();
    throw error;
  }
  if (answer === undefined) throw new Error("a permit that was used has an answer");
  return answer.value;
}

/**
 * The work, given up when its agent is stopped. A promise cannot be ended from outside: connections to services are
 * closed, and what it gives back afterwards is thrown away.
 */
async function untilStopped<T>(agent: AgentIdentity, work: () => Promise<T>): Promise<T> {
  const stopped = Promise.withResolvers<never>();
  // Whoever does not wait for it any more has its result.
  stopped.promise.catch(() => undefined);
  const unwatch = agent.whenStopped(() => {
    const cause = new TrustWardenError("identity_revoked", { reason: "stopped during the call" });
    stopped.reject(new TrustWardenError("call_cut", {}, { cause }));
  });
  try {
    return await Promise.race([work(), stopped.promise]);
  } finally {
    unwatch();
  }
}

/** The work, with an abort told apart from a failure. */
async function watched<T>(work: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (signal?.aborted === true) throw new TrustWardenError("call_aborted", {}, { cause });
    throw cause;
  }
}

/** The ledger has `aborted`; the framework gets what the tool threw, or that its agent was stopped. */
function unwrapAbort(error: unknown): unknown {
  if (!(error instanceof TrustWardenError) || error.cause === undefined) return error;
  return error.code === "call_aborted" || error.code === "call_cut" ? error.cause : error;
}
