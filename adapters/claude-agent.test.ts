/** The Claude Agent SDK itself with its own program, before a server on loopback that answers as the API does. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Options, SDKMessage } from "@anthropic-ai/claude-agent-sdk";
import type { AgentIdentity } from "trustwarden";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { guardedQuery } from "./claude-agent.ts";
import { startWorld, type World } from "./world.test.support.ts";

type Step = string | readonly (readonly [name: string, input: object])[];

let world: World;
let root: AgentIdentity;
let api: Server;
let home: string;
let script: Step[] = [];
let calls = 0;
const asked: string[] = [];

/** The events of one answer of the API, as it streams them. */
function* eventsOf(step: Step): Generator<object> {
  const usage = { input_tokens: 1, output_tokens: 1 };
  const message = {
    id: `msg_${calls}`,
    type: "message",
    role: "assistant",
    model: "claude-test",
    content: [],
  };
  yield { type: "message_start", message: { ...message, stop_reason: null, stop_sequence: null, usage } };
  const blocks = typeof step === "string" ? [step] : step;
  for (const [index, block] of blocks.entries()) {
    calls += 1;
    const isText = typeof block === "string";
    const content_block = isText
      ? { type: "text", text: "" }
      : { type: "tool_use", id: `toolu_${calls}`, name: block[0], input: {} };
    yield { type: "content_block_start", index, content_block };
    const delta = isText
      ? { type: "text_delta", text: block }
      : { type: "input_json_delta", partial_json: JSON.stringify(block[1]) };
    yield { type: "content_block_delta", index, delta };
    yield { type: "content_block_stop", index };
  }
  const stop_reason = typeof step === "string" ? "end_turn" : "tool_use";
  yield { type: "message_delta", delta: { stop_reason, stop_sequence: null }, usage };
  yield { type: "message_stop" };
}

beforeAll(async () => {
  world = await startWorld();
  root = await world.createAgent(["use:tool:Bash", "send:mail"]);
  home = mkdtempSync(join(tmpdir(), "claude-agent-"));
  api = createServer(async (request, response) => {
    let body = "";
    for await (const part of request) body += part;
    const { tools, stream } = JSON.parse(body || "{}");
    // Only the agent's own turns have tools; the program asks for titles and the like besides.
    const step: Step =
      request.url?.startsWith("/v1/messages?") && tools?.length > 0 ? (script.shift() ?? "over") : "aside";
    if (step !== "aside") asked.push(body);
    if (stream !== true) {
      response.writeHead(404, { "content-type": "application/json" });
      response.end('{"type":"error","error":{"type":"not_found_error","message":"not here"}}');
      return;
    }
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (const event of eventsOf(step))
      response.write(`event: ${Object(event).type}\ndata: ${JSON.stringify(event)}\n\n`);
    response.end();
  });
  await new Promise<void>((resolve) => api.listen(0, "127.0.0.1", resolve));
});
afterAll(async () => {
  api?.closeAllConnections();
  api?.close();
  await world?.close();
  rmSync(home, { recursive: true, force: true });
});

async function run(
  steps: readonly Step[],
  who: Parameters<typeof guardedQuery>[1],
  guard: Parameters<typeof guardedQuery>[2] = {},
  permissionMode: "default" | "acceptEdits" = "default",
  more: Options = {},
): Promise<readonly SDKMessage[]> {
  script = [...steps];
  const { port } = Object(api.address());
  const env = {
    PATH: process.env.PATH ?? "",
    HOME: home,
    CLAUDE_CONFIG_DIR: join(home, ".claude"),
    ANTHROPIC_BASE_URL: `http://127.0.0.1:${port}`,
    ANTHROPIC_API_KEY: "none",
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
  };
  const agents = { reader: { description: "reads", prompt: "read", tools: ["Bash"] } };
  const options = {
    ...{ env, agents, permissionMode, cwd: home, model: "claude-test", settingSources: [], maxTurns: 6 },
    allowedTools: ["Bash", "Agent"],
    ...more,
  };
  const messages: SDKMessage[] = [];
  for await (const message of guardedQuery({ prompt: "go", options }, who, guard)) messages.push(message);
  return messages;
}

const resultOf = (messages: readonly SDKMessage[]) =>
  Object(messages.find(({ type }) => type === "result")).result;
const bash = (command: string) => ["Bash", { command, description: "test" }] as const;

describe("an agent of the Claude Agent SDK", () => {
  it("has each tool call decided and recorded, and goes on after a denied one", async () => {
    const lookout = await world.createAgent(["use:tool:Bash"], "lookout");
    const secret = join(home, "secret");
    const messages = await run(
      [
        [bash("echo looked > looked")],
        [["Write", { file_path: secret, content: "x" }]],
        [bash("exit 3")],
        "all I could",
      ],
      lookout,
    );
    expect(resultOf(messages)).toBe("all I could");
    expect(existsSync(join(home, "looked"))).toBe(true);
    expect(existsSync(secret)).toBe(false);
    expect(asked.join()).toContain("Write was not run (denied)");
    expect((await world.actionsOf(lookout)).map(({ action, outcome }) => `${action} ${outcome}`)).toEqual([
      "use:tool:Bash success",
      "use:tool:Write denied",
      "use:tool:Bash failure",
    ]);
  });

  it("asks a human through canUseTool, and the call happens when the owner has said yes", async () => {
    const file = join(home, "mailed");
    const running = run([[bash(`echo sent > ${file}`)], "sent"], root, { rules: { Bash: "send:mail" } });
    await world.answerNext("approve");
    expect(resultOf(await running)).toBe("sent");
    expect(existsSync(file)).toBe(true);
    expect((await world.actionsOf(root)).at(-1)).toMatchObject({ action: "send:mail", outcome: "success" });
  });

  it("has sub-agents that are its children, with less than it has, and refuses those that nobody named", async () => {
    const boss = await world.createAgent(["use:tool:Bash", "use:tool:Agent"], "boss");
    const delegate = [
      "Agent",
      { description: "d", prompt: "do it", subagent_type: "reader", run_in_background: false },
    ] as const;
    const file = join(home, "by-child");
    const steps = [[delegate], [bash(`echo x > ${file}`)], "read", "delegated"];
    const named = { subagents: { reader: { name: "reader", scope: ["use:tool:Bash"] } } };
    expect(resultOf(await run(steps, boss, named))).toBe("delegated");
    expect(existsSync(file)).toBe(true);
    const { events } = Object(
      await world.live.admin("GET", "/v1/events?kind=action&action=use:tool:Bash&limit=1"),
    );
    expect(events).toMatchObject([{ parent_agent_id: boss.agentId, outcome: "success" }]);
    rmSync(file);
    expect(resultOf(await run(steps, boss))).toBe("delegated");
    expect(existsSync(file)).toBe(false);
    expect(asked.join()).toContain("agent_missing");
  });

  it("is refused what needs a yes where the SDK would not ask", async () => {
    const file = join(home, "unasked");
    const guard = { rules: { Bash: "send:mail" } };
    expect(resultOf(await run([[bash(`echo x > ${file}`)], "not sent"], root, guard, "acceptEdits"))).toBe(
      "not sent",
    );
    expect(existsSync(file)).toBe(false);
  });

  it("runs nothing that a hook or the user has changed after it was decided about", async () => {
    const [decided, changed] = [join(home, "decided"), join(home, "changed")];
    const updatedInput = { command: `echo x > ${changed}`, description: "test" };
    const hookSpecificOutput = {
      ...({ hookEventName: "PreToolUse", permissionDecision: "allow", updatedInput } as const),
    };
    const steps = [[bash(`echo x > ${decided}`)], "not run"];
    const hooks = { PreToolUse: [{ hooks: [async () => ({ hookSpecificOutput })] }] };
    const canUseTool = async () => ({ behavior: "allow", updatedInput }) as const;
    for (const more of [{ hooks }, { allowedTools: [], canUseTool }])
      expect(resultOf(await run(steps, root, {}, "default", more))).toBe("not run");
    expect([existsSync(decided), existsSync(changed)]).toEqual([false, false]);
    const asIs: Options = {
      allowedTools: [],
      canUseTool: async (_, input) => ({ behavior: "allow", updatedInput: input }),
    };
    expect(resultOf(await run(steps, root, {}, "default", asIs))).toBe("not run");
    expect(existsSync(decided)).toBe(true);
  });

  it("is stopped while its program is at work: the command dies, the run ends, and the ledger has it as broken off", async () => {
    const doomed = await world.createAgent(["use:tool"], "doomed-at-work");
    const pid = join(home, "pid");
    const running = run([[bash(`echo $$ > ${pid}; exec sleep 600`)], "never said"], doomed);
    const ended = expect(running).rejects.toMatchObject({ code: "identity_revoked" });
    await expect.poll(() => existsSync(pid) && readFileSync(pid, "utf8"), { timeout: 60_000 }).toMatch(/\d/);
    await world.stopAtWork(doomed, false);
    await ended;
    await world.expectCut(doomed);
    const isAlive = () => existsSync(`/proc/${readFileSync(pid, "utf8").trim()}`);
    await expect.poll(isAlive, { timeout: 60_000 }).toBe(false);
  });

  it("ends its run when it was stopped", async () => {
    const doomed = await world.createAgent(["use:tool"], "doomed");
    const target = { kind: "instance", id: doomed.instanceId };
    await world.live.admin("POST", "/v1/revocations", { target, reason: "test" });
    const file = join(home, "late");
    await expect(run([[bash(`echo x > ${file}`)], "never said"], doomed)).rejects.toMatchObject({
      status: 401,
    });
    expect(existsSync(file)).toBe(false);
  });
});
