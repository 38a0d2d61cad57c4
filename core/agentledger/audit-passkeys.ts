/**
 * Which passkeys somebody has, as the log tells it, by whatever name the auditor asks for: an owner's or a person's.
 *
 * An event carries the key, its credential and the host that it is bound to. Order is everything: what a recovery ended signs
 * nothing that comes later in the log.
 */
import { encodeBase64url, parseBase64 } from "../bytes.ts";
import { type PublicKey, parseP256PublicKey, sha256 } from "../crypto.ts";
import { TrustWardenError } from "../error.ts";
import type { JsonObject } from "../json.ts";
import type { Passkey } from "../passkey.ts";

/** Changes of a person after which none of its passkeys of before counts. */
const ENDINGS: readonly unknown[] = ["recover", "end"];

interface KnownPasskey extends Passkey {
  readonly credential: string;
}

/** Owns the passkeys of one log; lives for one audit. */
export class KnownPasskeys {
  /** By holder, by the `keyid` of what they sign. */
  readonly #byHolder = new Map<string, Map<string, KnownPasskey>>();

  /** Whether the log told of a passkey of this holder, whatever became of it. */
  has(holder: string): boolean {
    return this.#byHolder.has(holder);
  }

  /**
   * Takes what an allowed event says of its holder's passkeys; call in the order of the log.
   *
   * @throws TrustWardenError `record_malformed`.
   */
  follow(holder: string, details: JsonObject): void {
    const known = this.#byHolder.get(holder) ?? new Map<string, KnownPasskey>();
    const { change, spki, rp_id: rpId, credential_id: credential } = details;
    if (ENDINGS.includes(change)) known.clear();
    if (spki === undefined) {
      for (const [keyid, passkey] of known) if (passkey.credential === credential) known.delete(keyid);
      return;
    }
    const { publicKey, keyid } = readLoggedKey(details);
    const place = { rpId: typeof rpId === "string" ? rpId : null, origin: null };
    known.set(keyid, { publicKey, ...place, credential: String(credential) });
    this.#byHolder.set(holder, known);
  }

  findByKeyid(holder: string, keyid: string): Passkey | undefined {
    return this.#byHolder.get(holder)?.get(keyid);
  }

  findByCredential(holder: string, credential: string): Passkey | undefined {
    return this.#byHolder
      .get(holder)
      ?.values()
      .find((passkey) => passkey.credential === credential);
  }
}

/** The key that an event carries. @throws TrustWardenError `record_malformed`. */
export function readLoggedKey({ spki }: JsonObject): {
  readonly publicKey: PublicKey;
  readonly keyid: string;
} {
  if (typeof spki !== "string")
    throw new TrustWardenError("record_malformed", { reason: "an owner without a key" });
  const bytes = parseBase64(spki);
  return { publicKey: parseP256PublicKey(bytes), keyid: encodeBase64url(sha256(bytes)) };
}
