/**
 * HTTP API: evidence of what a workload is, for attestors that work over the network.
 *
 * A closed union on `type`: whatever is not named here, spelt exactly so, is refused before anything looks at it.
 * The evidence is bytes that somebody else signed; what they say is read from those bytes only, so no member here
 * repeats it.
 */
import { z } from "zod";

/** A compact JWS; the longest that the issuers behind these attestors make is about 4,000 characters. */
const token = z.string().min(1).max(16_384);
/** Base64 as metadata services write it, possibly in lines and with the armour of PEM. */
const signedData = z.string().min(1).max(32_768);
/** The name under which the server's configuration knows a cluster or an issuer. */
const configuredName = z.string().regex(/^[a-z0-9][a-z0-9_-]{0,62}$/);

const kubernetes = z
  .strictObject({ type: z.literal("k8s"), cluster: configuredName, token })
  .describe("a projected service-account token");
const github = z
  .strictObject({ type: z.literal("github"), token })
  .describe("an OIDC token of a workflow's job");
const oidc = z
  .strictObject({ type: z.literal("oidc"), provider: configuredName, token })
  .describe("a token of a configured OIDC issuer");
const awsDocument = z
  .strictObject({ type: z.literal("aws_pkcs7"), pkcs7: signedData })
  .describe("EC2 instance identity document inside its RSA-2048 PKCS#7 signature");
const awsSignature = z
  .strictObject({ type: z.literal("aws_signature"), document: signedData, signature: signedData })
  .describe("EC2 instance identity document, exactly as served, and its base64 RSA signature");
const awsCaller = z
  .strictObject({
    type: z.literal("aws_caller"),
    region: z.string().regex(/^[a-z]{2}[a-z0-9-]{3,30}$/),
    authorization: z.string().min(1).max(1024),
    amz_date: z.string().regex(/^\d{8}T\d{6}Z$/),
    security_token: z.string().min(1).max(8192),
  })
  .describe("an STS GetCallerIdentity request, signed with the key of an assumed role");
const gcp = z
  .strictObject({ type: z.literal("gcp"), token })
  .describe("a GCE instance identity token, format full");
const azureToken = z
  .strictObject({ type: z.literal("azure_token"), token })
  .describe("an access token of a managed identity");
const azureDocument = z
  .strictObject({ type: z.literal("azure_document"), pkcs7: signedData })
  .describe("the attested document of the instance metadata service");

/** One piece of evidence. */
export const evidence = z.discriminatedUnion("type", [
  kubernetes,
  github,
  oidc,
  awsDocument,
  awsSignature,
  awsCaller,
  gcp,
  azureToken,
  azureDocument,
]);
export type Evidence = z.infer<typeof evidence>;
export type EvidenceType = Evidence["type"];
