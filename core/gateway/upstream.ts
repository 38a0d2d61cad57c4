/**
 * An upstream: something behind the gateway that agents may call, as the operator registered it.
 *
 * The description is what an agent needs to know to sign an intent for a call; where the upstream really is and which
 * secret goes there stays with the gateway.
 */
import { TrustWardenError } from "../error.ts";
import type { JsonObject } from "../json.ts";

/** Protocols of the gateway; each has one planner and one performer. */
export const UPSTREAM_KINDS = ["openai", "anthropic", "mcp", "http", "a2a", "egress", "postgresql"] as const;
export type UpstreamKind = (typeof UPSTREAM_KINDS)[number];

/** First segment of a gateway path; no dot, so that it is never taken for a host or a file. */
const NAME = /^[a-z][a-z0-9-]{0,62}$/;

declare const nameBrand: unique symbol;

/** The name of an upstream. */
export type UpstreamName = string & { readonly [nameBrand]: true };

/** What agents see of an upstream. */
export interface UpstreamDescription {
  readonly name: UpstreamName;
  readonly kind: UpstreamKind;
  /** What resources begin with, such as `https://api.model.example`; shown in records, never dialled. */
  readonly resource: string;
  /** Public settings of the kind; parsed by the kind's planner. */
  readonly settings: JsonObject;
}

/** Scheme, host and port of an upstream's address: where it is, and what a secret is bound to. */
export function originOf(url: string): string {
  // To the web's parser only its own schemes have an origin.
  return /^postgresql:\/\/[^/]+/.exec(url)?.[0] ?? new URL(url).origin;
}

/** What stands before each path that is asked of an upstream: empty, or `/` and segments. */
export function basePathOf(url: string): string {
  return new URL(url).pathname.replace(/\/$/, "");
}

/** @throws TrustWardenError `upstream_malformed`. */
export function parseUpstreamName(text: string): UpstreamName {
  if (!NAME.test(text)) throw new TrustWardenError("upstream_malformed", { field: "name" });
  // The one cast of this parser: the text was just proven to be a name.
  return text as UpstreamName;
}
