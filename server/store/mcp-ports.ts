/** Catalogues of MCP upstreams in the state store: what each offers, as it was approved and as it was seen last. */
import type { Definition, DefinitionKind } from "@trustwarden/core/gateway/mcp/definition.ts";
import type { CommandContext, Committed } from "./ports.ts";

/** As many changes as one event has room for, with the digests of before and after. */
export const MAX_MCP_CHANGES = 24;

/** One thing that an upstream offers or offered. */
export interface PinState {
  readonly upstream: string;
  readonly kind: DefinitionKind;
  /** As in `Definition`. */
  readonly name: string;
  /** Null before the first approval. */
  readonly approved: { readonly sha256: string; readonly document: string } | null;
  /** Null when the upstream does not offer it any more. */
  readonly seen: { readonly sha256: string; readonly document: string } | null;
  /** Unix seconds of the last change of either. */
  readonly changedAt: number;
}

/** The gateway looked at what an upstream offers of some kinds. */
export interface ObserveCommand {
  readonly context: CommandContext;
  readonly upstream: string;
  readonly kinds: readonly DefinitionKind[];
  readonly definitions: readonly Definition[];
}

/** An operator takes definitions as they are, by digest, so that nobody approves what he did not see. */
export interface ApproveCommand {
  readonly context: CommandContext;
  readonly upstream: string;
  readonly approve: readonly {
    readonly kind: DefinitionKind;
    readonly name: string;
    readonly sha256: string;
  }[];
  /** Approvals that are taken back. */
  readonly withdraw: readonly { readonly kind: DefinitionKind; readonly name: string }[];
}

export interface McpCommands {
  /**
   * Takes at most `MAX_MCP_CHANGES` of what differs; again until nothing does. Value: the catalogue after it.
   *
   * @throws TrustWardenError `not_found`.
   */
  observeMcp(command: ObserveCommand): Promise<Committed<readonly PinState[]>>;
  /** Value: the catalogue after it. @throws TrustWardenError `not_found`, `mcp_definition_changed`, `request_too_large`. */
  approveMcp(command: ApproveCommand): Promise<Committed<readonly PinState[]>>;
}

export interface McpReads {
  /** By kind and name, in order; empty for an upstream that nobody looked at. */
  listPins(upstream: string): readonly PinState[];
}
