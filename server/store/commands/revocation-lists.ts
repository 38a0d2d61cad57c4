/**
 * The certificate revocation lists of the online authorities: made from the state in the writer's transaction, so that a
 * list asked for after a revocation was acknowledged has it.
 *
 * Listed is every X.509-SVID in `svids` whose instance was revoked, until an hour after its end: a certificate leaves the
 * lists only once a list that was issued beyond its validity could have named it (RFC 5280 §5). Each authority has a list
 * of its own as long as an SVID under it may be in use. Nothing here goes into the ledger; the revocations are there.
 */
import { issueCertificateRevocationList } from "@trustwarden/core/agentid/certificate-revocation-list.ts";
import type { RevokedCertificate } from "@trustwarden/core/agentid/certificate-revocation-list-der.ts";
import { type CaCertificate, parseCaCertificate } from "@trustwarden/core/agentid/svid-profile.ts";
import { encodeHex } from "@trustwarden/core/bytes.ts";
import type { Signer } from "@trustwarden/core/signer.ts";
import type { IssuedCrls } from "../ports.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import type { CommandDeps } from "./deps.ts";
import { readEpoch } from "./epoch.ts";
import { SVID_TTL_SECONDS } from "./svid.ts";

/** How old a reader's copy may become before it must refuse everything: no more than a lifetime of an SVID. */
const CRL_TTL_SECONDS = 3600;
/** An entry stays this long behind the end of its certificate; `claims.ts` keeps the rows as long. */
const KEPT_SECONDS = 3600;

/** Starts from the few latest revocations, so that its cost does not grow with what was ever issued or revoked. */
const LIST_REVOKED = `
  SELECT svids.serial, revocations.revoked_at FROM revocations
  JOIN instances ON instances.revoked_epoch = revocations.epoch
  JOIN svids ON svids.instance_id = instances.instance_id
  WHERE revocations.revoked_at >= ? AND svids.not_after >= ? AND svids.issuer = ?
  ORDER BY svids.serial`;
const LIST_ISSUERS = `
  SELECT der FROM issuers WHERE EXISTS
    (SELECT 1 FROM svids WHERE svids.issuer = issuers.serial AND svids.not_after >= ?) ORDER BY serial`;
const NEXT_NUMBER = `
  INSERT INTO meta (name, value) VALUES ('crl_number', '1')
  ON CONFLICT (name) DO UPDATE SET value = CAST(CAST(value AS INTEGER) + 1 AS TEXT) RETURNING value`;

export interface IssueCrlsCommand {
  /** Unix milliseconds, read by the caller at the edge. */
  readonly nowMs: number;
}

/**
 * A fresh list of the authority that issues now, and of each one before it under which SVIDs are still in use and whose
 * key is still here. Where the key is gone the last list runs out, and its readers refuse.
 *
 * @throws TrustWardenError `authority_expired`.
 */
export function issueCrls(
  database: SqliteDatabase,
  { nowMs }: IssueCrlsCommand,
  deps: CommandDeps,
): IssuedCrls {
  const now = Math.floor(nowMs / 1000);
  const number = Number(database.get(NEXT_NUMBER)?.text("value"));
  const current = deps.intermediate;
  const others = database
    .all(LIST_ISSUERS, now - KEPT_SECONDS)
    .map((row) => parseCaCertificate(row.bytes("der"), deps.trustDomain))
    .filter((issuer) => issuer.serialHex !== current.serialHex && issuer.notAfter > now);
  const issuers = [current, ...others];
  const ttlSeconds = Math.min(CRL_TTL_SECONDS, ...issuers.map(({ notAfter }) => notAfter - now));
  const lists = issuers.flatMap((ca) => {
    const signer = signerOf(deps, ca);
    if (signer === undefined) return [];
    const revoked = listRevoked(database, ca, now);
    return [issueCertificateRevocationList({ ca, signer, number, now, ttlSeconds, revoked })];
  });
  return { epoch: readEpoch(database), issuedAt: now, ttlSeconds, lists };
}

function listRevoked(
  database: SqliteDatabase,
  ca: CaCertificate,
  now: number,
): readonly RevokedCertificate[] {
  // The last SVID of a revoked instance was issued before its revocation and ended at most its lifetime after it.
  const since = now - SVID_TTL_SECONDS - KEPT_SECONDS;
  return database.all(LIST_REVOKED, since, now - KEPT_SECONDS, ca.serialHex).map((row) => ({
    serialHex: row.text("serial"),
    revokedAt: row.integer("revoked_at"),
    reason: "privilege_withdrawn",
  }));
}

/** A superseded or tainted authority signs its lists for as long as its key is here. */
function signerOf(deps: CommandDeps, { ski }: CaCertificate): Signer | undefined {
  return deps.authority.signerOfIntermediate(encodeHex(ski));
}
