/**
 * Claude Agent SDK: the agent and each of its sub-agents an instance, each tool call decided and recorded.
 *
 * The SDK's program runs the tools, and asks its hooks before and tells them after; the guard is those hooks. A hook that
 * fails blocks the call. A denied call is the SDK's own denial, which the model reads; a call that waits for a human goes
 * through `canUseTool`. What the guard allows the SDK's own permission rules may still refuse.
 */
import {
  type CanUseTool,
  type HookCallback,
  type HookCallbackMatcher,
  type HookInput,
  type HookJSONOutput,
  type Options,
  query,
  type SDKMessage,
} from "@anthropic-ai/claude-agent-sdk";
import { type AgentIdentity, type ChildOptions, TrustWardenError } from "trustwarden";
import { CallGate } from "./call-gate.ts";
import { describeRefusal } from "./refusal-text.ts";
import { planToolCall, type ToolCall, type ToolRules } from "./tool-rules.ts";
import { type Turn, Turns, type Who } from "./turns.ts";

/** A decision takes milliseconds; a server that cannot be reached is a refusal after this. */
const HOOK_TIMEOUT_SECONDS = 30;

/** Permission modes in which the SDK asks when a hook says so; in the others it might go on by itself. */
const ASKING_MODES = new Set(["default", "plan"]);

/** How tools are guarded. */
export interface GuardOptions {
  /** What each tool means, by the SDK's name of it; `use:tool:<name>` unless named. */
  readonly rules?: ToolRules;
  /** What each sub-agent is to be, by its type; those without are refused every tool. */
  readonly subagents?: Readonly<Record<string, ChildOptions>>;
}

/** A call that runs in the SDK's program. */
interface Running {
  readonly agent: AgentIdentity;
  readonly call: ToolCall;
  readonly end: PromiseWithResolvers<void>;
  /** The arguments that were decided about, as text. */
  readonly asked: string;
  isStarted: boolean;
}

/**
 * `query`, with an identity.
 *
 * @param who - its identity, or what it is to be as the child of the agent in whose work it is called.
 * @throws TrustWardenError when the agent is over, and the codes of `Turns.begin`.
 */
export async function* guardedQuery(
  asked: { readonly prompt: string; readonly options?: Options },
  who: Who,
  guard: GuardOptions = {},
): AsyncGenerator<SDKMessage, void> {
  const turn = await new Turns(who).begin();
  const controller = asked.options?.abortController ?? new AbortController();
  turn.signal.addEventListener("abort", () => controller.abort(turn.signal.reason), { once: true });
  const guarded = new GuardedRun(turn, { ...guard, canUseTool: asked.options?.canUseTool });
  try {
    const options = { ...asked.options, ...guarded.optionsOver(asked.options), abortController: controller };
    for await (const message of query({ prompt: asked.prompt, options })) {
      turn.signal.throwIfAborted();
      yield message;
    }
  } catch (error) {
    // What ended the agent says more than the abort that it caused.
    turn.signal.throwIfAborted();
    throw error;
  } finally {
    await guarded.close();
    await turn.end();
  }
}

/** Owns the calls that run, and the instances of sub-agents, of one query. */
class GuardedRun {
  readonly #turn: Turn;
  readonly #guard: GuardOptions & { readonly canUseTool: CanUseTool | undefined };
  readonly #gate = new CallGate();
  readonly #running = new Map<string, Running>();
  readonly #outcomes = new Set<Promise<void>>();
  readonly #subagents = new Map<string, Promise<AgentIdentity>>();

  constructor(turn: Turn, guard: GuardOptions & { readonly canUseTool: CanUseTool | undefined }) {
    this.#turn = turn;
    this.#guard = guard;
  }

  /** What makes the SDK ask us, beside the hooks that the caller has. */
  optionsOver(options: Options = {}): Pick<Options, "hooks" | "canUseTool"> {
    const hook = (listener: (input: HookInput) => Promise<HookJSONOutput>): HookCallbackMatcher => ({
      hooks: [listener],
      timeout: HOOK_TIMEOUT_SECONDS,
      onFailure: "block",
    });
    const ended = hook(async (input) => this.#onEnded(input));
    const added = {
      PreToolUse: hook((input) => this.#onAsked(input)),
      PostToolUse: ended,
      PostToolUseFailure: ended,
      SubagentStop: hook(async (input) => this.#onLeft(input)),
    };
    const hooks = { ...options.hooks };
    if (hooks.PreToolUse !== undefined) hooks.PreToolUse = hooks.PreToolUse.map(withoutChanges);
    for (const [event, matcher] of Object.entries(added))
      Object.assign(hooks, { [event]: [matcher, ...(Reflect.get(hooks, event) ?? [])] });
    return { hooks, canUseTool: this.#canUseTool };
  }

  /** Whatever runs has been broken off; then the sub-agents are over too. */
  async close(): Promise<void> {
    for (const { end } of this.#running.values()) end.reject(new TrustWardenError("call_aborted"));
    await Promise.all(this.#outcomes);
    for (const subagent of this.#subagents.values()) await endInstance(subagent);
  }

  async #onAsked(input: HookInput): Promise<HookJSONOutput> {
    if (input.hook_event_name !== "PreToolUse") return {};
    const { tool_use_id: id, tool_name: tool } = input;
    try {
      const call = planToolCall(tool, input.tool_input, this.#guard.rules);
      const agent = await this.#agentOf(input);
      const verdict = await this.#gate.begin({ agent, id }, call);
      if (verdict.kind === "refused") return this.#refused(agent, call, verdict.error);
      if (verdict.kind === "ask" && !ASKING_MODES.has(input.permission_mode ?? "default"))
        throw new TrustWardenError("approval_required", { request: verdict.request });
      const asked = JSON.stringify(input.tool_input);
      const running: Running = { agent, call, end: Promise.withResolvers<void>(), asked, isStarted: false };
      this.#running.set(id, running);
      if (verdict.kind === "ask") return answer("ask", `${call.action} needs the yes of the agent's owner.`);
      await this.#start(id, running);
      return {};
    } catch (error) {
      this.#turn.onFailure(error);
      return answer("deny", describeRefusal(error, { tool, action: `use:tool:${tool}` }));
    }
  }

  #refused(agent: AgentIdentity, call: ToolCall, error: unknown): HookJSONOutput {
    this.#noteEnd(agent, error);
    return answer("deny", describeRefusal(error, call));
  }

  /** The end of the query's own agent ends the query, and its program with whatever runs; a sub-agent ends alone. */
  #noteEnd(agent: AgentIdentity, error: unknown): void {
    if (agent === this.#turn.agent) this.#turn.onFailure(error);
  }

  /** Opens the act; resolves when it is allowed and under way. */
  #start(id: string, running: Running): Promise<void> {
    const { agent, call, end } = running;
    running.isStarted = true;
    // Nobody waits for it between the start and the end.
    end.promise.catch(() => undefined);
    const started = Promise.withResolvers<void>();
    const outcome = this.#gate.run({ agent, id }, call, () => {
      started.resolve();
      return end.promise;
    });
    const settled = outcome.then(
      () => undefined,
      // The tool's own failure is in the ledger now; a refusal is told to whoever waits for the start.
      (error: unknown) => {
        started.reject(error);
        this.#noteEnd(agent, error);
      },
    );
    this.#outcomes.add(settled);
    return started.promise;
  }

  /** The application's user may say no; only the owner's yes lets the call happen. */
  readonly #canUseTool: CanUseTool = async (tool, input, details) => {
    const running = this.#running.get(details.toolUseID);
    const own = await this.#guard.canUseTool?.(tool, input, details);
    if (own?.behavior === "deny") return own;
    if (running === undefined) return { behavior: "deny", message: `${tool} was not decided about.` };
    // What somebody changed is not what was asked about.
    if (JSON.stringify(own?.updatedInput ?? input) !== running.asked) {
      running.end.reject(new TrustWardenError("call_aborted"));
      return { behavior: "deny", message: changedText(tool) };
    }
    // The guard has allowed it, and the SDK's own rules ask: that is the user's alone.
    if (running.isStarted) return own ?? { behavior: "deny", message: `${tool} was not permitted.` };
    try {
      await this.#start(details.toolUseID, running);
      return { behavior: "allow", updatedInput: input };
    } catch (error) {
      this.#noteEnd(running.agent, error);
      return { behavior: "deny", message: describeRefusal(error, running.call) };
    }
  };

  #onEnded(input: HookInput): HookJSONOutput {
    if (input.hook_event_name !== "PostToolUse" && input.hook_event_name !== "PostToolUseFailure") return {};
    const running = this.#running.get(input.tool_use_id);
    this.#running.delete(input.tool_use_id);
    if (input.hook_event_name === "PostToolUse") running?.end.resolve();
    else
      running?.end.reject(
        input.is_interrupt === true ? new TrustWardenError("call_aborted") : new Error("failed"),
      );
    return {};
  }

  async #onLeft(input: HookInput): Promise<HookJSONOutput> {
    if (input.hook_event_name !== "SubagentStop") return {};
    const subagent = this.#subagents.get(input.agent_id);
    this.#subagents.delete(input.agent_id);
    if (subagent !== undefined) await endInstance(subagent);
    return {};
  }

  /** @throws TrustWardenError `agent_missing` for a sub-agent of a type that nobody named; what `spawn` throws. */
  #agentOf({ agent_id: id, agent_type: type = "" }: HookInput): Promise<AgentIdentity> {
    if (id === undefined) return Promise.resolve(this.#turn.agent);
    const known = this.#subagents.get(id);
    if (known !== undefined) return known;
    const { subagents = {} } = this.#guard;
    const child = Object.hasOwn(subagents, type) ? subagents[type] : undefined;
    if (child === undefined) throw new TrustWardenError("agent_missing", { type });
    const spawned = this.#turn.agent.spawn(child);
    this.#subagents.set(id, spawned);
    return spawned;
  }
}

const changedText = (tool: string) => `${tool} was changed after it was decided about.`;

/** The caller's hooks may refuse a call, and not make another one of it. */
function withoutChanges(matcher: HookCallbackMatcher): HookCallbackMatcher {
  const hooks = matcher.hooks.map(
    (hook): HookCallback =>
      async (input, id, options) => {
        const said = await hook(input, id, options);
        const { updatedInput } = Object(Object(said).hookSpecificOutput);
        const { tool_input: asked, tool_name: tool } = Object(input);
        const isSame = updatedInput === undefined || JSON.stringify(updatedInput) === JSON.stringify(asked);
        return isSame ? said : answer("deny", changedText(String(tool)));
      },
  );
  return { ...matcher, hooks };
}

function answer(permissionDecision: "ask" | "deny", permissionDecisionReason: string): HookJSONOutput {
  return {
    hookSpecificOutput: { hookEventName: "PreToolUse", permissionDecision, permissionDecisionReason },
  };
}

async function endInstance(subagent: Promise<AgentIdentity>): Promise<void> {
  try {
    await (await subagent).revoke("the run is over");
  } catch {
    // Safe to go on: it never was, or it ended with its parent.
  }
}
