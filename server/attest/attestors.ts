/**
 * All attestors that the configuration names, behind one closed dispatch.
 *
 * A type, cluster or issuer that is not configured does not exist. Each attestor gets a way out to its own endpoint and
 * to nothing else.
 */
import type { Evidence } from "@trustwarden/core/api/attestation.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { createAwsAttestors } from "./aws.ts";
import { createAwsCallerAttestor } from "./aws-caller.ts";
import { createAzureDocumentAttestor } from "./azure-document.ts";
import { createAzureTokenAttestor } from "./azure-token.ts";
import type { AttestationConfig } from "./config.ts";
import { createGcpAttestor } from "./gcp.ts";
import { createGithubAttestor } from "./github.ts";
import { createKubernetesAttestor } from "./kubernetes.ts";
import { createOidcAttestor } from "./oidc.ts";
import type { Attest, AttestationContext, Attested, Attestors } from "./ports.ts";
import { untrustedIssuer } from "./refusal.ts";
import type { Lookup } from "./safe-fetch.ts";
import { createTokenReviewAttestor } from "./token-review.ts";
import { createOpenFetch, type OpenFetch } from "./token-source.ts";

/** What each type is verified with; a function that is missing is a type that is refused. */
interface Configured {
  readonly k8s: ReadonlyMap<string, Attest<"k8s">>;
  readonly oidc: ReadonlyMap<string, Attest<"oidc">>;
  readonly github: Attest<"github"> | undefined;
  readonly awsPkcs7: Attest<"aws_pkcs7"> | undefined;
  readonly awsSignature: Attest<"aws_signature"> | undefined;
  readonly awsCaller: Attest<"aws_caller"> | undefined;
  readonly gcp: Attest<"gcp"> | undefined;
  readonly azureToken: Attest<"azure_token"> | undefined;
  readonly azureDocument: Attest<"azure_document"> | undefined;
}

/**
 * The attestors of a configuration.
 *
 * @param options.lookup - another resolver than the system's, for tests.
 * @throws TrustWardenError `config_invalid` for names that repeat and certificates that are none.
 */
export function createAttestors(
  config: AttestationConfig,
  options: { readonly lookup?: Lookup } = {},
): Attestors {
  const openFetch = createOpenFetch("attestation caFile", options.lookup);
  const configured = configure(config, openFetch);
  return {
    attest: async (evidence, context) => dispatch(configured, evidence, context),
  };
}

function configure(config: AttestationConfig, openFetch: OpenFetch): Configured {
  const { github, aws, gcp, azure } = config;
  const awsAttestors = aws === undefined ? undefined : createAwsAttestors(aws);
  const { tenants, document } = azure;
  return {
    k8s: byName("k8s", config.k8s, (cluster) =>
      cluster.mode === "jwks"
        ? createKubernetesAttestor(cluster, openFetch)
        : createTokenReviewAttestor(cluster, openFetch),
    ),
    oidc: byName("oidc", config.oidc, (provider) => createOidcAttestor(provider, openFetch)),
    github: github === undefined ? undefined : createGithubAttestor(github, openFetch),
    awsPkcs7: awsAttestors?.pkcs7,
    awsCaller: aws === undefined ? undefined : createAwsCallerAttestor(aws.callerEndpoints, openFetch),
    awsSignature: awsAttestors?.signature,
    gcp: gcp === undefined ? undefined : createGcpAttestor(gcp, openFetch),
    azureToken: tenants.length === 0 ? undefined : createAzureTokenAttestor(tenants, openFetch),
    azureDocument: document === undefined ? undefined : createAzureDocumentAttestor(document),
  };
}

function byName<Config extends { readonly name: string }, Made>(
  section: "k8s" | "oidc",
  configs: readonly Config[],
  create: (config: Config) => Made,
): ReadonlyMap<string, Made> {
  const made = new Map(configs.map((config) => [config.name, create(config)]));
  if (made.size === configs.length) return made;
  throw new TrustWardenError("config_invalid", {
    setting: `attestation.${section}`,
    reason: "a name repeats",
  });
}

function dispatch(
  configured: Configured,
  evidence: Evidence,
  context: AttestationContext,
): Promise<Attested> {
  switch (evidence.type) {
    case "k8s":
      return requireConfigured(configured.k8s.get(evidence.cluster))(evidence, context);
    case "oidc":
      return requireConfigured(configured.oidc.get(evidence.provider))(evidence, context);
    case "github":
      return requireConfigured(configured.github)(evidence, context);
    case "aws_pkcs7":
      return requireConfigured(configured.awsPkcs7)(evidence, context);
    case "aws_signature":
      return requireConfigured(configured.awsSignature)(evidence, context);
    case "aws_caller":
      return requireConfigured(configured.awsCaller)(evidence, context);
    case "gcp":
      return requireConfigured(configured.gcp)(evidence, context);
    case "azure_token":
      return requireConfigured(configured.azureToken)(evidence, context);
    case "azure_document":
      return requireConfigured(configured.azureDocument)(evidence, context);
  }
  // No type leads here; what came around the schema is refused like everything else that nobody named.
  throw untrustedIssuer("type");
}

function requireConfigured<Found>(attest: Found | undefined): Found {
  if (attest === undefined) throw untrustedIssuer("not configured");
  return attest;
}
