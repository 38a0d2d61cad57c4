/**
 * A real MCP server with everything that the conformance suite asks for, made with the official SDK. What each tool has to
 * do is what the suite's scenarios say; `serve-everything.ts` serves it.
 */
import { createHmac, randomBytes } from "node:crypto";
import {
  fromJsonSchema,
  inputRequired,
  McpServer,
  MissingRequiredClientCapabilityError,
  ProtocolError,
  ResourceTemplate,
  type ServerContext,
} from "@modelcontextprotocol/server";
import { z } from "zod";

const PNG =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEARKwAAIhYAQACABAAZGF0YQAAAAA=";
const STATE_KEY = randomBytes(32);
const INVALID_PARAMS = -32602;

const text = (value: string) => ({ type: "text" as const, text: value });
const said = (value: string) => ({ content: [text(value)] });
const image = { type: "image" as const, data: PNG, mimeType: "image/png" };
const embedded = (uri: string) => ({
  type: "resource" as const,
  resource: { uri, mimeType: "text/plain", text: "An embedded resource." },
});
const nameSchema = {
  type: "object" as const,
  properties: { name: { type: "string" as const } },
  required: ["name"],
};

/** State that a client cannot change unnoticed. */
function seal(value: string): string {
  return `${value}.${createHmac("sha256", STATE_KEY).update(value).digest("hex")}`;
}

function open(state: unknown): string {
  const [value = ""] = typeof state === "string" ? state.split(".") : [];
  if (state !== seal(value)) throw new ProtocolError(INVALID_PARAMS, "The request state is not ours.");
  return value;
}

type Answers = Readonly<Record<string, { readonly content?: Readonly<Record<string, unknown>> }>>;
const answersOf = (context: ServerContext): Answers => (context.mcpReq.inputResponses ?? {}) as Answers;
const elicit = (message: string, requestedSchema: typeof nameSchema) =>
  inputRequired.elicit({ message, requestedSchema });

/** One server; a new one for each request of the stateless era, and for each session of the other. */
export function createEverything(): McpServer {
  const server = new McpServer({ name: "everything", version: "1.0.0" }, {
    capabilities: { logging: {}, completions: {}, resources: { subscribe: true } },
    requestState: { verify: (state: string) => void open(state) },
  } as never);
  defineContent(server);
  defineConversation(server);
  defineQuestions(server);
  defineCapabilities(server);
  defineDiagnostics(server);
  defineResources(server);
  definePrompts(server);
  const low = server.server;
  low.setRequestHandler("logging/setLevel" as never, (async () => ({})) as never);
  low.setRequestHandler("resources/subscribe" as never, (async () => ({})) as never);
  low.setRequestHandler("resources/unsubscribe" as never, (async () => ({})) as never);
  low.setRequestHandler("completion/complete", async () => ({
    completion: { values: [], total: 0, hasMore: false },
  }));
  return server;
}

function defineContent(server: McpServer): void {
  const simple = (name: string, content: readonly unknown[]) =>
    server.registerTool(name, { description: name }, async () => ({ content: [...content] }) as never);
  simple("test_simple_text", [text("This is a simple text response for testing.")]);
  simple("test_image_content", [image]);
  simple("test_audio_content", [{ type: "audio", data: WAV, mimeType: "audio/wav" }]);
  simple("test_embedded_resource", [embedded("test://embedded-resource")]);
  simple("test_multiple_content_types", [text("Several:"), image, embedded("test://mixed-content-resource")]);
  server.registerTool("test_error_handling", { description: "Fails" }, async () => {
    throw new Error("This tool intentionally returns an error for testing");
  });
  server.registerTool(
    "json_schema_2020_12_tool",
    {
      description: "Has references in its schema",
      inputSchema: fromJsonSchema({
        $schema: "https://json-schema.org/draft/2020-12/schema",
        type: "object",
        $defs: {
          address: { type: "object", properties: { street: { type: "string" }, city: { type: "string" } } },
        },
        properties: {
          name: { type: "string" },
          address: { $ref: "#/$defs/address" },
          kind: { type: "string" },
        },
        allOf: [{ properties: { name: { maxLength: 100 } } }],
        anyOf: [{ required: ["name"] }, { required: ["address"] }, {}],
        if: { properties: { kind: { const: "home" } }, required: ["kind"] },
        // biome-ignore lint/suspicious/noThenProperty: it is a keyword of JSON Schema.
        then: { required: ["address"] },
        else: {},
        additionalProperties: false,
      }),
    },
    async () => said("ok"),
  );
}

/** Tools that talk while they work, and, in the older era, ask. */
function defineConversation(server: McpServer): void {
  server.registerTool(
    "test_tool_with_logging",
    { description: "Talks while it works", inputSchema: z.object({}) },
    async (_values, context) => {
      for (const step of ["started", "processing", "completed"]) {
        await context.mcpReq.log("info", `Tool execution ${step}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      return said("logged");
    },
  );
  server.registerTool(
    "test_tool_with_progress",
    { description: "Talks while it works", inputSchema: z.object({}) },
    async (_values, context) => {
      const progressToken = context.mcpReq._meta?.progressToken;
      for (const progress of progressToken === undefined ? [] : [0, 50, 100]) {
        const params = { progressToken, progress, total: 100 };
        await context.mcpReq.notify({ method: "notifications/progress", params });
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      return said("done");
    },
  );
  server.registerTool(
    "test_sampling",
    { description: "Samples", inputSchema: z.object({ prompt: z.string() }) },
    async ({ prompt }, context) => {
      const messages = [{ role: "user" as const, content: { type: "text" as const, text: prompt } }];
      const result = await context.mcpReq.requestSampling({ messages, maxTokens: 100 });
      return said(`LLM response: ${JSON.stringify(result.content)}`);
    },
  );
  const asking = (name: string, properties: object, required: readonly string[] = []) =>
    server.registerTool(
      name,
      { description: "Asks", inputSchema: z.object({ message: z.string().optional() }) },
      async (values, context) => {
        const requestedSchema = { type: "object", properties, required };
        const params = { mode: "form", message: values.message ?? "Please fill in.", requestedSchema };
        const answer = await context.mcpReq.elicitInput(params as never);
        return said(`User response: ${JSON.stringify(answer)}`);
      },
    );
  asking("test_elicitation", { response: { type: "string" } }, ["response"]);
  asking("test_elicitation_sep1034_defaults", {
    name: { type: "string", default: "John Doe" },
    age: { type: "integer", default: 30 },
    score: { type: "number", default: 95.5 },
    status: { type: "string", enum: ["active", "inactive", "pending"], default: "active" },
    verified: { type: "boolean", default: true },
  });
  const titled = (word: string) =>
    [1, 2, 3].map((index) => ({ const: `value${index}`, title: `${word} ${index}` }));
  asking("test_elicitation_sep1330_enums", {
    untitledSingle: { type: "string", enum: ["option1", "option2", "option3"] },
    titledSingle: { type: "string", oneOf: titled("Option") },
    legacyEnum: { type: "string", enum: ["opt1", "opt2", "opt3"], enumNames: ["One", "Two", "Three"] },
    untitledMulti: {
      type: "array",
      minItems: 1,
      maxItems: 3,
      items: { type: "string", enum: ["option1", "option2", "option3"] },
    },
    titledMulti: { type: "array", minItems: 1, maxItems: 3, items: { anyOf: titled("Choice") } },
  });
}

/** Tools of the stateless era that need input first. */
function defineQuestions(server: McpServer): void {
  const question = (name: string, act: (context: ServerContext) => unknown) =>
    server.registerTool(`test_input_required_result_${name}`, { description: "Asks first" }, (async (
      context: ServerContext,
    ) => act(context)) as never);
  const samplingOf = (value: string) =>
    inputRequired.createMessage({ messages: [{ role: "user", content: text(value) }], maxTokens: 50 });
  question("elicitation", (context) => {
    const name = answersOf(context).user_name?.content?.name;
    if (typeof name === "string") return said(`Hello, ${name}!`);
    return inputRequired({ inputRequests: { user_name: elicit("What is your name?", nameSchema) } });
  });
  question("sampling", (context) =>
    answersOf(context).capital_question === undefined
      ? inputRequired({ inputRequests: { capital_question: samplingOf("What is the capital of France?") } })
      : said(JSON.stringify(answersOf(context).capital_question)),
  );
  question("list_roots", (context) =>
    answersOf(context).client_roots === undefined
      ? inputRequired({ inputRequests: { client_roots: inputRequired.listRoots() } })
      : said(JSON.stringify(answersOf(context).client_roots)),
  );
  question("request_state", (context) => {
    const schema = { type: "object" as const, properties: { ok: { type: "boolean" } }, required: ["ok"] };
    const confirm = elicit("Please confirm", schema as never);
    if (answersOf(context).confirm === undefined)
      return inputRequired({ inputRequests: { confirm }, requestState: seal("one") });
    open(context.mcpReq.requestState());
    return said("state-ok");
  });
  question("tampered_state", (context) => {
    const state: unknown = context.mcpReq.requestState();
    if (typeof state === "string") return said(open(state));
    const inputRequests = { confirm: elicit("Please confirm", nameSchema) };
    return inputRequired({ inputRequests, requestState: seal("one") });
  });
  question("multiple_inputs", (context) => {
    const answers = answersOf(context);
    const isWhole = ["user_name", "greeting", "client_roots"].every((key) => answers[key] !== undefined);
    if (isWhole) return said("complete");
    return inputRequired({
      inputRequests: {
        user_name: elicit("What is your name?", nameSchema),
        greeting: samplingOf("Generate a greeting"),
        client_roots: inputRequired.listRoots(),
      },
      requestState: seal("one"),
    });
  });
  question("multi_round", (context) => {
    const { step1, step2 } = answersOf(context);
    if (step2 !== undefined) return said("complete");
    const colour = { ...nameSchema, properties: { color: { type: "string" as const } }, required: ["color"] };
    if (step1 === undefined)
      return inputRequired({
        inputRequests: { step1: elicit("Step 1: What is your name?", nameSchema) },
        requestState: seal("one"),
      });
    const inputRequests = { step2: elicit("Step 2: What is your favorite color?", colour as never) };
    return inputRequired({ inputRequests, requestState: seal("two") });
  });
}

/** Tools that look at what the client said of itself, and one whose arguments stand in headers too. */
function defineDiagnostics(server: McpServer): void {
  const tool = (name: string, act: (context: ServerContext) => unknown) =>
    server.registerTool(name, { description: name }, (async (context: ServerContext) =>
      act(context)) as never);
  tool("test_missing_capability", (context) => {
    const meta = context.mcpReq.envelope as Record<string, object> | undefined;
    if ("sampling" in (meta?.["io.modelcontextprotocol/clientCapabilities"] ?? {}))
      return said("sampling is there");
    throw new MissingRequiredClientCapabilityError({ requiredCapabilities: { sampling: {} } } as never);
  });
  tool("test_streaming_elicitation", () =>
    inputRequired({ inputRequests: { user_name: elicit("What is your name?", nameSchema) } }),
  );
  tool("test_logging_tool", async (context) => {
    await context.mcpReq.log("info", "logged");
    return said("done");
  });
  const properties = {
    region: { type: "string", "x-mcp-header": "Region" },
    count: { type: "integer", "x-mcp-header": "Count" },
    query: { type: "string" },
  };
  const inputSchema = fromJsonSchema({ type: "object", properties } as never);
  server.registerTool("test_x_mcp_header", { description: "Mirrors", inputSchema }, async () => said("ok"));
}

/** Asks only what the client said that it can answer. */
function defineCapabilities(server: McpServer): void {
  const question = (name: string, act: (context: ServerContext) => unknown) =>
    server.registerTool(`test_input_required_result_${name}`, { description: "Asks first" }, (async (
      context: ServerContext,
    ) => act(context)) as never);
  const samplingOf = (value: string) =>
    inputRequired.createMessage({ messages: [{ role: "user", content: text(value) }], maxTokens: 50 });
  question("capabilities", (context) => {
    const capabilities =
      (context.mcpReq.envelope as Record<string, object> | undefined)?.[
        "io.modelcontextprotocol/clientCapabilities"
      ] ?? {};
    return inputRequired({
      inputRequests: {
        ...("sampling" in capabilities ? { greeting: samplingOf("Generate a greeting") } : {}),
        ...("elicitation" in capabilities ? { user_name: elicit("What is your name?", nameSchema) } : {}),
      },
      requestState: seal("one"),
    });
  });
}

function defineResources(server: McpServer): void {
  const plain = { mimeType: "text/plain" };
  server.registerResource("static-text", "test://static-text", plain, async (uri) => ({
    contents: [{ uri: uri.href, ...plain, text: "This is the content of the static text resource." }],
  }));
  server.registerResource("watched", "test://watched-resource", plain, async (uri) => ({
    contents: [{ uri: uri.href, ...plain, text: "Watched." }],
  }));
  server.registerResource(
    "static-binary",
    "test://static-binary",
    { mimeType: "image/png" },
    async (uri) => ({
      contents: [{ uri: uri.href, mimeType: "image/png", blob: PNG }],
    }),
  );
  const template = new ResourceTemplate("test://template/{id}/data", { list: undefined });
  server.registerResource("template", template, { mimeType: "application/json" }, async (uri, { id }) => ({
    contents: [
      {
        uri: uri.href,
        mimeType: "application/json",
        text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` }),
      },
    ],
  }));
}

function definePrompts(server: McpServer): void {
  const user = (...content: readonly unknown[]) =>
    ({ messages: content.map((part) => ({ role: "user", content: part })) }) as never;
  server.registerPrompt("test_simple_prompt", { description: "Simple" }, async () =>
    user(text("This is a simple prompt for testing.")),
  );
  server.registerPrompt(
    "test_prompt_with_arguments",
    { description: "Arguments", argsSchema: z.object({ arg1: z.string(), arg2: z.string() }) },
    async ({ arg1, arg2 }) => user(text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`)),
  );
  server.registerPrompt(
    "test_prompt_with_embedded_resource",
    { description: "Resource", argsSchema: z.object({ resourceUri: z.string() }) },
    async ({ resourceUri }) =>
      user(embedded(resourceUri), text("Please process the embedded resource above.")),
  );
  server.registerPrompt("test_prompt_with_image", { description: "Image" }, async () =>
    user(image, text("Please analyze the image above.")),
  );
  server.registerPrompt("test_input_required_result_prompt", { description: "Asks first" }, (async (
    context: ServerContext,
  ) => {
    if (answersOf(context).user_context !== undefined) return user(text("With your context."));
    const schema = {
      ...nameSchema,
      properties: { context: { type: "string" as const } },
      required: ["context"],
    };
    return inputRequired({
      inputRequests: { user_context: elicit("What context should the prompt use?", schema as never) },
    });
  }) as never);
}
