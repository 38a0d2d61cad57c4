/** A real server whose policy asks about some tools, for the adapters' tests; questions to its ledger and its owner. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AgentIdentity } from "trustwarden";
import { expect } from "vitest";
import { type LiveServer, startLiveServer } from "../sdk/live.test.support.ts";

const POLICIES = join(import.meta.dirname, "../policies");

/** What a test needs to know of an event. */
export interface Seen {
  readonly action: string;
  readonly outcome: string;
  readonly agent: string;
  readonly kind: string;
}

export interface World {
  readonly live: LiveServer;
  /** A root agent with this scope. */
  readonly createAgent: (scope: readonly string[], name?: string) => Promise<AgentIdentity>;
  /** Finished actions of one instance and below, oldest first; a decision that came too late never finishes. */
  readonly actionsOf: (agent: AgentIdentity | string) => Promise<readonly Seen[]>;
  /** Answers the next question that waits, as the owner. */
  readonly answerNext: (answer: "approve" | "deny") => Promise<void>;
  readonly close: () => Promise<void>;
}

/** @param asks - actions `verb:type` about which a human is asked. */
export async function startWorld({
  asks = ["send:mail"],
}: {
  readonly asks?: readonly string[];
} = {}): Promise<World> {
  const policyDir = mkdtempSync(join(tmpdir(), "adapters-"));
  cpSync(POLICIES, policyDir, { recursive: true });
  const path = join(policyDir, "trustwarden/data.json");
  const data = JSON.parse(readFileSync(path, "utf8"));
  data.policy.asks = Object.fromEntries(
    asks.map((action) => [action, { at: ["self", "service"], why: "It goes out." }]),
  );
  writeFileSync(path, JSON.stringify(data));
  const live = await startLiveServer({ policyDir });
  const opened: AgentIdentity[] = [];
  const waitingIds = async (): Promise<readonly string[]> => {
    const { approvals } = Object(await live.admin("GET", "/v1/approvals"));
    return approvals
      .filter(({ status }: { status: string }) => status === "pending")
      .map(({ id }: { id: string }) => id);
  };
  return {
    live,
    createAgent: async (scope, name = "orchestrator") => {
      const agent = await AgentIdentity.create({ name, ticket: live.ticket({ name, scope }) });
      opened.push(agent);
      return agent;
    },
    actionsOf: async (agent) => {
      const id = typeof agent === "string" ? agent : agent.id;
      const { events } = Object(
        await live.admin("GET", `/v1/events?kind=action&limit=500&agent=${encodeURIComponent(id)}`),
      );
      return events
        .filter(({ outcome }: { outcome: string }) => outcome !== "pending")
        .map((event: Record<string, unknown>) => ({
          action: event.action,
          outcome: event.outcome,
          agent: event.agent_identity,
          kind: event.kind,
        }))
        .reverse();
    },
    answerNext: async (answer) => {
      await expect.poll(async () => (await waitingIds()).length, { timeout: 60_000 }).toBeGreaterThan(0);
      for (const id of await waitingIds()) await live.answer(id, answer);
    },
    close: async () => {
      await Promise.all(opened.map((agent) => agent.close()));
      await live.close();
      rmSync(policyDir, { recursive: true, force: true });
    },
  };
}
