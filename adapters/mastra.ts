/**
 * Mastra: each agent its own instance, each tool call decided and recorded.
 *
 * A denied call is the tool's error, which Mastra gives to the model; a call that waits for a human is Mastra's
 * `suspend`, where the agent belongs to a `Mastra` with a storage. What adds tools of its own behind the agent's back
 * (sub-agents, workflows, a workspace, a browser, memory) is refused unless it is named.
 */
import { Agent, type AgentConfig } from "@mastra/core/agent";
import type { Tool } from "@mastra/core/tools";
import { TrustWardenError } from "trustwarden";
import { requireActing } from "./acting.ts";
import { CallGate } from "./call-gate.ts";
import type { GuardOptions, OwnedGuardOptions } from "./guard-options.ts";
import { describeRefusal } from "./refusal-text.ts";
import { planToolCall, type ToolCall } from "./tool-rules.ts";
import { type Turn, Turns, type Who } from "./turns.ts";

/** Members of an agent's settings that bring tools with them. */
const BRING_TOOLS = ["agents", "workflows", "workspace", "browser", "memory", "skills", "channels"];
/** Members of an agent's settings, of their `defaultOptions` and of a run's options that do. */
const BRING_TOOLS_TO_A_RUN = ["toolsets", "clientTools", "inputProcessors", "prepareStep"];
/** Runs that wait for a human; the oldest is forgotten. */
const MAX_SUSPENDED = 256;

// biome-ignore lint/suspicious/noExplicitAny: Mastra's own way of saying any tool.
type AnyTool = Tool<any, any, any, any, any, any, any>;
type Tools = Readonly<Record<string, AnyTool>>;
type Execute = NonNullable<AnyTool["execute"]>;
type Generate = Agent["generate"];
type Output = Awaited<ReturnType<Agent["resumeGenerate"]>>;

/** The settings of an agent with a fixed set of tools. */
export type GuardedConfig = Omit<AgentConfig, "tools"> & { readonly tools?: Tools };

/** An agent of Mastra whose every run is an instance with an identity of its own. */
export interface GuardedAgent {
  /** As `Agent.generate`. @throws TrustWardenError `tool_unguarded` for options that bring tools; when the agent itself is over; and the codes of `Turns.begin`. */
  readonly generate: (messages: Parameters<Generate>[0], options?: object) => Promise<Output>;
  /** Goes on with a suspended run: `{ approved: true }` or `{ approved: false }`. */
  readonly resume: (answer: { readonly approved: boolean }, suspended: Output) => Promise<Output>;
}

/**
 * The same tools, each call of them decided, recorded and run as the agent's.
 *
 * @throws TrustWardenError `tool_unguarded` for a tool that this process does not run, unless `unguarded` names it.
 */
export function guardTools(tools: Tools, options: OwnedGuardOptions = {}): Tools {
  const owned = { gate: new CallGate(), ...options };
  return Object.fromEntries(
    Object.entries(tools).map(([name, tool]) => [name, guardTool(name, tool, owned)]),
  );
}

/**
 * `new Agent`, with an identity.
 *
 * @param who - its identity, or what it is to be as the child of the agent in whose work it is called.
 * @throws TrustWardenError `tool_unguarded`.
 */
export function guardAgent(config: GuardedConfig, who: Who, options: GuardOptions = {}): GuardedAgent {
  const turns = new Turns(who);
  const gate = new CallGate();
  const suspended = new Map<string, Agent>();
  const { tools = {} } = config;
  requireNothingBeside(config, options);
  guardTools(tools, options);
  const createInner = ({ agent, onFailure }: Turn) =>
    new Agent(Object({ ...config, tools: guardTools(tools, { ...options, agent, gate, onFailure }) }));
  const keep = (inner: Agent, output: Output): Output => {
    const { runId } = output;
    if (!isSuspended(output) || runId === undefined) return output;
    suspended.set(runId, inner);
    const [oldest] = suspended.keys();
    if (suspended.size > MAX_SUSPENDED && oldest !== undefined) suspended.delete(oldest);
    return output;
  };
  return {
    generate: async (messages, given = {}) => {
      requireNoneOf(BRING_TOOLS_TO_A_RUN, given, options);
      return turns.whole(async (turn) => {
        const inner = createInner(turn);
        const settings = { ...given, abortSignal: signalOf(turn, given) };
        return keep(inner, Object(await inner.generate(messages, Object(settings))));
      }, isSuspended);
    },
    resume: (answer, { runId, suspendPayload }) =>
      turns.whole(async (turn) => {
        const inner = suspended.get(runId ?? "");
        if (inner === undefined) throw new TrustWardenError("approval_unknown", { run: runId ?? "" });
        suspended.delete(runId ?? "");
        const { toolCallId } = Object(suspendPayload);
        const settings = { runId, toolCallId, abortSignal: turn.signal };
        return keep(inner, Object(await inner.resumeGenerate(answer, Object(settings))));
      }, isSuspended),
  };
}

function guardTool(
  name: string,
  tool: AnyTool,
  owned: OwnedGuardOptions & { readonly gate: CallGate },
): AnyTool {
  const { execute } = tool;
  if (execute === undefined) {
    if (owned.unguarded?.includes(name)) return tool;
    throw new TrustWardenError("tool_unguarded", { tool: name });
  }
  const guarded: Execute = async (input, context) => {
    const call = planToolCall(name, input, owned.rules);
    try {
      return await runGuarded({ call, context, owned }, () => execute.call(tool, input, context));
    } catch (error) {
      owned.onFailure?.(error);
      if (!(error instanceof TrustWardenError)) throw error;
      throw new Error(describeRefusal(error, call), { cause: error });
    }
  };
  // The tool itself, with another function: Mastra tells its tools by their class.
  return Object.assign(Object.create(Object.getPrototypeOf(tool)), tool, { execute: guarded });
}

async function runGuarded(
  asked: {
    readonly call: ToolCall;
    readonly context: Parameters<Execute>[1];
    readonly owned: OwnedGuardOptions & { readonly gate: CallGate };
  },
  work: () => Promise<unknown>,
): Promise<unknown> {
  const { call, context, owned } = asked;
  const agent = requireActing(owned.agent);
  const { toolCallId: id, suspend, resumeData } = Object(context?.agent ?? context?.workflow);
  const signal = context?.abortSignal;
  if (id === undefined || suspend === undefined) return owned.gate.run({ agent, signal }, call, work);
  const verdict = await owned.gate.begin({ agent, id }, call);
  if (verdict.kind === "ask" && resumeData?.approved === false)
    throw new TrustWardenError("approval_denied", { request: verdict.request });
  if (verdict.kind === "ask" && resumeData?.approved !== true) {
    const { tool, action, resource, params } = call;
    return suspend({
      kind: "trustwarden-approval",
      request: verdict.request,
      tool,
      action,
      resource,
      params,
    });
  }
  return owned.gate.run({ agent, id, signal }, call, work);
}

function requireNothingBeside(config: GuardedConfig, options: GuardOptions): void {
  const { defaultOptions } = config;
  requireNoneOf([...BRING_TOOLS, ...BRING_TOOLS_TO_A_RUN], config, options);
  // What a function will say of each run cannot be seen.
  if (typeof defaultOptions === "function") requireNoneOf(["defaultOptions"], config, options);
  else requireNoneOf(BRING_TOOLS_TO_A_RUN, Object(defaultOptions), options);
}

function requireNoneOf(members: readonly string[], of: object, { unguarded = [] }: GuardOptions): void {
  const beside = members.find((member) => Object.hasOwn(of, member) && !unguarded.includes(member));
  if (beside !== undefined) throw new TrustWardenError("tool_unguarded", { tool: beside });
}

function signalOf(turn: Turn, { abortSignal }: { readonly abortSignal?: AbortSignal }): AbortSignal {
  return abortSignal === undefined ? turn.signal : AbortSignal.any([turn.signal, abortSignal]);
}

function isSuspended({ finishReason }: Output): boolean {
  return String(finishReason) === "suspended";
}
