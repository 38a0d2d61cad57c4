/** The guide to A2A, whose programs run here: an agent that serves with its identity, and one that calls it. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { Server } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { Client } from "@a2a-js/sdk/client";
import { eventPage } from "@trustwarden/core/api/ledger.ts";
import { AgentIdentity, type GuardAgents } from "trustwarden";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type LiveServer, startLiveServer } from "../sdk/live.test.support.ts";
import { cardOf, createEcho, messageOf } from "./support/a2a-agent.ts";

const ROOT = join(import.meta.dirname, "..");
const GUIDE = readFileSync(join(ROOT, "docs/guides/a2a.md"), "utf8");
const [serving = "", calling = "", ...others] = [...GUIDE.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(
  ([, text = ""]) => text,
);

/** What the guide's program gives back. */
interface Served {
  readonly guard: GuardAgents;
  readonly server: Server;
}

let live: LiveServer;
let programs: string;
let reporter: AgentIdentity;
let reader: AgentIdentity;
let url = "";
let close: () => Promise<void>;
let connect: (agent: AgentIdentity, url: string, publisher: string) => Promise<Client>;

beforeAll(async () => {
  mkdirSync(join(ROOT, ".cache"), { recursive: true });
  programs = mkdtempSync(join(ROOT, ".cache", "a2a-guide-"));
  live = await startLiveServer({});
  reporter = await enrol("reporter", ["read:reports"]);
  reader = await enrol("reader", ["read:a2a:reporter", "send:a2a:reporter"]);
  const { serve } = await load("serving", serving);
  ({ connect } = (await load("calling", calling)) as never);
  const ticket = await live.verifierTicket("reporter");
  const echo = createEcho(cardOf("https://reporter.test/a2a"));
  const start = serve as (...given: unknown[]) => Promise<Served>;
  const { guard, server } = await start(reporter, ticket, echo, () => cardOf(`${url}/a2a`));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  url = `https://127.0.0.1:${port}`;
  close = async () => {
    server.closeAllConnections();
    server.close();
    await guard.close();
  };
});
afterAll(async () => {
  await Promise.all([reporter.close(), reader.close()]);
  await close();
  await live.close();
  rmSync(programs, { recursive: true, force: true });
});

const enrol = (name: string, scope: readonly string[]): Promise<AgentIdentity> =>
  AgentIdentity.create({ name, ticket: live.ticket({ name, scope }) });

async function load(name: string, text: string): Promise<Record<string, unknown>> {
  const file = join(programs, `${name}.ts`);
  writeFileSync(file, text);
  return import(file);
}

const publisherOf = (agent: AgentIdentity): string => agent.id.replace(/\/inst-[^/]+$/, "");
const requestOf = (text: string) =>
  ({ tenant: "", message: messageOf(text), configuration: undefined, metadata: undefined }) as never;

it("an agent serves with its signed card, and another calls it as itself, in one answer and in a stream", async () => {
  expect(others).toEqual([]);
  const client = await connect(reader, url, publisherOf(reporter));
  const task = await client.sendMessage(requestOf("hello"));
  expect(JSON.stringify(task)).toContain("hello");
  const kinds: unknown[] = [];
  for await (const event of client.sendMessageStream(requestOf("again"))) kinds.push(event.payload?.$case);
  expect(kinds).toEqual(["task", "artifactUpdate", "statusUpdate"]);
  const { events } = eventPage.parse(await live.admin("GET", "/v1/events?kind=action&limit=50"));
  const sent = events.filter(({ action }) => action === "send:a2a:reporter");
  expect(sent).toHaveLength(2);
});

it("a card of another agent, or a changed one, is not believed", async () => {
  await expect(connect(reader, url, publisherOf(reader))).rejects.toThrow("the card is of");
  const card = reporter.signAgentCard({ ...cardOf(`${url}/a2a`) } as never);
  expect(reader.verifyAgentCard(card)).toBe(reporter.id);
  expect(() => reader.verifyAgentCard({ ...card, name: "imposter" })).toThrow(
    expect.objectContaining({ code: "signature_invalid" }),
  );
});

it("an agent whose scope does not cover it is refused", async () => {
  const stranger = await enrol("stranger", ["read:other"]);
  const answer = await stranger.fetch(`${url}/.well-known/agent-card.json`);
  expect(answer.status).toBe(403);
  await stranger.close();
});
