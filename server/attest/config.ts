/**
 * The `attestation` section of the server's configuration. Closed, and empty by default: nothing configured, nothing
 * accepted.
 *
 * Issuers, audiences and origins are named here and never taken from evidence. Certificates are PEM text.
 */
import { z } from "zod";
import { ALGORITHMS } from "./verification-key.ts";

const MAX_CONFIGURED = 64;

const name = z.string().regex(/^[a-z0-9][a-z0-9_-]{0,62}$/);
const text = z.string().min(1).max(1000);
const url = z.url({ protocol: /^https?$/ }).max(2048);
const pem = z.string().startsWith("-----BEGIN CERTIFICATE-----").max(65_536);
const seconds = z.number().int().min(1);
const flag = z.boolean();

/** Where to call; a name that leads to private addresses must be said to. */
export const endpoint = z.strictObject({
  url,
  allowPrivate: flag.default(false),
  /** Certificates that the peer's must lead to, instead of the system's. */
  ca: pem.optional(),
  /** The same in a file, such as the one in every pod; read at the start. */
  caFile: z.string().min(1).max(4096).optional(),
});
export type Endpoint = z.output<typeof endpoint>;

const publicJwk = z.record(z.string().max(64), z.json());

/** Exactly one way to have an issuer's keys. */
export const keys = z.union([
  z.strictObject({ inline: z.array(publicJwk).min(1).max(100) }),
  z.strictObject({ jwks: endpoint }),
  z.strictObject({ discovery: endpoint }),
]);
export type KeysConfig = z.output<typeof keys>;

const token = {
  /** Whom tokens must be made for; the trust domain's own id where it is left out. */
  audience: text.optional(),
  algorithms: z.array(z.enum(ALGORITHMS)).min(1).max(ALGORITHMS.length).default(["RS256", "ES256"]),
};

const clusterKeys = z.strictObject({
  name,
  mode: z.literal("jwks"),
  issuer: text,
  keys,
  ...token,
  maxTokenSeconds: seconds.max(86_400).default(7200),
  /** A pod's token stays the same for most of its life, so a restarted container brings it again. */
  singleUse: flag.default(false),
});

const clusterReview = z.strictObject({
  name,
  mode: z.literal("token_review"),
  apiServer: endpoint,
  /** File with a token that may create token reviews; read at each use, since it is renewed in place. */
  tokenFile: z.string().min(1).max(4096),
  audience: text.optional(),
  maxTokenSeconds: seconds.max(86_400).default(7200),
  singleUse: flag.default(false),
});

const github = z.strictObject({
  issuer: text.default("https://token.actions.githubusercontent.com"),
  keys: keys.prefault({
    discovery: { url: "https://token.actions.githubusercontent.com/.well-known/openid-configuration" },
  }),
  ...token,
  maxTokenSeconds: seconds.max(3600).default(900),
  /** Events by which somebody without write access can start a workflow. */
  allowPullRequests: flag.default(false),
  singleUse: flag.default(true),
});

const provider = z.strictObject({
  name,
  issuer: text,
  keys,
  ...token,
  maxTokenSeconds: seconds.max(86_400).default(3600),
  /** Claim to the label that its selector carries; `sub` is always one. */
  selectors: z.record(text, z.string().regex(/^[a-z0-9][a-z0-9_-]{0,62}$/)).default({}),
  singleUse: flag.default(true),
});

const region = z.string().regex(/^[a-z]{2}[a-z0-9-]{3,30}$/);

const aws = z.strictObject({
  /** Region to the certificate that signs its documents; both forms are checked with it. */
  certificates: z.record(region, pem).default({}),
  /** How long after launch a document is accepted: it never expires by itself. */
  maxAgeSeconds: seconds.max(31_536_000).default(900),
  /** The RSA-1024 certificates of the plain signature form are accepted only when they are listed here. */
  legacyCertificates: z.record(region, pem).default({}),
  singleUse: flag.default(true),
  /** Region to the STS that says whose key signed a request, such as `https://sts.eu-central-1.amazonaws.com`. */
  callerEndpoints: z.record(region, endpoint).default({}),
});

const gcp = z.strictObject({
  issuer: text.default("https://accounts.google.com"),
  keys: keys.prefault({ jwks: { url: "https://www.googleapis.com/oauth2/v3/certs" } }),
  ...token,
  maxTokenSeconds: seconds.max(7200).default(3600),
  singleUse: flag.default(true),
});

const azureTenant = z.strictObject({
  tenantId: z.guid(),
  /** `iss` of the tenant's tokens; that of version 1 where it is left out. */
  issuer: text.optional(),
  keys: keys.optional(),
  /** Entra makes tokens only for audiences that it knows, so there is no default. */
  audience: text,
  algorithms: token.algorithms,
  maxTokenSeconds: seconds.max(172_800).default(90_000),
  singleUse: flag.default(true),
});

const azureDocument = z.strictObject({
  /** Certificates that the signer's chain must end in. */
  roots: z.array(pem).min(1).max(8),
  /** Issuing authorities below them; nothing is downloaded. */
  intermediates: z.array(pem).max(32).default([]),
  /** Names of the signer's certificate. */
  signerNames: z.array(text).min(1).max(64).default(["metadata.azure.com"]),
  /** Subscriptions whose machines are accepted; every tenant's documents are signed alike. */
  subscriptionIds: z.array(z.guid()).min(1).max(1000),
  singleUse: flag.default(true),
});

/** Everything that may be attested. */
export const attestationSettings = z.strictObject({
  k8s: z
    .array(z.discriminatedUnion("mode", [clusterKeys, clusterReview]))
    .max(MAX_CONFIGURED)
    .default([]),
  github: github.optional(),
  oidc: z.array(provider).max(MAX_CONFIGURED).default([]),
  aws: aws.optional(),
  gcp: gcp.optional(),
  azure: z
    .strictObject({
      tenants: z.array(azureTenant).max(MAX_CONFIGURED).default([]),
      document: azureDocument.optional(),
    })
    .prefault({}),
});

export type AttestationConfig = Readonly<z.output<typeof attestationSettings>>;
export type ClusterKeysConfig = z.output<typeof clusterKeys>;
export type ClusterReviewConfig = z.output<typeof clusterReview>;
export type GithubConfig = z.output<typeof github>;
export type ProviderConfig = z.output<typeof provider>;
export type AwsConfig = z.output<typeof aws>;
export type GcpConfig = z.output<typeof gcp>;
export type AzureTenantConfig = z.output<typeof azureTenant>;
export type AzureDocumentConfig = z.output<typeof azureDocument>;
