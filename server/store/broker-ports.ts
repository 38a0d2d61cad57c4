/**
 * The secrets broker's state: what each secret may be used for, and its versions, sealed.
 *
 * The store never sees a secret: values are sealed before a command is made and opened after a read. A change names
 * the revision that it was made against, because what is sealed is bound to the settings and the number beside it.
 */
import type { CommandContext, Committed } from "./ports.ts";

/** What a secret is: a value that is put on requests, one that must never turn up, or the way to fetch one. */
export const SECRET_KINDS = ["static", "canary", "oauth"] as const;
export type SecretKind = (typeof SECRET_KINDS)[number];

/** One version of a value, under a data key of its own, which is under the key-encryption key. */
export interface SealedVersion {
  readonly version: number;
  /** Name of the key-encryption key. */
  readonly keyId: string;
  readonly wrappedKey: Uint8Array;
  readonly ciphertext: Uint8Array;
}

export interface StoredVersion extends SealedVersion {
  /** Unix seconds. */
  readonly createdAt: number;
  /** Unix seconds when a replaced version is destroyed; null for the one in use. */
  readonly endsAt: number | null;
}

export interface SecretState {
  /** `sec_<ulid>`; a name may come back after a deletion, this does not. */
  readonly secretId: string;
  readonly name: string;
  readonly kind: SecretKind;
  /** Canonical JSON; see `server/broker/settings.ts`. */
  readonly settings: string;
  readonly isDisabled: boolean;
  /** Rises with every change. */
  readonly revision: number;
  readonly createdAt: number;
  readonly changedAt: number;
  /** Latest first: the first is in use. */
  readonly versions: readonly StoredVersion[];
}

/** A data key under its next key-encryption key. */
export interface RewrappedKey {
  readonly name: string;
  readonly revision: number;
  readonly version: number;
  readonly keyId: string;
  readonly wrappedKey: Uint8Array;
}

/** What happens to secrets. `revision` is the one that the change was made against. */
export type SecretChange =
  | {
      readonly change: "put";
      readonly secretId: string;
      readonly name: string;
      readonly kind: SecretKind;
      readonly settings: string;
      readonly sealed: SealedVersion;
      /** Under which any secret was when this one was sealed; null without any. Another one by now may have ended its own. */
      readonly newestKey: string | null;
    }
  | {
      readonly change: "rotate" | "rollback";
      readonly name: string;
      readonly revision: number;
      readonly sealed: SealedVersion;
      /** How long the version before stays; 0 destroys it at once. */
      readonly graceSeconds: number;
    }
  | {
      readonly change: "scope";
      readonly name: string;
      readonly revision: number;
      readonly settings: string;
      /** Every version again, bound to the new settings. */
      readonly sealed: readonly SealedVersion[];
    }
  | { readonly change: "disable" | "enable" | "delete"; readonly name: string }
  | { readonly change: "expire"; readonly name: string }
  | { readonly change: "rewrap"; readonly keyId: string; readonly keys: readonly RewrappedKey[] };

export type SecretCommand = SecretChange & {
  readonly context: CommandContext;
  /** The operator's words. */
  readonly reason: string;
};

export interface SecretCommands {
  /**
   * Value: the secret, or null once it is gone or where the change is of many.
   *
   * @throws TrustWardenError `secret_exists`, `secret_conflict`, `not_found`, `quota_exceeded`.
   */
  changeSecret(command: SecretCommand): Promise<Committed<SecretState | null>>;
}

export interface SecretReads {
  findSecret(name: string): SecretState | undefined;
  /** By name. */
  listSecrets(): readonly SecretState[];
}
