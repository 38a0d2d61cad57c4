/**
 * Azure: an access token of a managed identity proves which identity, and which machine or app it is attached to.
 *
 * The tenant comes from the configuration and must be the token's. Users, and applications with a secret, can have
 * tokens for the same audience: only those with `xms_mirid`, the resource of a managed identity, are taken, and only
 * where the token acts for that identity itself.
 *
 * @see Microsoft Entra, "Access token claims reference"
 */
import type { JsonObject } from "@trustwarden/core/json.ts";
import { claimsOf, type Facts, optionalTextOf, selectorsOf, textOf } from "./claims.ts";
import { parseCompactToken } from "./compact-token.ts";
import type { AzureTenantConfig } from "./config.ts";
import type { Attest } from "./ports.ts";
import { refused, untrustedIssuer } from "./refusal.ts";
import { createTokenRules, type OpenFetch, singleUseOf } from "./token-source.ts";
import { verifyToken } from "./verify-token.ts";

/** `/subscriptions/<id>/resourcegroups/<name>/providers/<provider>/<type>/<name>`; Entra varies the case of the words. */
const RESOURCE =
  /^\/subscriptions\/([0-9a-f-]{36})\/resource[gG]roups\/[^/]+\/providers\/[^/]+(?:\/[^/]+\/[^/]+)+$/;

/** Verifies tokens of the configured tenants. */
export function createAzureTokenAttestor(
  tenants: readonly AzureTenantConfig[],
  openFetch: OpenFetch,
): Attest<"azure_token"> {
  const byIssuer = new Map(
    tenants.map((tenant) => {
      const issuer = tenant.issuer ?? `https://sts.windows.net/${tenant.tenantId}/`;
      const keys = tenant.keys ?? {
        jwks: {
          url: `https://login.microsoftonline.com/${tenant.tenantId}/discovery/keys`,
          allowPrivate: false,
        },
      };
      return [
        issuer,
        { tenant, rulesFor: createTokenRules({ ...tenant, issuer, keys }, openFetch) },
      ] as const;
    }),
  );
  return async ({ token }, context) => {
    const { iss } = parseCompactToken(token).unverifiedClaims;
    const known = typeof iss === "string" ? byIssuer.get(iss) : undefined;
    if (known === undefined) throw untrustedIssuer("tenant");
    const verified = await verifyToken(token, known.rulesFor(context), context.nowSeconds);
    const facts = factsOf(verified.claims, known.tenant);
    return {
      type: "azure_token",
      selectors: selectorsOf("azure", facts),
      subject: ["azure", facts.tenant_id, facts.principal_id].join(":"),
      claims: claimsOf(facts),
      expiresAt: verified.expiresAt,
      singleUse: singleUseOf(verified, known.tenant),
    };
  };
}

function factsOf(claims: JsonObject, { tenantId }: AzureTenantConfig): Facts {
  if (textOf(claims, "tid") !== tenantId) throw refused("tid");
  // Entra marks tokens of applications, as opposed to those that act for a signed-in user.
  const idType = optionalTextOf(claims, "idtyp");
  if (idType !== undefined && idType !== "app") throw refused("idtyp");
  const principal = textOf(claims, "oid");
  if (textOf(claims, "sub") !== principal) throw refused("sub");
  const resource = textOf(claims, "xms_mirid");
  const [, subscription] = RESOURCE.exec(resource) ?? [];
  if (subscription === undefined) throw refused("xms_mirid");
  return {
    tenant_id: tenantId,
    principal_id: principal,
    resource_id: resource,
    subscription_id: subscription,
    app_id: optionalTextOf(claims, "appid") ?? optionalTextOf(claims, "azp"),
  };
}
