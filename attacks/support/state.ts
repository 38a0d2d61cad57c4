/** What may not change under an attack: the registry as the operator sees it, and what services carried out. */
import { agentList, statusAnswer } from "@trustwarden/core/api/ledger.ts";
import { sha256Hex } from "./digest.ts";
import { readAsOperator } from "./operator.ts";

/** Counts and a digest of every agent with its instances. */
export interface RegistryState {
  readonly owners: number;
  readonly agents: number;
  readonly liveInstances: number;
  readonly epoch: number;
  /** Digest over every agent and instance with status and scope. */
  readonly registry: string;
  /** Actions that the visited service carried out. */
  readonly carriedOut: number;
}

/** Reads the state over the admin socket. */
export async function readState(adminSocket: string, carriedOut: number): Promise<RegistryState> {
  const status = statusAnswer.parse(await readAsOperator(adminSocket, "/v1/status"));
  const { owners, agents, live_instances: liveInstances, epoch } = status;
  return { owners, agents, liveInstances, epoch, registry: await digestRegistry(adminSocket), carriedOut };
}

async function digestRegistry(adminSocket: string): Promise<string> {
  const pages: string[] = [];
  let cursor = "";
  for (;;) {
    const page = agentList.parse(await readAsOperator(adminSocket, `/v1/agents?limit=500${cursor}`));
    pages.push(JSON.stringify(page.agents));
    if (page.next_cursor === null) return sha256Hex(pages.join());
    cursor = `&cursor=${page.next_cursor}`;
  }
}
