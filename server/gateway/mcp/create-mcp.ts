/** Puts the MCP side of the gateway together. */
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { McpSettings } from "@trustwarden/core/gateway/mcp/settings.ts";
import { originOf } from "@trustwarden/core/gateway/upstream.ts";
import type { ServerConfig } from "../../config.ts";
import { requireLiveChain } from "../../http/peer.ts";
import type { Services } from "../../http/services.ts";
import type { UpstreamState } from "../../store/gateway-ports.ts";
import { effectNow } from "../gateway-ports.ts";
import type { GatewayCaller, UpstreamRequest } from "../ports.ts";
import { Catalogues } from "./catalogues.ts";
import { Dialogues } from "./dialogues.ts";
import { createHttpLink } from "./http-link.ts";
import type { McpLink } from "./link.ts";
import type { McpParts } from "./perform.ts";
import { secretFilesOf } from "./secret-files.ts";
import { StdioServers } from "./stdio-servers.ts";
import { watchLink } from "./watched-link.ts";

const ID_BYTES = 16;
const HANDLE_KEY_BYTES = 32;
/** Begins the name of an operator's look, where an instance would stand. */
const LOOK = "look-";

/** What the MCP side remembers. */
export interface McpGateway {
  readonly catalogues: Catalogues;
  readonly dialogues: Dialogues;
  readonly stdio: StdioServers;
  /** Seals the tasks of A2A agents to those who got them: of this start, or of all servers that share the store. */
  readonly handleKey: Uint8Array;
  /** Ends what belongs to instances that are dead; after each revocation, and now and then. */
  sweep(): void;
}

/** Made once, beside the other services. */
export function createMcpGateway(
  made: Pick<Services, "commands" | "reads" | "ledger" | "clock" | "random" | "serverSvid" | "log"> & {
    readonly config: ServerConfig;
    /** Of all servers that share the store; null for a server alone. */
    readonly handleKey: Uint8Array | null;
  },
): McpGateway {
  const { commands, reads, ledger, clock, random, log } = made;
  const dialogues = new Dialogues({ random, monoMs: () => clock.monoMs() });
  const stdio = new StdioServers({
    monoMs: () => clock.monoMs(),
    nextId: () => encodeBase64url(random(ID_BYTES)),
    never: [made.config.dataDir, made.config.configDir, ...secretFilesOf(made.config)],
  });
  return {
    dialogues,
    stdio,
    handleKey: made.handleKey ?? random(HANDLE_KEY_BYTES),
    sweep: () => {
      const isKept = (instanceId: string) => isKnownAlive(reads, instanceId, () => clock.trustedSeconds());
      dialogues.sweep(isKept);
      stdio.end(({ instanceId }) => instanceId.startsWith(LOOK) || isKept(instanceId));
    },
    catalogues: new Catalogues({
      commands,
      listPins: (upstream) => reads.listPins(upstream),
      settle: (committed) => ledger.settle(committed),
      ownContext: () => ({
        nowMs: clock.nowMs(),
        principal: made.serverSvid().spiffeId,
        peer: "local",
        intent: null,
      }),
      monoMs: () => clock.monoMs(),
      warn: (facts, message) => log.warn(facts, message),
    }),
  };
}

/** What one call is performed with. */
export function mcpPartsOf(services: Services): McpParts {
  const { mcp, random } = services;
  return {
    catalogues: mcp.catalogues,
    dialogues: mcp.dialogues,
    mayCall: (caller, plan) => effectNow(services, { ...caller, plan, action: plan.action }) !== "deny",
    mayUseSecret: ({ agent }, { secret, name, url }) => mayUse(services, secret, { name, url, agent }),
    sweep: () => mcp.sweep(),
    linkOf: async ({ client, arrival, caller, signal }, { endpoint, launch }) => {
      if (launch === null) return createHttpLink(client, endpoint);
      const { instanceId, ownerId } = caller.agent;
      const upstream = arrival.upstream.name;
      return watchLink(
        mcp.stdio.linkFor({ upstream, instanceId, ownerId, manifest: launch }, signal),
        client,
      );
    },
    nextId: () => encodeBase64url(random(ID_BYTES)),
  };
}

/** What the broker would refuse when it is used is not offered. */
function mayUse(
  { broker }: Pick<Services, "broker">,
  secret: string | null,
  {
    name,
    url,
    agent,
  }: { readonly name: string; readonly url: string; readonly agent: GatewayCaller["agent"] },
): boolean {
  if (secret === null) return true;
  try {
    broker.requireUsable({ secret, upstream: name, origin: originOf(url), agent });
    return true;
  } catch (error) {
    // Safe: what cannot be used is left out, and a call of it is refused by the same check.
    if (error instanceof TrustWardenError) return false;
    throw error;
  }
}

/** @param now - throws where the clock cannot be trusted, which ends a session like every other doubt. */
function isKnownAlive(reads: Services["reads"], instanceId: string, now: () => number): boolean {
  try {
    requireLiveChain(reads, instanceId, now());
    return true;
  } catch (error) {
    // Safe: who cannot be shown to be alive loses a session, and nothing more.
    if (error instanceof TrustWardenError) return false;
    throw error;
  }
}

/** The way to an upstream for an operator's look, with no agent behind it. */
export async function openOperatorLink(
  { gateway, random, mcp }: Pick<Services, "gateway" | "random" | "mcp">,
  asked: { readonly upstream: UpstreamState; readonly settings: McpSettings; readonly signal: AbortSignal },
): Promise<{ readonly link: McpLink; readonly nextId: () => string }> {
  const { upstream, settings, signal } = asked;
  const client = { request: (sent: UpstreamRequest) => gateway.connections.send(upstream, sent, signal) };
  const nextId = (): string => encodeBase64url(random(ID_BYTES));
  if (settings.launch === null) return { link: createHttpLink(client, settings.endpoint), nextId };
  const instanceId = `${LOOK}${nextId()}`;
  const caller = { upstream: upstream.name, instanceId, ownerId: LOOK, manifest: settings.launch };
  // The process is there for this look alone.
  signal.addEventListener("abort", () => mcp.stdio.end((other) => other.instanceId !== caller.instanceId));
  return { link: mcp.stdio.linkFor(caller, signal), nextId };
}
