/** What the routes of people work with; `build.ts` puts it together. */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Challenges } from "./challenges.ts";
import type { IdentityProvider } from "./oidc/provider.ts";
import type { PersonSeal } from "./person-seal.ts";

/** Where browsers find the console. */
export interface ConsolePlace {
  /** Such as `http://localhost:7446`. */
  readonly origin: string;
  /** Host name of the origin: what passkeys are bound to. */
  readonly rpId: string;
}

/** A session ends when it is not used for so long, in seconds, */
export const IDLE_SECONDS = 30 * 60;
/** and after so long whatever happens: a working day. */
export const SESSION_SECONDS = 12 * 60 * 60;
/** A link that makes a person. */
export const LINK_SECONDS = 10 * 60;
/** An invitation is read when somebody has time. */
export const INVITATION_SECONDS = 24 * 60 * 60;

export interface People {
  /** Whether the admin socket too waits for a second admin, where nobody acts alone. */
  readonly isSocketConfirmed: boolean;
  /** Lines of everybody's that one person reads alone in a day (`reading-allowance.ts`). */
  readonly linesPerDay: number;
  readonly seal: PersonSeal;
  readonly challenges: Challenges;
  /** Identity providers by which people may sign in. */
  readonly providers: readonly IdentityProvider[];
  /** Null where there is no console, and so no passkey. */
  readonly place: () => ConsolePlace | null;
}

/** @throws TrustWardenError `not_found` where there is no console. */
export function requirePlace({ people }: { readonly people: People }): ConsolePlace {
  const place = people.place();
  if (place === null) throw new TrustWardenError("not_found", { kind: "console" });
  return place;
}
