/** The authority in the state store: its keys on their way to the thread that signs, and steps of it as commands. */
import type { AuthorityKind, AuthorityState } from "@trustwarden/core/agentid/authority-slots.ts";
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

/** A key as it is kept for the other servers of a store: the bytes of its sealed file. */
export interface KeptKey {
  readonly id: string;
  readonly kind: AuthorityKind;
  readonly sealed: Uint8Array;
}

/** Takes in what is kept, and gives the keys that sign online, by the ids of their slots; each once. */
export type TakeKept = (kept: readonly KeptKey[]) => ReadonlyMap<string, SigningKey>;

/** Whose unseal key opens them, and where they are laid. */
export interface KeptKeyPlace {
  readonly configDir: string;
  readonly dataDir: string;
  readonly trustDomain: string;
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
  /** The same as it lies in its file, where other servers of the store are to have it; none unless given. */
  readonly sealed?: Uint8Array;
  /** The state that the step was made for; any unless given. @see AuthorityState */
  readonly after?: number;
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
