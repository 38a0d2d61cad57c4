/**
 * The authority's own keys, as only the server's process holds them: read from a data directory while its server runs.
 * For tests and attacks that need a certificate which the server would never issue.
 */
import { randomBytes } from "node:crypto";
import { activeSlotOf, bundleOfState, certificateOf } from "@trustwarden/core/agentid/authority-slots.ts";
import { formatVkey, rawEd25519Key } from "@trustwarden/core/agentledger/signed-note.ts";
import type { Signer } from "@trustwarden/core/signer.ts";
import { openServerKeys, type ServerKeys } from "../../server/keys.ts";
import { readAuthority } from "../../server/store/authority-rows.ts";
import { openForReading } from "../../server/store/schema.ts";
import { type TestHome, TRUST_DOMAIN } from "./server.ts";

/** Keys and certificates that are in use at this moment. */
export async function openAuthority(home: TestHome) {
  const now = Math.floor(Date.now() / 1000);
  const keys = await openKeys(home);
  const database = openForReading(home.dataDir);
  try {
    const state = readAuthority(database);
    const intermediate = activeSlotOf(state, "intermediate");
    const pkcs8Of = (slot: typeof intermediate) => {
      const key = keys.ring.signingKey(slot);
      if (key.kind !== "sealed") throw new Error("a key in a token cannot be read");
      return key.pkcs8;
    };
    return {
      authority: {
        trustDomain: keys.trustDomain,
        bundle: bundleOfState(state, keys.trustDomain, now),
        root: certificateOf(activeSlotOf(state, "root"), keys.trustDomain),
        intermediate: certificateOf(intermediate, keys.trustDomain),
      },
      pkcs8: { intermediate: pkcs8Of(intermediate), jwt: pkcs8Of(activeSlotOf(state, "jwt")) },
    };
  } finally {
    database.close();
  }
}

/** What signs the ledger's first log. */
export async function openLogSigner(home: TestHome): Promise<Signer> {
  const { logKeys } = await openKeys(home);
  return logKeys.signerOf(formatVkey(`ledger.${TRUST_DOMAIN}`, rawEd25519Key(logKeys.first)));
}

/** Every key of the directory. */
export function openKeys(home: TestHome): Promise<ServerKeys> {
  const random = (length: number) => new Uint8Array(randomBytes(length));
  return openServerKeys({ config: { ...home, trustDomain: TRUST_DOMAIN }, random, nowMs: Date.now });
}
