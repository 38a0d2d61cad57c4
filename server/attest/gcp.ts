/**
 * Google Cloud: an instance identity token proves which machine of which project asks.
 *
 * Only the full format, whose `google.compute_engine` claim comes from the metadata server alone: a token without it may
 * be made anywhere by whoever can act as the service account.
 *
 * @see Compute Engine, "Verify VM identity"
 */
import type { JsonObject } from "@trustwarden/core/json.ts";
import {
  claimsOf,
  type Facts,
  integerTextOf,
  objectOf,
  optionalTextOf,
  selectorsOf,
  textOf,
} from "./claims.ts";
import type { GcpConfig } from "./config.ts";
import type { Attest } from "./ports.ts";
import { refused } from "./refusal.ts";
import { createTokenRules, type OpenFetch, singleUseOf } from "./token-source.ts";
import { verifyToken } from "./verify-token.ts";

const NUMERIC_ID = /^[1-9][0-9]{0,39}$/;

/** Verifies tokens of Google's issuer. */
export function createGcpAttestor(config: GcpConfig, openFetch: OpenFetch): Attest<"gcp"> {
  const rulesFor = createTokenRules(config, openFetch);
  return async ({ token }, context) => {
    const verified = await verifyToken(token, rulesFor(context), context.nowSeconds);
    const facts = factsOf(verified.claims);
    return {
      type: "gcp",
      selectors: selectorsOf("gcp", facts),
      subject: ["gcp", facts.project_number, facts.instance_id].join(":"),
      claims: claimsOf(facts),
      expiresAt: verified.expiresAt,
      singleUse: singleUseOf(verified, config),
    };
  };
}

function factsOf(claims: JsonObject): Facts {
  const machine = objectOf(objectOf(claims, "google"), "compute_engine");
  // An address that Google has not verified is one that somebody typed.
  const email = claims.email_verified === true ? optionalTextOf(claims, "email") : undefined;
  return {
    project_id: textOf(machine, "project_id"),
    project_number: integerTextOf(machine, "project_number"),
    zone: textOf(machine, "zone"),
    instance_id: idOf(machine, "instance_id"),
    instance_name: textOf(machine, "instance_name"),
    service_account_id: idOf(claims, "sub"),
    service_account: email,
  };
}

function idOf(claims: JsonObject, name: string): string {
  const id = textOf(claims, name);
  if (!NUMERIC_ID.test(id)) throw refused(`${name} is not an id`);
  return id;
}
