/** The gateway in the state store: what is registered behind it. */
import type { UpstreamKind, UpstreamName } from "@trustwarden/core/gateway/upstream.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import type { CommandContext, Committed } from "./ports.ts";

/** One upstream, as its operator registered it. */
export interface UpstreamDocument {
  readonly name: UpstreamName;
  readonly kind: UpstreamKind;
  /** Origin and base path that calls go to, without a trailing slash. */
  readonly url: string;
  /** PEM certificates to trust instead of the system's, or null. */
  readonly ca: string | null;
  /** Whether the name may lead into the private network or to this machine. */
  readonly allowPrivate: boolean;
  /** Name of the broker's secret that goes along, or null. */
  readonly secret: string | null;
  /** Of the kind; agents may read them. */
  readonly settings: JsonObject;
}

export interface UpstreamState extends UpstreamDocument {
  /** Unix seconds. */
  readonly changedAt: number;
  /** Those that an MCP endpoint stands for, as they are now; found by their names, and never stored with it. */
  readonly members?: readonly UpstreamState[];
}

/** What happens to an upstream. */
export type UpstreamChange =
  | { readonly change: "set"; readonly upstream: UpstreamDocument }
  | { readonly change: "removal"; readonly name: UpstreamName };

export type UpstreamCommand = UpstreamChange & { readonly context: CommandContext };

export interface GatewayCommands {
  /** Value: the upstream, or null once it is gone. @throws TrustWardenError `not_found`, `quota_exceeded`. */
  changeUpstream(command: UpstreamCommand): Promise<Committed<UpstreamState | null>>;
}

export interface GatewayReads {
  /** By name, in order. */
  listUpstreams(): readonly UpstreamState[];
}
