/**
 * The root's revocation list: which intermediates are void.
 *
 * Programs that check lists along the whole chain refuse everything without it, so it is there also while it is empty.
 * It is signed when an intermediate is issued or revoked, and holds as long as the intermediate does: in between the
 * root's key may be somewhere else.
 */
import { existsSync } from "node:fs";
import {
  type AuthoritySlot,
  type AuthorityState,
  certificateOf,
} from "@trustwarden/core/agentid/authority-slots.ts";
import {
  draftCertificateRevocationList,
  parseCertificateRevocationList,
} from "@trustwarden/core/agentid/certificate-revocation-list.ts";
import type { RevokedCertificate } from "@trustwarden/core/agentid/certificate-revocation-list-der.ts";
import type { TrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import type { CaCertificate } from "@trustwarden/core/agentid/svid-profile.ts";
import type { RootSigner } from "@trustwarden/core/signer.ts";
import { readPrivateFile, writePrivateFile } from "../signer/private-file.ts";

/** Every revoked intermediate of a root that has not expired. */
export function revokedBelow(
  { slots }: AuthorityState,
  below: { readonly root: AuthoritySlot; readonly trustDomain: TrustDomain; readonly now: number },
): readonly RevokedCertificate[] {
  const { root, trustDomain, now } = below;
  return slots
    .filter(
      ({ issuerId, state, expiresAt }) =>
        issuerId === root.id && state === "revoked" && now < (expiresAt ?? 0),
    )
    .map((slot) => ({
      serialHex: certificateOf(slot, trustDomain).serialHex,
      revokedAt: slot.supersededAt ?? now,
      reason: "ca_compromise",
    }));
}

/**
 * The list that is kept, or the next one when that one says something else or ends too early.
 *
 * @param options.path - the file that keeps the list.
 * @param options.revoked - every revoked intermediate that has not expired.
 * @param options.until - Unix seconds; the end of the intermediate that issues now.
 * @returns DER.
 * @throws TrustWardenError `crl_malformed` for a damaged file, `crl_untrusted` or `authority_expired`; and what the
 *   root's key is refused with.
 */
export async function renewRootCrl(options: {
  readonly path: string;
  readonly root: CaCertificate;
  /** Opened only when there is something to sign. */
  readonly rootSigner: () => Promise<RootSigner>;
  readonly revoked: readonly RevokedCertificate[];
  readonly now: number;
  readonly until: number;
}): Promise<Uint8Array> {
  const { path, root, revoked, now } = options;
  const until = Math.min(options.until, root.notAfter);
  const last = existsSync(path) ? parseCertificateRevocationList(readPrivateFile(path)) : undefined;
  if (last !== undefined && last.nextUpdate >= until && isSame(last.revoked, revoked)) return last.der;
  const number = (last?.number ?? 0) + 1;
  const { tbs, complete } = draftCertificateRevocationList({
    ca: root,
    number,
    now,
    ttlSeconds: until - now,
    revoked,
  });
  const signer = await options.rootSigner();
  const der = complete(await signer.sign(tbs));
  writePrivateFile(path, der);
  return der;
}

function isSame(left: readonly RevokedCertificate[], right: readonly RevokedCertificate[]): boolean {
  const serials = new Set(left.map(({ serialHex }) => serialHex));
  return serials.size === right.length && right.every(({ serialHex }) => serials.has(serialHex));
}
