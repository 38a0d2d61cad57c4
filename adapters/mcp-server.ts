/**
 * MCP servers that agents visit: who calls is proven, each tool call is decided by the engine, and `tools/list` shows
 * exactly what `tools/call` would allow.
 *
 * The visit itself is `verifyAgent`'s (mutual TLS, an intent for these very bytes, decision, outcome). The guard is around
 * the server's transport, so whatever handler the server has is behind it. A session belongs to the agent that opened it.
 *
 * @see docs/guides/mcp-tools.md
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { type GuardAgents, type Question, type Route, TrustWardenError, type Visit } from "trustwarden";
import { describeRefusal } from "./refusal-text.ts";
import { planToolCall, type ToolCall, type ToolRules } from "./tool-rules.ts";

/** What the route already decided about: keeping the connection going, and lists that are filtered below. */
const PLUMBING = new Set(["initialize", "ping", "server/discover", "logging/setLevel", "tools/list"]);
const REFUSED = -32_001;

interface Message {
  readonly id?: string | number | undefined;
  readonly method?: string | undefined;
  readonly params?: unknown;
  readonly result?: unknown;
}

interface AnyTransport {
  send(message: never, options?: never): Promise<void>;
  onmessage?: ((message: never, extra?: never) => void) | undefined;
}

/** How a server is guarded. */
export interface McpServerOptions {
  /** Name of the server in actions: one segment. */
  readonly server: string;
  /** What a tool means, by its name; `call:mcp:<server>/<tool>` unless named. */
  readonly rules?: ToolRules;
}

/** The guard of one MCP server. */
export interface McpGuard {
  /** Serves one visit: what `work` hands to a guarded transport is the visitor's. */
  readonly visited: <T>(visit: Visit, work: () => T) => T;
  /** The same transport, guarded. Give it to `server.connect`. */
  readonly guardTransport: <T extends AnyTransport>(transport: T) => T;
}

/** Rows of the route table for an MCP endpoint. @param path - of the endpoint, such as `/mcp`. */
export function mcpRoutes(server: string, path = "/mcp"): readonly Route[] {
  const row = { path, action: `list:mcp:${server}/server`, resource: `mcp://${server}` };
  return ["POST", "GET", "DELETE"].map((method) => ({ ...row, method }));
}

/** The guard of an MCP server behind `verifyAgent`. */
export function guardMcp(agents: Pick<GuardAgents, "evaluate">, options: McpServerOptions): McpGuard {
  const visits = new AsyncLocalStorage<Visit>();
  return {
    visited: (visit, work) => visits.run(visit, work),
    guardTransport: (transport) => guardOne(transport, { agents, options, visitor: () => visits.getStore() }),
  };
}

interface Behind {
  readonly agents: Pick<GuardAgents, "evaluate">;
  readonly options: McpServerOptions;
  readonly visitor: () => Visit | undefined;
}

function guardOne<T extends AnyTransport>(transport: T, behind: Behind): T {
  const connection = new ServedConnection(transport, behind);
  return new Proxy(transport, {
    get: (target, name) => {
      if (name === "send") return connection.send;
      if (name === "onmessage") return connection.listener;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
    set: (target, name, value) => {
      if (name !== "onmessage") return Reflect.set(target, name, value, target);
      connection.listener = value;
      return true;
    },
  });
}

/** Owns whose connection it is. */
class ServedConnection {
  listener: ((message: Message, extra?: unknown) => void) | undefined;
  readonly #send: (message: Message, options?: unknown) => Promise<void>;
  readonly #behind: Behind;
  #owner: string | undefined;

  constructor(transport: AnyTransport, behind: Behind) {
    // The one cast: what goes out is what the SDK gave, whose own type of message each SDK has.
    this.#send = (message, sent) => transport.send(message as never, sent as never);
    this.#behind = behind;
    Object.assign(transport, {
      onmessage: (message: Message, extra?: unknown) => void this.#receive(message, extra),
    });
  }

  readonly send = async (message: Message, sent?: unknown): Promise<void> => {
    // By what it is and not by the request's id: whoever asks chooses the ids, and may use one twice.
    const { tools } = Object(message.result);
    await this.#send(Array.isArray(tools) ? await this.#filtered(message, tools) : message, sent);
  };

  /** Rejects never: what stops a message is its answer. */
  async #receive(message: Message, extra: unknown): Promise<void> {
    const visit = this.#behind.visitor();
    const { id, method } = message;
    try {
      this.#requireOwner(visit);
      if (method === undefined || method.startsWith("notifications/")) return this.listener?.(message, extra);
      if (!PLUMBING.has(method)) await this.#requireAllowed(message, visit);
      visit.signal.throwIfAborted();
      if (id !== undefined) this.#cancelWith(visit, id);
      this.listener?.(message, extra);
    } catch (error) {
      if (id === undefined) return;
      const call = planMessage(message, this.#behind.options) ?? {
        tool: String(method),
        action: String(method),
      };
      await this.#send({ ...{ jsonrpc: "2.0", id }, ...refusalOf(method, call, error) });
    }
  }

  /** A visit that is cut ends the tool's work as its caller could, by the signal that the SDK gives to tools. */
  #cancelWith({ signal }: Visit, requestId: string | number): void {
    const params = { requestId, reason: "The agent was stopped." };
    const message = { jsonrpc: "2.0", method: "notifications/cancelled", params };
    signal.addEventListener("abort", () => this.listener?.(message), { once: true });
  }

  #requireOwner(visit: Visit | undefined): asserts visit is Visit {
    if (visit === undefined) throw new TrustWardenError("agent_missing", { reason: "no visit" });
    this.#owner ??= visit.agent.spiffeId;
    if (this.#owner !== visit.agent.spiffeId) throw new TrustWardenError("mcp_session_unknown");
  }

  async #requireAllowed(message: Message, { agent }: Visit): Promise<void> {
    const call = planMessage(message, this.#behind.options);
    if (call === undefined) throw new TrustWardenError("tool_unguarded", { method: message.method ?? "" });
    const [answer] = await this.#behind.agents.evaluate(agent.spiffeId, [questionOf(call)]);
    if (answer?.allow !== true) throw new TrustWardenError("denied", { reasons: answer?.reasons ?? [] });
  }

  /** Without the tools that a call of the same agent would be refused; one question for all of them. Rejects never. */
  async #filtered(message: Message, tools: readonly unknown[]): Promise<Message> {
    try {
      if (this.#owner === undefined) throw new TrustWardenError("agent_missing", { reason: "no visit" });
      const names = tools.map((tool) => String(Object(tool).name));
      const questions = names.map((name) => questionOf(planCall(name, {}, this.#behind.options)));
      const answers = await this.#behind.agents.evaluate(this.#owner, questions);
      const shown = tools.filter((_, index) => answers[index]?.allow === true);
      return { ...message, result: { ...Object(message.result), tools: shown } };
    } catch (error) {
      const call = { tool: "tools/list", action: "tools/list" };
      const { result: _, ...rest } = message;
      return { ...rest, ...refusalOf("tools/list", call, error) };
    }
  }
}

/** What a request means; undefined for a method that has no meaning here. */
function planMessage({ method, params }: Message, options: McpServerOptions): ToolCall | undefined {
  const { name, uri, arguments: input } = Object(params);
  const { server } = options;
  const plan = (tool: string, action: string) =>
    planToolCall(tool, input, {
      [tool]: { action, resource: `mcp://${server}/${encodeURIComponent(tool)}` },
    });
  switch (method) {
    case "tools/call":
      return planCall(String(name), input, options);
    case "prompts/get":
      return plan(String(name), `get:mcp:${server}/prompts/${name}`);
    case "prompts/list":
    case "resources/list":
    case "resources/templates/list":
    case "completion/complete":
      return plan(method, `list:mcp:${server}/server`);
    case "resources/read":
    case "resources/subscribe":
    case "resources/unsubscribe":
      return plan(String(uri), `read:mcp:${server}/resources`);
    default:
      return undefined;
  }
}

function planCall(name: string, input: unknown, { server, rules }: McpServerOptions): ToolCall {
  const resource = `mcp://${server}/${encodeURIComponent(name)}`;
  return planToolCall(name, input, { [name]: { action: `call:mcp:${server}/${name}`, resource }, ...rules });
}

function questionOf({ action, resource, params }: ToolCall): Question {
  return { action, resource, params };
}

function refusalOf(
  method: string | undefined,
  call: Pick<ToolCall, "tool" | "action">,
  error: unknown,
): { readonly error: object } | { readonly result: object } {
  const text = describeRefusal(error, call);
  if (method !== "tools/call") return { error: { code: REFUSED, message: text } };
  return { result: { content: [{ type: "text", text }], isError: true } };
}
