/** Opens a private key that another thread handed over: the one place that knows every custody of an online key. */
import type { Signer } from "@trustwarden/core/signer.ts";
import { createSoftwareSigner } from "./software.ts";

/** Where an online key is. Holds secrets: never logged. */
type SigningKey = { readonly kind: "sealed"; readonly pkcs8: Uint8Array };

/** @throws TrustWardenError `config_invalid` for a key that cannot sign for us. */
export function openSigningKey(key: SigningKey): Signer {
  return createSoftwareSigner(key.pkcs8);
}
