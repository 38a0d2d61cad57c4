/**
 * Begins and ends a relationship with another trust domain, and takes its next bundle.
 *
 * Each change that alters whom we believe takes an epoch, so that every verifier and node fetches the bundles again.
 * The event carries the X.509 authorities: with them the ledger can be checked offline, foreign intents included.
 */
import { requireNotOlder, requireOwnClaims } from "@trustwarden/core/agentid/federation.ts";
import type { TrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import { parseTrustBundle, type TrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { encodeBase64, encodeBase64url, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { formatCanonicalJson, type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import type { FederationChange, FederationCommand, FederationState } from "../federation-ports.ts";
import { listFederations } from "../federation-rows.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import { type CommandResult, secondsOf } from "./deps.ts";
import { advanceEpoch } from "./epoch.ts";

/** Each relationship is polled, and every bundle stands in one map. */
const MAX_FEDERATIONS = 255;

const INSERT = `
  INSERT INTO federations (trust_domain, profile, url, endpoint_spiffe_id, web_ca, created_at)
  VALUES (?, ?, ?, ?, ?, ?)`;
const SET_BUNDLE = "UPDATE federations SET bundle = ?, changed_at = ? WHERE trust_domain = ?";
const REMOVE = "DELETE FROM federations WHERE trust_domain = ?";

/** @throws TrustWardenError as `FederationCommands.changeFederation`. */
export function changeFederation(
  database: SqliteDatabase,
  command: FederationCommand,
): CommandResult<FederationState | null> {
  const { trustDomain } = command;
  const now = secondsOf(command.context);
  const before = listFederations(database);
  const known = before.find((federation) => federation.trustDomain === trustDomain);
  if (command.change === "create") create(database, command, { before, known, now });
  else if (known === undefined) throw new TrustWardenError("not_found", { trustDomain });
  if (command.change === "removal") database.run(REMOVE, trustDomain);
  const bundle = "bundle" in command && command.bundle !== null ? command.bundle : null;
  const taken = bundle === null ? null : takeBundle(database, { trustDomain, bundle, before, known, now });
  if (taken !== null || command.change === "removal") {
    advanceEpoch(database, { kind: "federation", id: trustDomain });
  }
  return {
    value: listFederations(database).find((federation) => federation.trustDomain === trustDomain) ?? null,
    draft: {
      kind: "federation",
      allow: true,
      reasons: [],
      subject: `spiffe://${trustDomain}`,
      chain: [],
      details: {
        change: command.change,
        trust_domain: trustDomain,
        ...endpointOf(command),
        ...bundleOf(taken),
      },
    },
  };
}

/** What is committed, and when it is. */
interface Standing {
  readonly before: readonly FederationState[];
  readonly known: FederationState | undefined;
  readonly now: number;
}

interface Taken {
  readonly bundle: TrustBundle;
  readonly document: string;
}

function create(
  database: SqliteDatabase,
  { trustDomain, endpoint }: Extract<FederationChange, { readonly change: "create" }>,
  { before, known, now }: Standing,
): void {
  if (known !== undefined) throw new TrustWardenError("federation_exists", { trustDomain });
  if (before.length >= MAX_FEDERATIONS)
    throw new TrustWardenError("quota_exceeded", { limit: MAX_FEDERATIONS });
  database.run(
    INSERT,
    trustDomain,
    endpoint?.profile ?? null,
    endpoint?.url ?? null,
    endpoint?.profile === "https_spiffe" ? endpoint.spiffeId : null,
    endpoint?.profile === "https_web" ? endpoint.webCa : null,
    now,
  );
}

function takeBundle(
  database: SqliteDatabase,
  asked: Standing & { readonly trustDomain: TrustDomain; readonly bundle: string },
): Taken {
  const { trustDomain, before, known, now } = asked;
  const document = formatCanonicalJson(parseJsonObject(asked.bundle));
  const bundle = parseTrustBundle(document, trustDomain);
  requireOwnClaims(bundle, before.flatMap(bundlesOf));
  requireNotOlder(bundle, known === undefined ? undefined : bundlesOf(known)[0]);
  database.run(SET_BUNDLE, document, now, trustDomain);
  return { bundle, document };
}

function bundlesOf({ trustDomain, bundle }: FederationState): readonly TrustBundle[] {
  return bundle === null ? [] : [parseTrustBundle(bundle, trustDomain)];
}

function endpointOf(command: FederationChange): JsonObject {
  if (command.change !== "create" || command.endpoint === null) return {};
  const { profile, url } = command.endpoint;
  return { profile, url, endpoint_spiffe_id: profile === "https_spiffe" ? command.endpoint.spiffeId : null };
}

function bundleOf(taken: Taken | null): JsonObject {
  if (taken === null) return {};
  return {
    sequence: taken.bundle.sequence,
    bundle_sha256: encodeBase64url(sha256(encodeUtf8(taken.document))),
    x509_authorities: taken.bundle.x509Authorities.map(({ der }) => encodeBase64(der)),
  };
}
