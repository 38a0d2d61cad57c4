/** One artifact for SPIFFE's own library and for our verifier: what both have to say about it. */
import { TrustWardenError } from "@trustwarden/core/error.ts";

export interface NamedBundle {
  readonly trustDomain: string;
  readonly document: string;
}

/** What `go/spiffejudge` reads; bytes are base64. */
export interface SpiffeInput {
  readonly kind: "id" | "x509" | "jwt" | "bundle" | "mtls";
  readonly id?: string;
  readonly chain?: readonly string[];
  readonly token?: string;
  readonly audience?: string;
  readonly bundles?: readonly NamedBundle[];
  /** Unix seconds. */
  readonly at?: number;
  readonly client?: SpiffePeer;
  readonly server?: SpiffePeer;
}

export interface SpiffePeer {
  readonly chain: readonly string[];
  readonly pkcs8: string;
}

export type Expectation = "accept" | "refuse";

export interface SpiffeCase {
  readonly name: string;
  readonly input: SpiffeInput;
  /** Our verifier on the same input: returns the id that it proved, or throws. Absent where there is no such thing. */
  readonly verify?: () => string;
  readonly ours: Expectation;
  readonly theirs: Expectation;
  /** Required where the two differ: why ours is right. */
  readonly why?: string;
}

/** A case on which both agree. */
export function agreed(
  expected: Expectation,
  name: string,
  rest: Pick<SpiffeCase, "input" | "verify">,
): SpiffeCase {
  return { name, ours: expected, theirs: expected, ...rest };
}

/** What our verifier proved, or null where it refused by one of its codes; anything else is a bug and thrown. */
export function askOurs(verify: () => string): string | null {
  try {
    return verify();
  } catch (error) {
    if (error instanceof TrustWardenError) return null;
    throw error;
  }
}

/** Bytes as the Go programs read them. */
export function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}
