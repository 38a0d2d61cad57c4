/**
 * Identity providers by which people may sign in, in the settings of the console. Nothing configured, nobody comes that way.
 *
 * Issuers, clients and origins are named here and never taken from a token or a browser.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { z } from "zod";
import { isLoopbackHost } from "../../attest/addresses.ts";
import { type Endpoint, endpoint } from "../../attest/config.ts";
import { ALGORITHMS } from "../../attest/verification-key.ts";

const url = z.url({ protocol: /^https?$/ }).max(2048);

/** Places of a provider that are not at its issuer's origin, such as Google's. */
const endpoints = z.strictObject({
  authorization: url,
  token: endpoint,
  keys: endpoint,
  /** Whether its answers name the issuer (RFC 9207); then one without is refused. */
  namesIssuer: z.boolean().default(false),
});

/** One of `console.identityProviders`. */
export const identityProvider = z.strictObject({
  /** In our own addresses; never changes, since the provider knows the callback by it. */
  name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,31}$/),
  /** On the button. */
  label: z
    .string()
    .min(1)
    .max(64)
    .regex(/^[\p{L}\p{M}\p{N}\p{P}\p{Zs}]+$/u),
  /** `iss`, byte for byte. */
  issuer: url,
  clientId: z
    .string()
    .max(512)
    .regex(/^[\x20-\x7e]+$/),
  /** Holds the client's secret; without it the client is a public one. */
  clientSecretFile: z.string().min(1).max(4096).optional(),
  /** The issuer's discovery document; at its place below the issuer unless it is given. */
  discovery: endpoint
    .refine(
      ({ url: place }) => place.includes("/.well-known/"),
      "a discovery document lies below /.well-known/",
    )
    .optional(),
  /** Instead of discovery. */
  endpoints: endpoints.optional(),
  algorithms: z.array(z.enum(ALGORITHMS)).min(1).max(ALGORITHMS.length).default(["RS256", "ES256"]),
  /** Of an ID token; longer-lived ones are refused. */
  maxTokenSeconds: z.number().int().min(1).max(86_400).default(7200),
});
export type IdentityProviderConfig = Readonly<z.output<typeof identityProvider>>;

/** All of them; each name and each issuer once. */
export const identityProviders = z
  .array(identityProvider)
  .max(16)
  .refine((all) => new Set(all.map(({ name }) => name)).size === all.length, "a name repeats")
  .refine((all) => new Set(all.map(({ issuer }) => issuer)).size === all.length, "an issuer repeats")
  .refine(
    (all) => all.every(({ discovery, endpoints }) => discovery === undefined || endpoints === undefined),
    "either discovery or endpoints",
  );

/** The discovery document of a provider. */
export function discoveryOf({ issuer, discovery }: IdentityProviderConfig): Endpoint {
  const place = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
  return discovery ?? { url: place, allowPrivate: false };
}

/** Whether a place may be asked in the clear: only on this machine, for tests; the way out asks again. */
export function isClear(place: string | undefined): boolean {
  const found = place === undefined ? null : URL.parse(place);
  return found?.protocol === "http:" && isLoopbackHost(found.hostname);
}

/** Refuses a place without https that browsers would be sent to. @throws TrustWardenError `config_invalid`. */
export function requireForBrowsers(place: string): void {
  if (URL.parse(place)?.protocol === "https:" || isClear(place)) return;
  const reason = "the authorization endpoint is not https";
  throw new TrustWardenError("config_invalid", { setting: "console.identityProviders", reason });
}
