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
  /** Stops an agent from within the work of its own tool, or of a child's; then that goes on for ever, if it is to. */
  readonly stopAtWork: (agent: AgentIdentity, goesOn: boolean) => Promise<void>;
  /** Waits until the one finished action of an agent and those below it is in the ledger as broken off. */
  readonly expectCut: (agent: AgentIdentity) => Promise<void>;
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
  const finished = async (query: string): Promise<readonly Seen[]> => {
    const { events } = Object(await live.admin("GET", `/v1/events?kind=action&limit=500&${query}`));
    return events
      .filter(({ outcome }: { outcome: string }) => outcome !== "pending")
      .map((event: Record<string, unknown>) => ({
        action: event.action,
        outcome: event.outcome,
        agent: event.agent_identity,
        kind: event.kind,
      }))
      .reverse();
  };
  return {
    live,
    createAgent: async (scope, name = "orchestrator") => {
      const agent = await AgentIdentity.create({ name, ticket: live.ticket({ name, scope }) });
      opened.push(agent);
      return agent;
    },
    actionsOf: (agent) =>
      finished(`agent=${encodeURIComponent(typeof agent === "string" ? agent : agent.id)}`),
    stopAtWork: async ({ instanceId }, goesOn) => {
      const target = { kind: "instance", id: instanceId };
      await live.admin("POST", "/v1/revocations", { target, reason: "test" });
      if (goesOn) await new Promise(() => undefined);
    },
    expectCut: async (agent) => {
      const outcomes = async () => {
        const seen = await finished(`subtree=${agent.agentId}`);
        return seen.map(({ outcome }) => outcome);
      };
      await expect.poll(outcomes, { timeout: 60_000 }).toEqual(["aborted"]);
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
