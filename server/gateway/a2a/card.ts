/**
 * The card of an agent behind the gateway: fetched, checked against the signer that the operator named, and pinned like
 * what an MCP server says of itself. A card that changed stops every call until it is approved again.
 *
 * What is pinned is the card without its signatures, since these are renewed; who signed is checked at each look.
 */
import { verifyCard } from "@trustwarden/core/a2a/card.ts";
import type { BundleSource } from "@trustwarden/core/agentid/ports.ts";
import type { SpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { A2aBinding, A2aSettings } from "@trustwarden/core/gateway/a2a/settings.ts";
import { instructionsOf } from "@trustwarden/core/gateway/mcp/definition.ts";
import { isJsonObject, type Json, type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import type { Catalogues } from "../mcp/catalogues.ts";
import type { UpstreamClient } from "../ports.ts";
import { readWhole } from "../whole-answer.ts";
import { BINDINGS } from "./bindings.ts";

/** A card is read by people and models. */
const MAX_CARD_BYTES = 65_536;
const KIND = "instructions";
/** Says by its form, not by a number, that it is of this one. */
const OLDEST_VERSION = "0.3";

/** What looking at a card needs. */
export interface CardParts {
  readonly catalogues: Catalogues;
  readonly bundles: BundleSource;
  readonly trustedSeconds: () => number;
}

/**
 * Looks at the card now, and takes note of what it says.
 *
 * @throws TrustWardenError `upstream_answer_refused`, `a2a_card_untrusted`, and those of the link.
 */
export async function lookAtCard(
  parts: CardParts,
  looked: { readonly upstream: string; readonly settings: A2aSettings; readonly client: UpstreamClient },
): Promise<void> {
  const { upstream, settings, client } = looked;
  const card = await fetchCard(client, settings.card);
  if (settings.signer !== null) requireSigner(card, settings.signer, parts);
  const { signatures: _, ...words } = card;
  await parts.catalogues.observe(upstream, KIND, { definitions: [instructionsOf(words)], refused: [] });
}

/**
 * The card as it was approved, looked at no longer ago than the settings say.
 *
 * @throws TrustWardenError `mcp_not_approved`, `mcp_definition_changed`, and as `lookAtCard`.
 */
export async function requireCard(
  parts: CardParts,
  looked: Parameters<typeof lookAtCard>[1],
): Promise<JsonObject> {
  const { upstream, settings } = looked;
  if (!parts.catalogues.isFresh(upstream, KIND, settings.recheckSeconds)) await lookAtCard(parts, looked);
  const { approved } = parts.catalogues.require(upstream, KIND, "");
  if (approved === null) throw new Error("a usable pin is approved");
  return parseJsonObject(approved.document);
}

/** Of 1.0 and of 0.3: ways to the agent and keys to it, which are the gateway's business. */
const WAYS: readonly string[] = [
  "url",
  "preferredTransport",
  "additionalInterfaces",
  "securitySchemes",
  "securityRequirements",
  "security",
  "supportsAuthenticatedExtendedCard",
];

/**
 * The card as clients of the gateway get it, of either version: with the gateway as the one way to the agent.
 *
 * @param options.url - the gateway's own address for it.
 * @param options.binding - how the gateway calls the agent.
 */
export function formatCard(
  card: JsonObject,
  { url, binding }: { readonly url: string; readonly binding: A2aBinding },
): JsonObject {
  const { capabilities } = card;
  const { streaming } = isJsonObject(capabilities) ? capabilities : {};
  const words = Object.entries(card).filter(([name]) => !WAYS.includes(name));
  const versions = versionsOf(card, binding);
  const isOld = card.url !== undefined && BINDINGS[binding].versions.includes(OLDEST_VERSION);
  return {
    ...Object.fromEntries(words),
    ...(isOld && { url, preferredTransport: "JSONRPC" }),
    supportedInterfaces: versions.map((protocolVersion) => ({
      url,
      protocolBinding: "JSONRPC",
      protocolVersion,
    })),
    capabilities: { streaming: streaming === true, pushNotifications: false },
  };
}

/** Versions of the protocol that the agent speaks in the binding by which it is called, the preferred one first. */
function versionsOf({ supportedInterfaces, url }: JsonObject, binding: A2aBinding): readonly string[] {
  const { versions } = BINDINGS[binding];
  const named = Array.isArray(supportedInterfaces) ? supportedInterfaces.filter(isJsonObject) : [];
  const called = named.filter(({ protocolBinding }) => protocolBinding === binding);
  // Whoever is called by a binding that its card does not name is taken by its word about the versions alone.
  const said = called.length > 0 ? called : named;
  const spoken = versions.filter((version) =>
    said.some(({ protocolVersion }) => isOfVersion(protocolVersion, version)),
  );
  if (spoken.length > 0) return spoken;
  return url !== undefined && versions.includes(OLDEST_VERSION) ? [OLDEST_VERSION] : ["1.0"];
}

/** `0.3` is also written `0.3.0`. */
function isOfVersion(text: Json | undefined, version: string): boolean {
  return typeof text === "string" && (text === version || text.startsWith(`${version}.`));
}

async function fetchCard(client: UpstreamClient, path: string): Promise<JsonObject> {
  const headers = { accept: "application/json", "a2a-version": "1.0" };
  const answer = await client.request({ method: "GET", path, headers, body: null });
  const bytes = await readWhole(answer, MAX_CARD_BYTES);
  const { status } = answer;
  if (status !== 200) throw new TrustWardenError("upstream_answer_refused", { status });
  try {
    return parseJsonObject(parseUtf8(bytes));
  } catch (cause) {
    throw new TrustWardenError("upstream_answer_refused", { reason: "no card" }, { cause });
  }
}

/** The instance itself, or any instance of the agent that the operator named. */
function requireSigner(card: JsonObject, signer: SpiffeId, parts: CardParts): void {
  const id = signerOf(card, parts);
  if (id !== signer && !isInstanceOf(id, signer))
    throw new TrustWardenError("a2a_card_untrusted", { reason: "another signer", signer: id });
}

/** It is the upstream that could not prove itself, and not the caller. */
function signerOf(card: JsonObject, { bundles, trustedSeconds }: CardParts): SpiffeId {
  try {
    return verifyCard(card, { bundles, now: trustedSeconds() });
  } catch (cause) {
    if (!(cause instanceof TrustWardenError)) throw cause;
    throw new TrustWardenError("a2a_card_untrusted", { reason: cause.code }, { cause });
  }
}

function isInstanceOf(id: SpiffeId, agent: SpiffeId): boolean {
  return id.startsWith(`${agent}/inst-`) && !id.slice(agent.length + 1).includes("/");
}
