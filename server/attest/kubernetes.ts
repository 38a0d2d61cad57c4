/**
 * Kubernetes: a projected service-account token proves a pod's service account in a cluster.
 *
 * Verified here with the cluster's published keys. The claims of legacy tokens, which live in secrets and never expire,
 * have other names and prove nothing here.
 *
 * @see Kubernetes, "Managing Service Accounts", "Schema for service account private claims"
 */
import type { JsonObject } from "@trustwarden/core/json.ts";
import { claimsOf, objectOf, optionalObjectOf, optionalTextOf, selectorsOf, textOf } from "./claims.ts";
import type { ClusterKeysConfig } from "./config.ts";
import type { Attest, Attested } from "./ports.ts";
import { refused } from "./refusal.ts";
import { createTokenRules, type OpenFetch, singleUseOf } from "./token-source.ts";
import { verifyToken } from "./verify-token.ts";

/** What a cluster says of the holder of a token. */
export interface PodIdentity {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly podName: string | undefined;
  readonly podUid: string | undefined;
  readonly nodeName: string | undefined;
}

/** Verifies tokens of one cluster with its keys. */
export function createKubernetesAttestor(config: ClusterKeysConfig, openFetch: OpenFetch): Attest<"k8s"> {
  const rulesFor = createTokenRules(config, openFetch);
  return async ({ token }, context) => {
    const verified = await verifyToken(token, rulesFor(context), context.nowSeconds);
    const identity = podIdentityOf(verified.claims);
    return {
      ...attestedPod(config.name, identity),
      expiresAt: verified.expiresAt,
      singleUse: singleUseOf(verified, config),
    };
  };
}

/** What both ways of asking a cluster have in common. */
export function attestedPod(
  cluster: string,
  { namespace, serviceAccount, podName, podUid, nodeName }: PodIdentity,
): Pick<Attested, "type" | "selectors" | "subject" | "claims"> {
  const facts = {
    cluster,
    ns: namespace,
    sa: serviceAccount,
    "pod-name": podName,
    "pod-uid": podUid,
    "node-name": nodeName,
  };
  return {
    type: "k8s",
    selectors: selectorsOf("k8s", facts),
    subject: ["k8s", cluster, namespace, serviceAccount, podUid ?? ""].join(":"),
    claims: claimsOf(facts),
  };
}

function podIdentityOf(claims: JsonObject): PodIdentity {
  const kubernetes = objectOf(claims, "kubernetes.io");
  const namespace = textOf(kubernetes, "namespace");
  const serviceAccount = textOf(objectOf(kubernetes, "serviceaccount"), "name");
  // The subject says the same; a token in which it does not was not made by a cluster.
  if (claims.sub !== `system:serviceaccount:${namespace}:${serviceAccount}`) throw refused("sub");
  const pod = optionalObjectOf(kubernetes, "pod");
  const node = optionalObjectOf(kubernetes, "node");
  return {
    namespace,
    serviceAccount,
    podName: pod === undefined ? undefined : textOf(pod, "name"),
    podUid: pod === undefined ? undefined : textOf(pod, "uid"),
    nodeName: node === undefined ? undefined : optionalTextOf(node, "name"),
  };
}
