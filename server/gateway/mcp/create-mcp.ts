/** Puts the MCP side of the gateway together. */
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { McpSettings } from "@trustwarden/core/gateway/mcp/settings.ts";
import { requireLiveChain } from "../../http/peer.ts";
import type { Services } from "../../http/services.ts";
import type { UpstreamState } from "../../store/gateway-ports.ts";
import { effectNow } from "../gateway-ports.ts";
import type { UpstreamRequest } from "../ports.ts";
import { Catalogues } from "./catalogues.ts";
import { Dialogues } from "./dialogues.ts";
import { createHttpLink } from "./http-link.ts";
import type { McpLink } from "./link.ts";
import type { McpParts } from "./perform.ts";

const ID_BYTES = 16;

/** What the MCP side remembers. */
export interface McpGateway {
  readonly catalogues: Catalogues;
  readonly dialogues: Dialogues;
}

/** Made once, beside the other services. */
export function createMcpGateway(
  made: Pick<Services, "commands" | "reads" | "ledger" | "clock" | "random" | "serverSvid" | "log">,
): McpGateway {
  const { commands, reads, ledger, clock, random, log } = made;
  return {
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
    dialogues: new Dialogues({ random, monoMs: () => clock.monoMs() }),
  };
}

/** What one call is performed with. */
export function mcpPartsOf(services: Services): McpParts {
  const { mcp, random, reads, clock } = services;
  return {
    ...mcp,
    mayCall: (caller, plan) => effectNow(services, { ...caller, plan, action: plan.action }) !== "deny",
    isAlive: (instanceId) => isAlive(reads, instanceId, clock.trustedSeconds()),
    linkOf: async ({ client }, { endpoint }) => createHttpLink(client, endpoint),
    nextId: () => encodeBase64url(random(ID_BYTES)),
  };
}

function isAlive(reads: Services["reads"], instanceId: string, now: number): boolean {
  try {
    requireLiveChain(reads, instanceId, now);
    return true;
  } catch (error) {
    // Safe: who cannot be shown to be alive loses a session, and nothing more.
    if (error instanceof TrustWardenError) return false;
    throw error;
  }
}

/** The way to an upstream for an operator's look, with no agent behind it. */
export async function openOperatorLink(
  { gateway, random }: Pick<Services, "gateway" | "random">,
  asked: { readonly upstream: UpstreamState; readonly settings: McpSettings; readonly signal: AbortSignal },
): Promise<{ readonly link: McpLink; readonly nextId: () => string }> {
  const { upstream, settings, signal } = asked;
  const client = { request: (sent: UpstreamRequest) => gateway.connections.send(upstream, sent, signal) };
  return { link: createHttpLink(client, settings.endpoint), nextId: () => encodeBase64url(random(ID_BYTES)) };
}
