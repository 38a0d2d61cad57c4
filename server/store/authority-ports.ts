/** The authority in the state store: its keys on their way to the thread that signs, and steps of it as commands. */
import type { AuthorityState } from "@trustwarden/core/agentid/authority-slots.ts";
import type { AuthorityStep } from "@trustwarden/core/agentid/authority-steps.ts";
import type { CommandContext } from "./ports.ts";

/** A private key on its way to the thread that signs with it; memory only, never logged. */
export type SigningKey =
  | { readonly kind: "sealed"; readonly pkcs8: Uint8Array }
  | { readonly kind: "pkcs11"; readonly place: TokenAccess; readonly id: string };

/** A hardware token and what opens it. Holds a secret: never logged. */
export interface TokenAccess {
  /** Path of the token's PKCS#11 library. */
  readonly module: string;
  readonly token: string;
  readonly pin: string;
}

/** The authority with the successions that its roots signed, latest first. */
export interface StoredAuthority extends AuthorityState {
  readonly successions: readonly string[];
}

/** One step of the authority. */
export interface ChangeAuthorityCommand {
  readonly context: CommandContext;
  readonly step: AuthorityStep;
  /** Of a prepared intermediate or JWT key; null for every other step. */
  readonly key: SigningKey | null;
  /** Where the set of published roots changes. */
  readonly succession: { readonly signerId: string; readonly envelope: string } | null;
  /** The operator's words. */
  readonly reason: string;
}

/** Steps that cannot be recorded yet; see `mendAuthority`. */
export interface MendAuthorityCommand extends Pick<ChangeAuthorityCommand, "key" | "succession"> {
  readonly nowMs: number;
  readonly steps: readonly AuthorityStep[];
}
