/** Opens a private key that another thread handed over: the one place that knows every custody of an online key. */
import type { Signer } from "@trustwarden/core/signer.ts";
import { openTokenSigner, type TokenPlace } from "./pkcs11.ts";
import { createSoftwareSigner } from "./software.ts";

/** Where an online key is. Holds secrets: never logged. */
type SigningKey =
  | { readonly kind: "sealed"; readonly pkcs8: Uint8Array }
  | { readonly kind: "pkcs11"; readonly place: TokenPlace; readonly id: string };

/** @throws TrustWardenError `config_invalid` for a key that cannot sign for us, `signer_unavailable`. */
export function openSigningKey(key: SigningKey): Signer {
  switch (key.kind) {
    case "sealed":
      return createSoftwareSigner(key.pkcs8);
    case "pkcs11":
      return openTokenSigner(key.place, key.id);
  }
}
