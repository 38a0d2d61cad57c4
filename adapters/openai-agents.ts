/**
 * OpenAI Agents: each agent its own instance, each tool call decided and recorded.
 *
 * An agent is given as settings, and its tools as what `tool()` takes, so that the guard stands around the function that
 * does the work and sees how it ends; a finished tool hides its failures. A denied call is the text that the model
 * reads instead of a result; a call that waits for a human is one of the run's `interruptions`.
 */
import {
  Agent,
  type AgentInputItem,
  type AgentOptions,
  handoff,
  type RunContext,
  Runner,
  type RunResult,
  RunState,
  type Tool,
  tool,
} from "@openai/agents";
import { type AgentIdentity, TrustWardenError } from "trustwarden";
import { actAs } from "./acting.ts";
import { CallGate } from "./call-gate.ts";
import type { GuardOptions } from "./guard-options.ts";
import { guardMcpServers, type McpCall } from "./openai-agents-mcp.ts";
import { describeRefusal } from "./refusal-text.ts";
import { planToolCall } from "./tool-rules.ts";
import { type Turn, Turns, type Who } from "./turns.ts";

/** How an agent is guarded, and what runs it. */
export interface RunOptions extends GuardOptions {
  readonly runner?: Runner;
}

// biome-ignore lint/suspicious/noExplicitAny: the SDK's own way of saying any agent.
type AnyAgent = Agent<any, any>;
type ToolSettings = Parameters<typeof tool>[0];
/** What the SDK tells a tool about its call. */
type CallDetails = Parameters<ToolSettings["execute"]>[2];
/** What `tool()` takes, with the arguments of its own schema. */
export type ToolDefinition = Omit<ToolSettings, "execute" | "needsApproval" | "name"> & {
  readonly name: string;
  // biome-ignore lint/suspicious/noExplicitAny: the arguments are what the tool's own schema makes of them.
  readonly execute: (input: any, context?: RunContext, details?: CallDetails) => unknown;
};

/** An agent's settings; other guarded agents are what it may hand the conversation to. */
export interface GuardedSettings extends Omit<AgentOptions, "tools" | "handoffs"> {
  readonly tools?: readonly (ToolDefinition | Tool)[];
  readonly handoffs?: readonly GuardedAgent[];
}

/** What a run is given: a text, a conversation, or the state of one that was interrupted. */
export type RunInput = string | AgentInputItem[] | RunState<unknown, AnyAgent>;

/** The member of an agent's settings with which the provider adds tools of its own. */
const BRINGS_TOOLS = "prompt";

/** The instance that an agent's tools belong to, once there is one. */
interface Bound {
  turn: Turn | undefined;
}

/**
 * An agent whose every run is an instance with an identity of its own.
 *
 * @param who - its identity, or what it is to be as the child of the agent in whose work it is called or handed over to.
 * @throws TrustWardenError `tool_unguarded` for a tool that this process does not run, or whose function cannot be seen.
 */
export function guardAgent(settings: GuardedSettings, who: Who, options: RunOptions = {}): GuardedAgent {
  return new GuardedAgent(settings, who, options);
}

/** Owns the instances of one agent that wait for a human. */
export class GuardedAgent {
  readonly #settings: GuardedSettings;
  readonly #options: RunOptions;
  readonly #turns: Turns;
  readonly #gate = new CallGate();
  readonly #interrupted = new WeakMap<object, AnyAgent>();

  constructor(settings: GuardedSettings, who: Who, options: RunOptions) {
    this.#settings = settings;
    this.#options = options;
    this.#turns = new Turns(who);
    for (const given of settings.tools ?? []) this.#requireGuardable(given);
    if (settings[BRINGS_TOOLS] !== undefined && !options.unguarded?.includes(BRINGS_TOOLS))
      throw new TrustWardenError("tool_unguarded", { tool: BRINGS_TOOLS });
  }

  /**
   * One run, to its end or to its interruptions. Go on with `state`, after `state.approve(…)` or `state.reject(…)`.
   *
   * @throws TrustWardenError when the agent is over, and the codes of `Turns.begin`.
   */
  async run(
    input: RunInput,
    { signal }: { readonly signal?: AbortSignal } = {},
  ): Promise<RunResult<unknown, AnyAgent>> {
    const { runner = new Runner({ tracingDisabled: true }) } = this.#options;
    const handed: Turn[] = [];
    let isWaiting = false;
    const work = async (turn: Turn) => {
      const signals = AbortSignal.any([turn.signal, ...(signal === undefined ? [] : [signal])]);
      // What was interrupted goes on with the agents that it has, and their instances.
      const known = input instanceof RunState ? this.#interrupted.get(input) : undefined;
      const agent = known ?? this.#build({ turn }, handed);
      const result = await runner.run(agent, input, { signal: signals });
      if (result.interruptions.length > 0) this.#interrupted.set(result.state, agent);
      return result;
    };
    try {
      return await this.#turns.whole(work, ({ interruptions }) => {
        isWaiting = interruptions.length > 0;
        return isWaiting;
      });
    } finally {
      for (const turn of handed) await turn.end({ isWaiting });
    }
  }

  /** The SDK's agent, with tools of one instance; that of a handed-over agent comes with the handover. */
  #build(bound: Bound, handed: Turn[]): AnyAgent {
    const { tools = [], handoffs = [], ...rest } = this.#settings;
    const agent = new Agent({
      ...rest,
      tools: tools.map((given) => ("execute" in given ? this.#guardTool(given, bound) : given)),
      handoffs: handoffs.map((other) => other.#handoffFrom(bound, handed)),
    });
    if (!this.#options.unguarded?.includes("mcpServers"))
      guardMcpServers(agent, {
        needsApproval: (call) => this.#needsApproval(bound, call),
        run: (call, work, refused) => this.#run({ bound, call, refused }, work),
      });
    return agent;
  }

  #handoffFrom(from: Bound, handed: Turn[]): ReturnType<typeof handoff> {
    const bound: Bound = { turn: undefined };
    return handoff(this.#build(bound, handed), {
      onHandoff: async () => {
        const turn = await actAs(agentOf(from), () => this.#turns.begin());
        bound.turn = turn;
        handed.push(turn);
      },
    });
  }

  #guardTool(given: ToolDefinition, bound: Bound): Tool {
    const { name, execute } = given;
    const guarded = (input: unknown, context?: RunContext, details?: CallDetails): Promise<unknown> => {
      const call = { tool: name, id: details?.toolCall?.callId, input, signal: details?.signal };
      const refused = (text: string): unknown => text;
      return this.#run({ bound, call, refused }, async () => execute(input, context, details));
    };
    const needsApproval = (_: unknown, input: unknown, id?: string) =>
      this.#needsApproval(bound, { tool: name, id, input });
    const settings: ToolSettings = Object({ ...given, execute: guarded, needsApproval });
    return tool(settings);
  }

  /** The work of an allowed call; what the model reads instead, of a refused one. */
  async #run<T>(
    {
      bound,
      call: { tool, id, input, signal },
      refused,
    }: { readonly bound: Bound; readonly call: McpCall; readonly refused: (text: string) => T },
    work: () => Promise<T>,
  ): Promise<T> {
    const agent = agentOf(bound);
    const call = planToolCall(tool, input, this.#options.rules);
    try {
      return await this.#gate.run({ agent, id, signal }, call, work);
    } catch (error) {
      bound.turn?.onFailure(error);
      if (error instanceof TrustWardenError) return refused(describeRefusal(error, call));
      throw error;
    }
  }

  async #needsApproval(bound: Bound, { tool, id, input }: McpCall): Promise<boolean> {
    if (id === undefined) return false;
    const call = planToolCall(tool, input, this.#options.rules);
    const verdict = await this.#gate.begin({ agent: agentOf(bound), id }, call);
    return verdict.kind === "ask";
  }

  #requireGuardable(given: ToolDefinition | Tool): void {
    if ("execute" in given && !("type" in given)) return;
    if (this.#options.unguarded?.includes(String(given.name))) return;
    throw new TrustWardenError("tool_unguarded", { tool: String(given.name) });
  }
}

/** @throws TrustWardenError `agent_missing` for an agent to which nobody handed over. */
function agentOf({ turn }: Bound): AgentIdentity {
  if (turn === undefined) throw new TrustWardenError("agent_missing");
  return turn.agent;
}
