/** What MCP upstreams offer, and what A2A agents say of themselves: looked at and approved by operators. */

import type { UpstreamPath } from "@trustwarden/core/api/gateway.ts";
import type { CatalogueAnswer, McpApprovalRequest, PinAnswer } from "@trustwarden/core/api/mcp.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { parseMcpSettings } from "@trustwarden/core/gateway/mcp/settings.ts";
import { lookAtAgent } from "../../gateway/a2a/create-a2a.ts";
import { isUsable } from "../../gateway/mcp/catalogues.ts";
import { openOperatorLink } from "../../gateway/mcp/create-mcp.ts";
import { lookAround } from "../../gateway/mcp/look-around.ts";
import type { UpstreamState } from "../../store/gateway-ports.ts";
import type { PinState } from "../../store/mcp-ports.ts";
import { contextOf } from "../command-context.ts";
import type { Visit } from "../route.ts";
import type { Services } from "../services.ts";

/** A server that says nothing for this long is not looked at. */
const LOOK_TIMEOUT_MS = 30_000;

type AboutOne<Body = unknown> = Visit<Body, unknown, UpstreamPath>;

/** The catalogue as it is known. @throws TrustWardenError `upstream_unknown`, `not_found`. */
export async function readCatalogue(services: Services, visit: AboutOne): Promise<CatalogueAnswer> {
  return formatCatalogue(services, findMcp(services, visit));
}

/** Looks at the server now. @throws TrustWardenError `upstream_unknown`, `not_found`, and why it could not be seen. */
export async function lookAtUpstream(services: Services, visit: AboutOne): Promise<CatalogueAnswer> {
  const upstream = findMcp(services, visit);
  if (upstream.kind === "a2a") {
    await lookAtAgent(services, upstream, AbortSignal.timeout(LOOK_TIMEOUT_MS));
    return formatCatalogue(services, upstream);
  }
  const done = new AbortController();
  const signal = AbortSignal.any([AbortSignal.timeout(LOOK_TIMEOUT_MS), done.signal]);
  const { link, nextId } = await openOperatorLink(services, {
    upstream,
    settings: parseMcpSettings(upstream.settings),
    signal,
  });
  const offers = await lookAround(link, nextId).finally(() => done.abort());
  for (const [kind, list] of offers) await services.mcp.catalogues.observe(upstream.name, kind, list);
  return formatCatalogue(services, upstream);
}

/** Approves by digest what was seen. @throws TrustWardenError `upstream_unknown`, `not_found`, `mcp_definition_changed`. */
export async function approveDefinitions(
  services: Services,
  visit: AboutOne<McpApprovalRequest>,
): Promise<CatalogueAnswer> {
  const upstream = findMcp(services, visit);
  const { approve, withdraw } = visit.body;
  const context = contextOf(services, visit);
  await services.mcp.catalogues.approve({ context, upstream: upstream.name, approve, withdraw });
  return formatCatalogue(services, upstream);
}

function findMcp({ gateway }: Services, { params }: AboutOne): UpstreamState {
  const upstream = gateway.upstreams.find(params.name);
  const isSeen = upstream.kind === "mcp" || upstream.kind === "a2a";
  if (!isSeen || upstream.members !== undefined)
    throw new TrustWardenError("not_found", { kind: upstream.kind });
  return upstream;
}

function formatCatalogue({ mcp }: Services, { name }: UpstreamState): CatalogueAnswer {
  return { upstream: name, pins: mcp.catalogues.list(name).map(formatPin) };
}

function formatPin(pin: PinState): PinAnswer {
  const { kind, name, approved, seen, changedAt } = pin;
  return { kind, name, state: stateOf(pin), approved, seen, changed_at: changedAt };
}

function stateOf(pin: PinState): PinAnswer["state"] {
  if (pin.approved === null) return "unapproved";
  if (isUsable(pin)) return "approved";
  return pin.seen === null ? "gone" : "changed";
}
