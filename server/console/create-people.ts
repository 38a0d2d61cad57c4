/** Puts together what the routes of people work with. */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Random } from "@trustwarden/core/id.ts";
import { createOpenFetch } from "../attest/token-source.ts";
import type { StoreReads } from "../store/ports.ts";
import { Challenges } from "./challenges.ts";
import type { IdentityProviderConfig } from "./oidc/config.ts";
import { IdentityProvider } from "./oidc/provider.ts";
import type { ConsolePlace, People } from "./people.ts";
import { PersonSeal } from "./person-seal.ts";

/**
 * @throws TrustWardenError `seal_broken` when there are people and the key that seals their names was lost: a new one
 *   would let each of them come a second time.
 */
export function createPeople(options: {
  readonly key: { readonly key: Uint8Array; readonly isNew: boolean };
  readonly random: Random;
  readonly reads: Pick<StoreReads, "listPeople">;
  /** Where browsers find the console; null without one. */
  readonly origin: () => string | null;
  readonly isSocketConfirmed: boolean;
  readonly linesPerDay: number;
  readonly providers: readonly IdentityProviderConfig[];
}): People {
  const { key, random, reads, origin, isSocketConfirmed, linesPerDay } = options;
  if (key.isNew && reads.listPeople({ after: "", limit: 1 }).length > 0) {
    throw new TrustWardenError("seal_broken", { reason: "the key of people is missing" });
  }
  const seal = new PersonSeal(key.key, random);
  const place = (): ConsolePlace | null => {
    const found = origin();
    return found === null ? null : { origin: found, rpId: new URL(found).hostname };
  };
  const openFetch = createOpenFetch("console.identityProviders caFile");
  const providers = options.providers.map((config) => new IdentityProvider(config, openFetch));
  const challenges = new Challenges(seal.challengeKey, random);
  return { isSocketConfirmed, linesPerDay, providers, seal, challenges, place };
}
