/**
 * The node's daemon as the commands run it: beside the server in `warden up`, or alone in `warden node`.
 *
 * Loaded only when a node is wanted, since gRPC and the attestors are of no use to any other command.
 */
import { join } from "node:path";
import { joinTokenAnswer } from "@trustwarden/core/api/registration.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { RunningNode } from "@trustwarden/node/daemon.ts";
import { createAdminTransport } from "./admin-transport.ts";
import { createClient } from "./client.ts";
import type { Paths } from "./paths.ts";

/** What the node beside a server is called. */
const LOCAL_NODE = "local";
/** Under the data directory. */
const NODE_DIR = "node";

/** Directory of the node's admin socket. */
export function nodeDirOf({ dataDir }: Pick<Paths, "dataDir">): string {
  return join(dataDir, NODE_DIR);
}

/** Where the Workload API is unless told otherwise: as reachable as the data directory. */
export function defaultAgentSocket({ dataDir }: Pick<Paths, "dataDir">): string {
  return join(dataDir, "agent.sock");
}

/** What `warden up` can say of its node. */
export interface LocalNode {
  readonly node: RunningNode | undefined;
  /** Why there is none, although none was asked to be left out. */
  readonly why: TrustWardenError | undefined;
}

/**
 * Starts the node of the server in this process, which approves it over its own admin socket.
 *
 * Without a named socket a host that cannot have a node (another system than Linux, a path that does not fit) has a server
 * all the same.
 *
 * @throws what `startNode` throws when `agentSocket` was named.
 */
export async function startLocalNode(paths: Paths, agentSocket: string | undefined): Promise<LocalNode> {
  const { startNode } = await import("@trustwarden/node/daemon.ts");
  const dataDir = nodeDirOf(paths);
  const options = {
    dataDir,
    socketPath: agentSocket ?? defaultAgentSocket(paths),
    joinToken: () => issueJoinToken(paths),
  };
  try {
    return { node: await startNode(options), why: undefined };
  } catch (error) {
    if (!(error instanceof TrustWardenError) || agentSocket !== undefined) throw error;
    return { node: undefined, why: error };
  }
}

async function issueJoinToken({ adminSocket }: Paths): Promise<string> {
  const client = createClient(createAdminTransport(adminSocket));
  const body = { name: LOCAL_NODE };
  return (await client.post({ target: "/v1/join-tokens", body, schema: joinTokenAnswer })).token;
}
