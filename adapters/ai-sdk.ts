/**
 * The AI SDK (`ai`): each agent its own instance, each tool call decided and recorded.
 *
 * `guardAgent` is the AI SDK's own `ToolLoopAgent`, made anew for each run with tools that belong to the run's
 * instance. A denied call is a `tool-error` part, and the model goes on; a call that waits for a human is the AI SDK's
 * tool approval; an agent that was stopped ends its run. The model's own calls are not tool calls: put the model
 * behind the gateway for those.
 */
import { type Agent, ToolLoopAgent, type ToolLoopAgentSettings, type ToolSet } from "ai";
import { TrustWardenError } from "trustwarden";
import { CallGate } from "./call-gate.ts";
import type { GuardOptions, OwnedGuardOptions } from "./guard-options.ts";
import { streamThrough } from "./stream-through.ts";
import { planToolCall } from "./tool-rules.ts";
import { type Turn, Turns, type Who } from "./turns.ts";

const GENERATORS = new Set(["AsyncGeneratorFunction", "GeneratorFunction"]);

/**
 * The same tools, each call of them decided, recorded and run as the agent's.
 *
 * @throws TrustWardenError `tool_unguarded` for a tool that this process does not run, unless `unguarded` names it.
 */
export function guardTools<TOOLS extends ToolSet>(tools: TOOLS, options: OwnedGuardOptions = {}): TOOLS {
  const owned = { gate: new CallGate(), ...options };
  const guarded = Object.entries(tools).map(([name, tool]) => [name, guardTool(name, tool, owned)]);
  // The one cast: the same names with tools of the same types, which `fromEntries` cannot say.
  return Object.fromEntries(guarded) as TOOLS;
}

/**
 * An agent whose every run is an instance with an identity of its own.
 *
 * @param settings - those of `ToolLoopAgent`.
 * @param who - its identity, or what it is to be as the child of the agent in whose work it is called.
 * @throws TrustWardenError `tool_unguarded`.
 */
export function guardAgent<TOOLS extends ToolSet>(
  settings: ToolLoopAgentSettings<never, TOOLS>,
  who: Who,
  options: GuardOptions = {},
): Agent<never, TOOLS> {
  const turns = new Turns(who);
  const gate = new CallGate();
  const { tools } = settings;
  const createInner = ({ agent, onFailure }: Pick<Turn, "agent" | "onFailure">) => {
    const guarded = tools && guardTools(tools, { ...options, agent, gate, onFailure });
    return new ToolLoopAgent<never, TOOLS>({
      ...settings,
      ...(guarded && { tools: guarded }),
      // The last word before a run, so whatever its options or the settings added to the tools is found here.
      prepareCall: async (call) => {
        const prepared = (await settings.prepareCall?.(call)) ?? call;
        requireKnown(prepared.tools, guarded);
        return Object(prepared);
      },
    });
  };
  // Refuses what cannot be guarded before anything runs; these tools are never called.
  const shown = tools === undefined ? undefined : guardTools(tools, options);
  return {
    version: "agent-v1",
    id: settings.id,
    // The one cast: an agent without tools has none to show.
    tools: (shown ?? {}) as TOOLS,
    generate: (asked) =>
      turns.whole(
        (turn) =>
          createInner(turn).generate({ ...asked, abortSignal: eitherSignal(turn.signal, asked.abortSignal) }),
        ({ content }) => content.some(({ type }) => type === "tool-approval-request"),
      ),
    stream: async (asked) => {
      const turn = await turns.begin();
      const abortSignal = eitherSignal(turn.signal, asked.abortSignal);
      const result = await turn.run(() => createInner(turn).stream({ ...asked, abortSignal }));
      // Reading it to its end is the run; whoever reads the parts gets all of them besides.
      void endWith(turn, result.content);
      return result;
    },
  };
}

/** @throws TrustWardenError `tool_unguarded` for a tool that is none of the guarded ones. */
function requireKnown(tools: ToolSet | undefined, guarded: ToolSet | undefined): void {
  const known = new Set(Object.values(guarded ?? {}));
  const strange = Object.entries(tools ?? {}).find(([, tool]) => !known.has(tool));
  if (strange !== undefined) throw new TrustWardenError("tool_unguarded", { tool: strange[0] });
}

function guardTool(
  name: string,
  tool: ToolSet[string],
  owned: OwnedGuardOptions & { readonly gate: CallGate },
): ToolSet[string] {
  const { execute } = tool;
  if (execute === undefined) {
    if (owned.unguarded?.includes(name)) return tool;
    throw new TrustWardenError("tool_unguarded", { tool: name });
  }
  const { gate, agent, rules, onFailure } = owned;
  const plan = (input: unknown) => planToolCall(name, input, rules);
  const run = async <T>(input: unknown, call: Call, work: () => Promise<T>): Promise<T> => {
    try {
      return await gate.run({ agent, id: call.toolCallId, signal: call.abortSignal }, plan(input), work);
    } catch (error) {
      onFailure?.(error);
      throw error;
    }
  };
  const isStreaming = GENERATORS.has(execute.constructor.name);
  return {
    ...tool,
    execute: isStreaming
      ? (input: Input, call: Call) =>
          streamThrough((emit) => run(input, call, () => drain(execute(input, call), emit)))
      : (input: Input, call: Call) => run(input, call, async () => drain(execute(input, call))),
    needsApproval: async (input: Input, call: Pick<Call, "toolCallId" | "messages" | "context">) => {
      const own =
        typeof tool.needsApproval === "function" ? await tool.needsApproval(input, call) : tool.needsApproval;
      if (own === true) return true;
      const verdict = await gate.begin({ agent, id: call.toolCallId }, plan(input));
      return verdict.kind === "ask";
    },
  };
}

type Call = Parameters<NonNullable<ToolSet[string]["execute"]>>[1];
type Input = Parameters<NonNullable<ToolSet[string]["execute"]>>[0];

/** The tool's result; of a stream its last part, as the AI SDK takes it. */
async function drain(result: unknown, emit: (part: unknown) => void = () => undefined): Promise<unknown> {
  if (!isAsyncIterable(result)) return result;
  let last: unknown;
  for await (const part of result) {
    last = part;
    emit(part);
  }
  return last;
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value;
}

async function endWith(
  turn: Turn,
  content: PromiseLike<readonly { readonly type: string }[]>,
): Promise<void> {
  try {
    const parts = await content;
    await turn.end({ isWaiting: parts.some(({ type }) => type === "tool-approval-request") });
  } catch {
    // Told to whoever reads the stream; here it only says that the run is over.
    await turn.end();
  }
}

function eitherSignal(own: AbortSignal, asked: AbortSignal | undefined): AbortSignal {
  return asked === undefined ? own : AbortSignal.any([own, asked]);
}
