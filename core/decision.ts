/**
 * The answer to "may it?": a value, never an exception.
 */
import type { ActionClass } from "./action.ts";

/** Which policy answered. */
export interface PolicyReference {
  /** Human name and version, such as `trustwarden-builtin-v1`. */
  readonly name: string;
  /** base64url SHA-256 over the engine's code and data. */
  readonly bundleSha256: string;
}

export interface Decision {
  readonly effect: "allow" | "deny";
  /** Stable codes that say why; empty for a plain allow, never empty for a deny. */
  readonly reasons: readonly string[];
  readonly class: ActionClass;
  readonly policy: PolicyReference;
  /** Epoch of the revocation view that the decision was made on. */
  readonly epoch: number;
}
