/**
 * The `oauth` section of the server's configuration: whose grants count here, to whom ours are given, and which client
 * documents are read. Nothing configured, nothing accepted.
 *
 * Issuers, audiences and origins are named here and never taken from a token.
 */
import { z } from "zod";
import { endpoint, keys } from "../attest/config.ts";
import { ALGORITHMS } from "../attest/verification-key.ts";

const MAX_CONFIGURED = 64;
const MAX_SUBJECTS = 10_000;

const text = z.string().min(1).max(1000);
/** Compared byte for byte, so it is kept as it was written. */
const issuer = z.url({ protocol: /^https?$/ }).max(512);
/** A word of another server's scope: RFC 6749 §3.3. */
const scopeWord = z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]{1,128}$/);

/** An identity provider whose identity assertion grants (ID-JAG) are taken. */
const grantIssuer = z.strictObject({
  issuer,
  keys,
  algorithms: z.array(z.enum(ALGORITHMS)).min(1).max(ALGORITHMS.length).default(["RS256", "ES256"]),
  maxTokenSeconds: z.number().int().min(1).max(3600).default(600),
  /** Its user (`sub`) to the name of the owner whose agents that user may speak for; nobody else counts. */
  owners: z
    .record(text, z.string().min(1).max(128))
    .refine((owners) => Object.keys(owners).length <= MAX_SUBJECTS, "too many subjects"),
});
export type GrantIssuerConfig = z.output<typeof grantIssuer>;

/** An authorization server for which agents get identity assertion grants of ours. */
const grantAudience = z.strictObject({
  issuer,
  /** What its tokens are for; a grant names one of them. */
  resources: z.array(issuer).min(1).max(MAX_CONFIGURED),
  /** How it knows our agents: one name for all, such as the URL of our client document; their SPIFFE IDs unless given. */
  clientId: text.optional(),
  /** Each of its words, and what of our scope an agent must have for it. */
  scopes: z.record(scopeWord, z.array(z.string().min(1).max(256)).min(1).max(16)),
});
export type GrantAudienceConfig = z.output<typeof grantAudience>;

/** Documents by which clients are named with a URL (CIMD). */
const clientDocuments = z.strictObject({
  /** Origins whose documents are read; each may be said to be private. */
  origins: z.array(endpoint).max(MAX_CONFIGURED).default([]),
  /** Whether documents of any public origin are read too. */
  anyPublic: z.boolean().default(false),
});
export type ClientDocumentsConfig = z.output<typeof clientDocuments>;

/** Put into the server's settings by `config.ts`, beside the address. */
export const grantSettings = {
  grantIssuers: z.array(grantIssuer).max(MAX_CONFIGURED).default([]),
  grantAudiences: z.array(grantAudience).max(MAX_CONFIGURED).default([]),
  clientDocuments: clientDocuments.prefault({}),
} as const;
