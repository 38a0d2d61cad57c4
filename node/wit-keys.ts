/**
 * The keys of WIT-SVIDs, one an identity: kept over the few minutes that a token lives, so that a renewal registers no
 * further key, and followed by another one after an hour.
 */

import { createPrivateKey } from "node:crypto";
import { createDeliveredKey, type DeliveredKey, type Runtime } from "trustwarden/peer.ts";

/** As long as an X.509-SVID's key lives. */
const KEY_AGE_MS = 3_600_000;
/** An instance and its class, of each entry that matches one process; older ones are forgotten beyond. */
const MAX_KEYS = 64;

/** Owns the keys of one process. */
export class WitKeys {
  readonly #runtime: Pick<Runtime, "monotonicMs">;
  readonly #byId = new Map<string, { readonly key: DeliveredKey; readonly madeMs: number }>();

  constructor(runtime: Pick<Runtime, "monotonicMs">) {
    this.#runtime = runtime;
  }

  /** The key of an identity. @param spiffeId - instance or class; each has a key of its own. */
  keyOf(spiffeId: string): DeliveredKey {
    const nowMs = this.#runtime.monotonicMs();
    const known = this.#byId.get(spiffeId);
    if (known !== undefined && nowMs - known.madeMs < KEY_AGE_MS) return known.key;
    const key = createDeliveredKey();
    this.#byId.delete(spiffeId);
    this.#byId.set(spiffeId, { key, madeMs: nowMs });
    const [oldest] = this.#byId.keys();
    if (this.#byId.size > MAX_KEYS && oldest !== undefined) this.#byId.delete(oldest);
    return key;
  }
}

/** The private JWK of a key, with the algorithm that its token names. */
export function formatPrivateJwk({ pkcs8 }: DeliveredKey): string {
  const key = createPrivateKey({ key: Buffer.from(pkcs8), format: "der", type: "pkcs8" });
  const { kty, crv, x, y, d } = key.export({ format: "jwk" });
  return JSON.stringify({ kty, crv, x, y, d, alg: "ES256" });
}
