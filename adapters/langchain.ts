/**
 * LangChain.js and LangGraph: each agent its own instance, each tool call decided and recorded.
 *
 * A guarded tool is a LangChain tool with the same name and schema, so it works in `createAgent`, in a `ToolNode` and
 * when it is called by hand. A denied call is a `ToolMessage` with `status: "error"`, and the model goes on; a call that
 * waits for a human is LangGraph's `interrupt`, where the graph has a checkpointer.
 */
import type { CallbackManagerForToolRun } from "@langchain/core/callbacks/manager";
import { ToolMessage } from "@langchain/core/messages";
import type { RunnableConfig } from "@langchain/core/runnables";
import { StructuredTool } from "@langchain/core/tools";
import { interrupt, isGraphInterrupt } from "@langchain/langgraph";
import { type CreateAgentParams, createAgent } from "langchain";
import { type AgentIdentity, TrustWardenError } from "trustwarden";
import { requireActing } from "./acting.ts";
import { CallGate } from "./call-gate.ts";
import type { GuardOptions, OwnedGuardOptions } from "./guard-options.ts";
import { describeRefusal } from "./refusal-text.ts";
import { planToolCall, type ToolCall } from "./tool-rules.ts";
import { type Turn, Turns, type Who } from "./turns.ts";

type AgentParams = CreateAgentParams;
type AgentTool = NonNullable<AgentParams["tools"]>[number];

/**
 * The same tools, each call of them decided, recorded and run as the agent's.
 *
 * @throws TrustWardenError `tool_unguarded` for a tool that this process does not run, unless `unguarded` names it.
 */
export function guardTools(tools: readonly AgentTool[], options: OwnedGuardOptions = {}): AgentTool[] {
  const owned = { gate: new CallGate(), ...options };
  return tools.map((tool) => {
    if (tool instanceof StructuredTool) return new GuardedTool(Object(tool), owned);
    const { name, type } = Object(tool);
    const isMeant = [name, type].some((label) => options.unguarded?.includes(label));
    if (!isMeant) throw new TrustWardenError("tool_unguarded", { tool: String(name ?? type) });
    return tool;
  });
}

/** An agent of LangChain whose every run is an instance with an identity of its own. */
export interface GuardedAgent {
  /** As `createAgent(…).invoke`. @throws TrustWardenError when the agent itself is over; and the codes of `Turns.begin`. */
  readonly invoke: (input: unknown, config?: RunnableConfig) => Promise<Record<string, unknown>>;
  /** As `createAgent(…).stream`. */
  readonly stream: (input: unknown, config?: RunnableConfig) => AsyncGenerator<unknown, void>;
}

/**
 * `createAgent`, with an identity.
 *
 * @param who - its identity, or what it is to be as the child of the agent in whose work it is called.
 * @throws TrustWardenError `tool_unguarded`.
 */
export function guardAgent(params: AgentParams, who: Who, options: GuardOptions = {}): GuardedAgent {
  const turns = new Turns(who);
  const gate = new CallGate();
  // Refuses what cannot be guarded before anything runs.
  guardParams(params, options);
  const createInner = ({ agent, onFailure }: Turn) =>
    createAgent(guardParams(params, { ...options, agent, gate, onFailure }));
  const configOf = (turn: Turn, config: RunnableConfig = {}): object => ({
    ...config,
    signal: config.signal === undefined ? turn.signal : AbortSignal.any([turn.signal, config.signal]),
  });
  return {
    invoke: (input, config) =>
      turns.whole(
        async (turn): Promise<Record<string, unknown>> =>
          Object(await createInner(turn).invoke(Object(input), configOf(turn, config))),
        isInterrupted,
      ),
    async *stream(input, config) {
      const turn = await turns.begin();
      let isWaiting = false;
      try {
        const parts = await turn.run(() => createInner(turn).stream(Object(input), configOf(turn, config)));
        for await (const part of parts) {
          isWaiting ||= isInterrupted(part);
          yield part;
        }
      } finally {
        await turn.end({ isWaiting });
      }
    },
  };
}

/** The agent's own tools, and those that its middleware brings along. */
function guardParams(params: AgentParams, owned: OwnedGuardOptions): AgentParams {
  const { tools = [], middleware } = params;
  const guarded = middleware?.map((one) =>
    one.tools === undefined ? one : { ...one, tools: guardTools([...one.tools], owned) },
  );
  return { ...params, tools: guardTools([...tools], owned), ...(guarded && { middleware: guarded }) };
}

/**
 * A node of a graph that is an agent of its own: what it does, and the agents and tools that it calls, are its work.
 *
 * @param who - as for `guardAgent`.
 */
export function guardNode<State, Update>(
  who: Who,
  node: (state: State, config: RunnableConfig, agent: AgentIdentity) => Promise<Update>,
): (state: State, config: RunnableConfig) => Promise<Update> {
  const turns = new Turns(who);
  return async (state, config) => {
    const turn = await turns.begin();
    let isWaiting = false;
    try {
      return await turn.run(() => node(state, config, turn.agent));
    } catch (error) {
      isWaiting = isGraphInterrupt(error);
      throw error;
    } finally {
      await turn.end({ isWaiting });
    }
  };
}

/** What a guarded call was asked with. */
interface Asked {
  readonly id: string;
  readonly agent: AgentIdentity;
  readonly call: ToolCall;
  readonly signal: AbortSignal | undefined;
}

/** A tool behind the guard. */
class GuardedTool extends StructuredTool {
  override readonly name: string;
  override readonly description: string;
  override readonly schema: StructuredTool["schema"];
  readonly #tool: StructuredTool;
  readonly #owned: OwnedGuardOptions & { readonly gate: CallGate };

  constructor(tool: StructuredTool, owned: OwnedGuardOptions & { readonly gate: CallGate }) {
    const { metadata, tags, callbacks } = tool;
    super({ ...(metadata && { metadata }), ...(tags && { tags }), ...(callbacks && { callbacks }) });
    this.name = tool.name;
    this.description = tool.description;
    this.schema = tool.schema;
    this.returnDirect = tool.returnDirect;
    this.responseFormat = tool.responseFormat ?? "content";
    this.#tool = tool;
    this.#owned = owned;
  }

  override async _call(
    input: unknown,
    manager?: CallbackManagerForToolRun,
    config?: RunnableConfig,
  ): Promise<unknown> {
    const id: string | undefined = Object(config).toolCall?.id;
    const call = planToolCall(this.name, input, this.#owned.rules);
    // Not `invoke`: that would put the arguments through the schema again, after they were decided about.
    const work = async () => drain(await Object(this.#tool)._call(input, manager, config), manager);
    const agent = requireActing(this.#owned.agent);
    try {
      // Without the framework's id there is no graph to interrupt.
      if (id === undefined) return await this.#owned.gate.run({ agent, signal: config?.signal }, call, work);
      return await this.#runInGraph({ id, agent, call, signal: config?.signal }, work);
    } catch (error) {
      this.#owned.onFailure?.(error);
      if (!(error instanceof TrustWardenError) || id === undefined) throw error;
      const content = describeRefusal(error, call);
      const said = new ToolMessage({ status: "error", content, tool_call_id: id, name: this.name });
      return this.responseFormat === "content_and_artifact" ? [said, undefined] : said;
    }
  }

  async #runInGraph({ id, agent, call, signal }: Asked, work: () => Promise<unknown>): Promise<unknown> {
    const { gate } = this.#owned;
    const verdict = await gate.begin({ agent, id }, call);
    if (verdict.kind === "ask") requireGoAhead(verdict.request, call);
    return gate.run({ agent, id, signal }, call, work);
  }
}

/**
 * LangGraph's interrupt: ends the run the first time, and gives what it is resumed with after that. Its yes alone lets
 * nothing happen, since the call still waits for the owner's.
 *
 * @throws TrustWardenError `approval_denied` for a no; `approval_required` where nothing can be interrupted.
 */
function requireGoAhead(request: string, { tool, action, resource, params }: ToolCall): void {
  let answer: unknown;
  try {
    answer = interrupt({ kind: "trustwarden-approval", request, tool, action, resource, params });
  } catch (error) {
    if (isGraphInterrupt(error)) throw error;
    throw new TrustWardenError("approval_required", { request }, { cause: error });
  }
  if (answer === false || Object(answer).approved === false)
    throw new TrustWardenError("approval_denied", { request });
}

/** What a tool that gives parts comes to; the parts go to whoever listens. */
async function drain(result: unknown, manager: CallbackManagerForToolRun | undefined): Promise<unknown> {
  if (!isGenerator(result)) return result;
  for (;;) {
    const { done, value } = await result.next();
    if (done) return value;
    await manager?.handleToolEvent(value);
  }
}

function isGenerator(value: unknown): value is AsyncGenerator<unknown, unknown> {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value && "next" in value;
}

function isInterrupted(result: unknown): boolean {
  return Object.hasOwn(Object(result), "__interrupt__");
}
