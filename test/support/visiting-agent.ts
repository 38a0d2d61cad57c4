/**
 * An agent of the TypeScript SDK as a program of its own, for whoever tests a service in another language: one JSON
 * line in, one out. Begins with the ticket in its environment.
 */
import { createInterface } from "node:readline";
import { AgentIdentity, TrustWardenError } from "trustwarden";
import { z } from "zod";

const settings = z.object({ VISITOR_NAME: z.string(), VISITOR_SCOPE: z.string() }).parse(process.env);
const question = z.object({
  url: z.string(),
  method: z.string().default("GET"),
  body: z.string().optional(),
  /** Answers with the status at once, and reads the rest in the background. */
  isStream: z.boolean().default(false),
});

const agent = await AgentIdentity.create({
  name: settings.VISITOR_NAME,
  scope: settings.VISITOR_SCOPE.split(" "),
});
say({ id: agent.id });

for await (const line of createInterface({ input: process.stdin })) {
  try {
    say(await ask(question.parse(JSON.parse(line))));
  } catch (error) {
    say({ error: error instanceof TrustWardenError ? error.code : String(error) });
  }
}
await agent.close();

async function ask({ url, method, body, isStream }: z.infer<typeof question>): Promise<object> {
  const response = await agent.fetch(url, { method, ...(body !== undefined && { body }) });
  const { status } = response;
  if (!isStream) return { status, body: await response.text(), receipts: agent.receipts.length };
  void readRest(response);
  return { status };
}

async function readRest(response: Response): Promise<void> {
  let bytes = 0;
  try {
    for await (const part of response.body ?? []) bytes += part.length;
    say({ end: "whole", bytes });
  } catch {
    // How it broke is the machine's business; that it did is what is asked.
    say({ end: "broken", bytes });
  }
}

function say(answer: object): void {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
