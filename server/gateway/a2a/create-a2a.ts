/** Puts the A2A side of the gateway together. */
import { parseA2aSettings } from "@trustwarden/core/gateway/a2a/settings.ts";
import type { Services } from "../../http/services.ts";
import type { UpstreamState } from "../../store/gateway-ports.ts";
import type { UpstreamRequest } from "../ports.ts";
import { type CardParts, lookAtCard } from "./card.ts";
import type { A2aParts } from "./perform-a2a.ts";

/** What one call is performed with. */
export function a2aPartsOf(services: Services): A2aParts {
  const { mcp, gateway } = services;
  return { ...cardPartsOf(services), handleKey: mcp.handleKey, url: () => gateway.url() };
}

/** Looks at the card of an agent for an operator, with no agent of ours behind it. */
export async function lookAtAgent(
  services: Services,
  upstream: UpstreamState,
  signal: AbortSignal,
): Promise<void> {
  const client = {
    request: (sent: UpstreamRequest) => services.gateway.connections.send(upstream, sent, signal),
  };
  const settings = parseA2aSettings(upstream.settings);
  await lookAtCard(cardPartsOf(services), { upstream: upstream.name, settings, client });
}

function cardPartsOf({ mcp, federation, clock }: Services): CardParts {
  return {
    catalogues: mcp.catalogues,
    bundles: federation.bundles,
    trustedSeconds: () => clock.trustedSeconds(),
  };
}
