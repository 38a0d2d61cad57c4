/**
 * MCP clients: every message that makes the server do something is decided and recorded, as the agent's.
 *
 * The guard is around the client's transport and not around its methods, so there is no way past it: `callTool`, a raw
 * `request` and whatever a later SDK adds all come through `send`. A denied tool call is answered with a tool result
 * whose `isError` is set, as MCP wants it; anything else that is denied, with a JSON-RPC error. Works with the
 * transports of both SDKs, `@modelcontextprotocol/sdk` and `@modelcontextprotocol/client`.
 *
 * It binds an honest agent only (`enforcement: self`). Behind the gateway the same calls are decided where the agent
 * cannot reach.
 *
 * @see docs/guides/mcp-tools.md
 */
import { type AgentIdentity, TrustWardenError } from "trustwarden";
import { requireActing } from "./acting.ts";
import { CallGate } from "./call-gate.ts";
import { describeRefusal } from "./refusal-text.ts";
import { planToolCall, type ToolCall, type ToolRules } from "./tool-rules.ts";

/** What keeps a connection going and makes nobody do anything; every other method is decided or refused. */
const PLUMBING = new Set([
  "initialize",
  "ping",
  "server/discover",
  "logging/setLevel",
  "completion/complete",
  "tools/list",
  "resources/list",
  "resources/templates/list",
  "resources/unsubscribe",
  "prompts/list",
  "subscriptions/listen",
]);
/** JSON-RPC's range for a server's own errors. */
const REFUSED = -32_001;
/** Requests of one connection that the server has not answered. */
const MAX_PENDING = 1024;

/** A JSON-RPC message, as far as the guard looks at it. */
interface Message {
  readonly id?: string | number | undefined;
  readonly method?: string | undefined;
  readonly params?: unknown;
  readonly error?: unknown;
  readonly result?: unknown;
}

/** What the transports of both SDKs have in common. */
interface AnyTransport {
  start(): Promise<void>;
  send(message: never, options?: never): Promise<void>;
  close(): Promise<void>;
  onclose?: (() => void) | undefined;
  onerror?: ((error: Error) => void) | undefined;
  onmessage?: ((message: never, extra?: never) => void) | undefined;
}

/** How a connection is guarded. */
export interface McpClientOptions {
  /** Name of the server in actions: one segment. */
  readonly server: string;
  /** Whose connection it is; whose work it is at each message, when absent. */
  readonly agent?: AgentIdentity;
  /** What a tool means, by its name; `call:mcp:<server>/<tool>` unless named. */
  readonly rules?: ToolRules;
  /** Whether a call that needs its owner's yes waits for it, 15 minutes at most; it is refused otherwise. */
  readonly waitsForOwner?: boolean;
}

/**
 * The same transport, guarded. Give it to `client.connect`.
 *
 * @param transport - one that nobody has started yet.
 */
export function guardTransport<T extends AnyTransport>(transport: T, options: McpClientOptions): T {
  const connection = new GuardedConnection(transport, options);
  return new Proxy(transport, {
    get: (target, name) => {
      if (name === "send") return connection.send;
      // The SDKs chain themselves to the listener that they find.
      if (name === "onmessage") return connection.listener;
      if (name === "onclose") return connection.onclose;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
    set: (target, name, value) => {
      if (name === "onmessage") connection.listener = value;
      else if (name === "onclose") connection.onclose = value;
      else return Reflect.set(target, name, value, target);
      return true;
    },
  });
}

/** Owns the requests of one connection that were allowed and are not answered yet. */
class GuardedConnection {
  listener: ((message: Message, extra?: unknown) => void) | undefined;
  onclose: (() => void) | undefined;
  readonly #send: (message: Message, options?: unknown) => Promise<void>;
  readonly #options: McpClientOptions;
  readonly #gate = new CallGate();
  readonly #pending = new Map<string | number, PromiseWithResolvers<Answered>>();

  constructor(transport: AnyTransport, options: McpClientOptions) {
    // The one cast: what goes out is what the SDK gave, whose own type of message each SDK has.
    this.#send = (message, sent) => transport.send(message as never, sent as never);
    this.#options = options;
    const receive = (message: Message, extra?: unknown) => this.#receive(message, extra);
    const close = () => this.#close();
    Object.assign(transport, { onmessage: receive, onclose: close });
  }

  readonly send = async (message: Message, sent?: unknown): Promise<void> => {
    const { id, method } = message;
    // A call in a batch, or one that asks for no answer, is a call all the same, and its end would be seen by nobody.
    if (Array.isArray(message)) throw new TrustWardenError("tool_unguarded", { method: "batch" });
    const isNote = id === undefined && method?.startsWith("notifications/");
    // Answers to the server's own questions, and notifications.
    if (method === undefined || isNote) return this.#sendNote(message, sent);
    if (typeof id !== "string" && typeof id !== "number")
      throw new TrustWardenError("tool_unguarded", { method });
    if (PLUMBING.has(method)) return this.#send(message, sent);
    const call = planMessage(method, message.params, this.#options);
    if (call === undefined)
      return this.#answer(id, { error: { code: REFUSED, message: `${method} is not guarded` } });
    const agent = requireActing(this.#options.agent);
    // The caller waits for the answer and not for `send`: with a human in between, that takes minutes.
    void this.#decided({ id, agent, call, message }, sent);
  };

  async #decided(
    asked: {
      readonly id: string | number;
      readonly agent: AgentIdentity;
      readonly call: ToolCall;
      readonly message: Message;
    },
    sent: unknown,
  ): Promise<void> {
    const { id, agent, call, message } = asked;
    try {
      const answer = await this.#gate.run({ agent, waitsForOwner: this.#options.waitsForOwner }, call, () =>
        this.#exchange(id, message, sent),
      );
      this.listener?.(answer.message, answer.extra);
    } catch (error) {
      if (this.#pending.has(id)) await this.#giveUp(id);
      if (error instanceof FailedAnswer) this.listener?.(error.answer.message, error.answer.extra);
      else if (!isGone(error)) this.#answer(id, refusalOf(message.method, call, error));
    }
  }

  /** The request and its answer: the act that the guard waits for. @throws FailedAnswer when the server says it failed. */
  async #exchange(id: string | number, message: Message, sent: unknown): Promise<Answered> {
    if (this.#pending.size >= MAX_PENDING)
      throw new TrustWardenError("request_too_large", { pending: MAX_PENDING });
    const waiting = Promise.withResolvers<Answered>();
    this.#pending.set(id, waiting);
    try {
      await this.#send(message, sent);
      const answer = await waiting.promise;
      if (isFailure(answer.message)) throw new FailedAnswer(answer);
      return answer;
    } finally {
      this.#pending.delete(id);
    }
  }

  /** The agent was stopped while the server was at work for it: the server hears so and may end the work too. */
  async #giveUp(id: string | number): Promise<void> {
    this.#pending.get(id)?.reject(new TrustWardenError("call_aborted", { reason: "stopped" }));
    const params = { requestId: id, reason: "The agent was stopped." };
    const message = { jsonrpc: "2.0", method: "notifications/cancelled", params };
    try {
      await this.#send(message);
    } catch {
      // Safe to go on: a connection that is gone carries no work, and the caller gets the refusal in any case.
    }
  }

  #receive(message: Message, extra: unknown): void {
    const waiting =
      message.method === undefined && message.id !== undefined ? this.#pending.get(message.id) : undefined;
    if (waiting === undefined) this.listener?.(message, extra);
    else waiting.resolve({ message, extra });
  }

  /** A request that its caller gave up has an outcome too: nobody will read its answer. */
  async #sendNote(message: Message, sent: unknown): Promise<void> {
    await this.#send(message, sent);
    if (message.method !== "notifications/cancelled") return;
    const { requestId } = Object(message.params);
    this.#pending.get(requestId)?.reject(new TrustWardenError("call_aborted", { reason: "cancelled" }));
  }

  #close(): void {
    const gone = new TrustWardenError("call_aborted", { reason: "connection closed" });
    for (const { reject } of this.#pending.values()) reject(gone);
    this.onclose?.();
  }

  #answer(id: string | number, answer: Pick<Message, "error" | "result">): void {
    const message = { jsonrpc: "2.0", id, ...answer };
    this.listener?.(message);
  }
}

interface Answered {
  readonly message: Message;
  readonly extra: unknown;
}

/** An answer that the server itself calls a failure: the outcome is one, and the client gets the answer. */
class FailedAnswer extends Error {
  readonly answer: Answered;

  constructor(answer: Answered) {
    super("the server answered with a failure");
    this.answer = answer;
  }
}

/** What a request means; undefined for a method that nobody here knows. */
function planMessage(
  method: string,
  params: unknown,
  { server, rules = {} }: McpClientOptions,
): ToolCall | undefined {
  const { name, uri, arguments: input } = Object(params);
  const resource = `mcp://${server}/${encodeURIComponent(String(name ?? uri ?? ""))}`;
  switch (method) {
    case "tools/call":
      return planToolCall(String(name), input, {
        [String(name)]: { action: `call:mcp:${server}/${name}`, resource },
        ...rules,
      });
    case "prompts/get": {
      const action = `get:mcp:${server}/prompts/${name}`;
      return planToolCall(`prompt ${name}`, input, { [`prompt ${name}`]: { action, resource } });
    }
    case "resources/read":
    case "resources/subscribe": {
      const action = `read:mcp:${server}/resources`;
      return planToolCall(`resource ${uri}`, { uri }, { [`resource ${uri}`]: { action, resource } });
    }
    default:
      return undefined;
  }
}

/** Whether nobody waits for an answer any more. */
function isGone(error: unknown): boolean {
  return error instanceof TrustWardenError && error.code === "call_aborted";
}

function isFailure({ error, result }: Message): boolean {
  return error !== undefined || Object(result).isError === true;
}

/** MCP's own way of saying no: a result with `isError` for a tool, an error for anything else. */
function refusalOf(
  method: string | undefined,
  call: ToolCall,
  error: unknown,
): Pick<Message, "error" | "result"> {
  const text = describeRefusal(error, call);
  if (method !== "tools/call") return { error: { code: REFUSED, message: text } };
  return { result: { content: [{ type: "text", text }], isError: true } };
}
