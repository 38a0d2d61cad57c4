/**
 * The port through which core makes signatures. Private keys stay behind it: in a sealed file, in the agent's own
 * process, in a hardware token or in a cloud KMS.
 */
import type { PublicKey } from "./crypto.ts";

/** One private key that can sign. */
export interface Signer {
  readonly algorithm: "ES256" | "Ed25519";
  readonly publicKey: PublicKey;
  /** ES256: 64 bytes r||s over SHA-256(data). Ed25519: 64 bytes over data. Synchronous, because issuing a certificate
   * happens inside one database transaction (docs/decisions/0004). */
  sign(data: Uint8Array): Uint8Array;
}

/**
 * The root's key, which signs a certificate every few weeks and is asked outside of any transaction: so it may be as
 * far away as a cloud KMS. Always P-256.
 */
export interface RootSigner {
  readonly publicKey: PublicKey;
  /** 64 bytes r||s over SHA-256(data). */
  sign(data: Uint8Array): Promise<Uint8Array>;
}
