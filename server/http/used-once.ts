/** What a caller shows once: refused by this server's memory first, then claimed for all servers that share the store. */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { VerifiedIntent } from "@trustwarden/core/intent.ts";
import { intentUse } from "../ledger/seen-intents.ts";
import type { Services } from "./services.ts";

/** @param now - Unix seconds. @throws TrustWardenError `intent_replayed`, `event_conflict`, `store_unavailable`. */
export async function claimIntent(
  { seen, sharing }: Pick<Services, "seen" | "sharing">,
  intent: VerifiedIntent,
  now: number,
): Promise<void> {
  seen.claim(intent, now);
  await sharing.uses.claim(intentUse(intent), now);
}

/** @param now - Unix seconds. @throws TrustWardenError `nonce_invalid`, `store_unavailable`. */
export async function spendNonce(
  { nonces, sharing }: Pick<Services, "nonces" | "sharing">,
  nonce: string,
  now: number,
): Promise<void> {
  const { expiresAt } = nonces.spend(nonce, now);
  await sharing.uses.claim({ kind: "nonce", name: nonce, forgetAt: expiresAt }, now);
}

/** The one nonce of all proofs in one request: the first proof that holds spends it, and every other one must name it too. */
export class SharedNonce {
  #first: { readonly nonce: string; readonly spent: Promise<void> } | undefined;

  /** @param now - Unix seconds. @throws TrustWardenError as `spendNonce`; `nonce_invalid` for another one than the first. */
  async spend(services: Pick<Services, "nonces" | "sharing">, nonce: string, now: number): Promise<void> {
    this.#first ??= { nonce, spent: spendNonce(services, nonce, now) };
    if (this.#first.nonce !== nonce) throw new TrustWardenError("nonce_invalid", { reason: "another nonce" });
    await this.#first.spent;
  }
}
