/**
 * The route table: everything that this server answers, on which listener, to whom, as which action, and how it is
 * recorded. `register.ts` serves exactly these rows; `routes.test.ts` fails when anything else is served.
 */
import { admitPeople } from "../console/person-rows.ts";
import type { Route } from "./route.ts";
import { ACTIONS_ROUTES } from "./table/actions.ts";
import { APPROVALS_ROUTES } from "./table/approvals.ts";
import { AUTHORITY_ROUTES } from "./table/authority.ts";
import { AUTHZEN_ROUTES } from "./table/authzen.ts";
import { BACKUP_ROUTES } from "./table/backups.ts";
import { BUDGETS_ROUTES } from "./table/budgets.ts";
import { CLAIMS_ROUTES } from "./table/claims.ts";
import { CONFIRMATIONS_ROUTES } from "./table/confirmations.ts";
import { CONSOLE_ROUTES } from "./table/console.ts";
import { DATABASE_ROLES_ROUTES } from "./table/database-roles.ts";
import { ENTRIES_ROUTES } from "./table/entries.ts";
import { ENVOY_ROUTES } from "./table/envoy.ts";
import { FEDERATION_ROUTES } from "./table/federation.ts";
import { GATEWAY_ROUTES } from "./table/gateway.ts";
import { IDENTITY_ROUTES } from "./table/identity.ts";
import { IDENTITY_PROVIDER_ROUTES } from "./table/identity-providers.ts";
import { LEDGER_ROUTES } from "./table/ledger.ts";
import { MCP_ROUTES } from "./table/mcp.ts";
import { NODES_ROUTES } from "./table/nodes.ts";
import { OAUTH_ROUTES } from "./table/oauth.ts";
import { OPA_ROUTES } from "./table/opa.ts";
import { OPERATION_ROUTES } from "./table/operation.ts";
import { ORGANIZATION_ROUTES } from "./table/organizations.ts";
import { PAYLOADS_ROUTES } from "./table/payloads.ts";
import { PEOPLE_ROUTES } from "./table/people.ts";
import { PEOPLE_LIVES_ROUTES } from "./table/people-lives.ts";
import { POLICY_ROUTES } from "./table/policy.ts";
import { PUBLIC_ROUTES } from "./table/public.ts";
import { REGISTRY_ROUTES } from "./table/registry.ts";
import { RESTORE_ROUTES } from "./table/restore.ts";
import { SECRETS_ROUTES } from "./table/secrets.ts";
import { SHARD_ROUTES } from "./table/shards.ts";
import { SSF_ROUTES } from "./table/ssf.ts";
import { STOPPING_ROUTES } from "./table/stopping.ts";
import { TRANSFERS_ROUTES } from "./table/transfers.ts";
import { WATCHING_ROUTES } from "./table/watching.ts";

/** Every route of this server. */
export const ROUTES: readonly Route[] = admitPeople([
  ...PUBLIC_ROUTES,
  ...IDENTITY_ROUTES,
  ...ACTIONS_ROUTES,
  ...APPROVALS_ROUTES,
  ...STOPPING_ROUTES,
  ...REGISTRY_ROUTES,
  ...CLAIMS_ROUTES,
  ...TRANSFERS_ROUTES,
  ...WATCHING_ROUTES,
  ...FEDERATION_ROUTES,
  ...GATEWAY_ROUTES,
  ...MCP_ROUTES,
  ...ENTRIES_ROUTES,
  ...BUDGETS_ROUTES,
  ...NODES_ROUTES,
  ...LEDGER_ROUTES,
  ...SHARD_ROUTES,
  ...AUTHORITY_ROUTES,
  ...AUTHZEN_ROUTES,
  ...OAUTH_ROUTES,
  ...SECRETS_ROUTES,
  ...DATABASE_ROLES_ROUTES,
  ...PAYLOADS_ROUTES,
  ...POLICY_ROUTES,
  ...OPA_ROUTES,
  ...ENVOY_ROUTES,
  ...OPERATION_ROUTES,
  ...PEOPLE_ROUTES,
  ...IDENTITY_PROVIDER_ROUTES,
  ...PEOPLE_LIVES_ROUTES,
  ...ORGANIZATION_ROUTES,
  ...CONFIRMATIONS_ROUTES,
  ...RESTORE_ROUTES,
  ...BACKUP_ROUTES,
  ...SSF_ROUTES,
  ...CONSOLE_ROUTES,
]);

/** The closed public list: what needs no identity. A row that is public and not here is a bug. */
export const PUBLIC_PATHS: readonly string[] = [
  "/",
  "/app",
  "/app/*",
  "/healthz",
  "/v1/bundle",
  "/v1/bundle.pem",
  "/v1/jwks",
  "/v1/crl",
  "/v1/crl.pem",
  "/v1/crl/root",
  "/v1/bundles",
  "/.well-known/openid-configuration",
  "/v1/status-list/:page",
  "/.well-known/oauth-authorization-server/oauth",
  "/oauth/client",
  "/oauth/jwks",
  "/.well-known/trustwarden",
  "/.well-known/authzen-configuration",
  "/v1/successions",
  "/v1/nonce",
  "/v1/passkeys/options/:purpose",
  "/v1/identity-providers",
  "/v1/identity-providers/:name/options",
  "/ledger/checkpoint",
  "/ledger/witnessed-checkpoint",
  "/ledger/witness-policy",
  "/ledger/tile/*",
  "/metrics",
  "/ledger/shards",
  "/ledger/latest-checkpoint",
  "/ledger/shard/:shard/checkpoint",
  "/ledger/shard/:shard/witnessed-checkpoint",
  "/ledger/shard/:shard/tile/*",
  "/.well-known/ssf-configuration",
  "/ssf/jwks",
];
