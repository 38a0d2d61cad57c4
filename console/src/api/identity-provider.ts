/**
 * Signing in through an identity provider: away to its page, and back to ours with a code.
 *
 * What the page began with stays in this tab, and an answer counts only with it: a code that somebody else laid out, or that
 * went to another tab, is thrown away before the server hears of it. The server says where to go and who answered; this page
 * never takes an address from the one that it was opened at.
 *
 * @see RFC 7636 §4; RFC 9700 §4.7
 */
import {
  type IdentityProviderList,
  identityProviderList,
  providerOptions,
} from "@trustwarden/core/api/identity-providers.ts";
import { authenticationResponse, type SessionAnswer, sessionAnswer } from "@trustwarden/core/api/people.ts";
import { calculatePKCECodeChallenge, randomPKCECodeVerifier, randomState } from "openid-client";
import { z } from "zod";
import { callApi } from "./client.ts";

const KEY = "trustwarden-sign-in";

const begun = z.strictObject({
  provider: z.string(),
  state: z.string(),
  verifier: z.string(),
  nonce: z.string(),
  /** Who comes by an invitation. */
  coming: z.strictObject({ link: z.string(), name: z.string() }).nullable(),
  /** The word of a passkey of who is here and adds a provider; it counts once, for that alone. */
  adding: authenticationResponse.nullable(),
});

/** Why somebody goes to a provider: by an invitation, to be known there too, or, with neither, to sign in. */
export interface Errand {
  readonly coming: { readonly link: string; readonly name: string } | null;
  /** The word of a passkey for `add-identity:<provider>`. */
  readonly adding: unknown;
}

/** What went wrong on the way, for a person. */
export class SignInFailed extends Error {}

/** Providers by which people may sign in. @throws ApiError. */
export async function listProviders(): Promise<IdentityProviderList["providers"]> {
  return (await callApi({ path: "/v1/identity-providers", answer: identityProviderList })).providers;
}

/** Goes to a provider's page. @throws ApiError. */
export async function goToProvider(provider: string, { coming, adding }: Errand): Promise<void> {
  const path = `/v1/identity-providers/${encodeURIComponent(provider)}/options` as const;
  const { url, nonce } = await callApi({ path, answer: providerOptions });
  const [state, verifier] = [randomState(), randomPKCECodeVerifier()];
  const place = new URL(url);
  if (place.protocol !== "https:" && place.protocol !== "http:") throw new SignInFailed("no page to go to");
  place.searchParams.set("state", state);
  place.searchParams.set("code_challenge", await calculatePKCECodeChallenge(verifier));
  sessionStorage.setItem(KEY, JSON.stringify({ provider, state, verifier, nonce, coming, adding }));
  window.location.assign(place.href);
}

/**
 * Comes back from a provider's page, once.
 *
 * @param answered - the parameters of this page's address.
 * @throws SignInFailed, ApiError.
 */
export async function comeBack(provider: string, answered: URLSearchParams): Promise<SessionAnswer> {
  const kept = begun.safeParse(JSON.parse(sessionStorage.getItem(KEY) ?? "null"));
  sessionStorage.removeItem(KEY);
  const code = answered.get("code");
  const isOurs = kept.success && kept.data.provider === provider && answered.get("state") === kept.data.state;
  if (!isOurs) throw new SignInFailed("This tab did not begin this sign-in.");
  if (code === null) throw new SignInFailed("Your identity provider did not let you in.");
  const { verifier, nonce, coming, adding } = kept.data;
  const iss = answered.get("iss");
  const word = { provider, code, code_verifier: verifier, nonce, ...(iss === null ? {} : { iss }) };
  if (adding !== null) {
    const body = { ...word, assertion: adding };
    return callApi({ path: "/v1/session/identities", body, answer: sessionAnswer });
  }
  return coming === null
    ? callApi({ path: "/v1/session/by-provider", body: word, answer: sessionAnswer })
    : callApi({ path: "/v1/people/by-provider", body: { ...word, ...coming }, answer: sessionAnswer });
}
