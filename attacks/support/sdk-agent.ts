/**
 * An agent that knows nothing but the SDK, as a process of its own, told over loopback what to do:
 *
 *   node attacks/support/sdk-agent.ts
 *
 * It answers with what the SDK gave it: an id, a status with the beginning of the body, or the code of the refusal.
 */
import { createServer, type IncomingMessage } from "node:http";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { AgentIdentity } from "trustwarden";

/** What the agent is told to do. */
export type SdkTask =
  | { readonly do: "create"; readonly name: string; readonly ticket: string }
  | {
      readonly do: "fetch";
      readonly url: string;
      readonly verifier?: string;
      readonly timeoutMs?: number;
      readonly action?: string;
    };

/** What came of it. */
export interface SdkAnswer {
  readonly id?: string;
  readonly status?: number;
  readonly body?: string;
  readonly code?: string;
}

const MAX_SHOWN = 200;
let agent: AgentIdentity | undefined;

const server = createServer((request, response) => {
  void answer(request).then((told) => response.end(JSON.stringify(told)));
});

async function answer(request: IncomingMessage): Promise<SdkAnswer> {
  const parts: Uint8Array[] = [];
  for await (const part of request) parts.push(part);
  try {
    return await perform(JSON.parse(Buffer.concat(parts).toString()));
  } catch (error) {
    return { code: error instanceof TrustWardenError ? error.code : `no code: ${String(error)}` };
  }
}

async function perform(task: SdkTask): Promise<SdkAnswer> {
  if (task.do === "create") {
    const { name, ticket } = task;
    agent = await AgentIdentity.create({ name, ticket });
    return { id: agent.id };
  }
  if (agent === undefined) throw new Error("no agent yet");
  const { url, verifier, timeoutMs, action } = task;
  const answered = await agent.fetch(url, {
    ...(verifier === undefined ? {} : { verifier }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    ...(action === undefined ? {} : { action, resource: "test://rows" }),
  });
  return { status: answered.status, body: (await answered.text()).slice(0, MAX_SHOWN) };
}

server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  process.stdout.write(`${JSON.stringify({ ready: true, url: `http://127.0.0.1:${port}` })}\n`);
});
process.once("SIGTERM", () => process.exit(0));
