/**
 * The root's revocation list: which intermediates are void.
 *
 * Programs that check lists along the whole chain refuse everything without it, so it is there also while it is empty.
 * It is signed when an intermediate is issued or revoked and at each start, and holds as long as the intermediate does:
 * in between the root's key may be somewhere else.
 */
import { existsSync } from "node:fs";
import {
  issueCertificateRevocationList,
  parseCertificateRevocationList,
} from "@trustwarden/core/agentid/certificate-revocation-list.ts";
import type { RevokedCertificate } from "@trustwarden/core/agentid/certificate-revocation-list-der.ts";
import type { CaCertificate } from "@trustwarden/core/agentid/svid-profile.ts";
import type { Signer } from "@trustwarden/core/signer.ts";
import { readPrivateFile, writePrivateFile } from "../signer/private-file.ts";

/**
 * Signs the next list and keeps it; its number follows on the one that is kept.
 *
 * @param options.path - the file that keeps the list.
 * @param options.revoked - every revoked intermediate that has not expired.
 * @param options.until - Unix seconds; the end of the intermediate that issues now.
 * @returns DER.
 * @throws TrustWardenError `crl_malformed` for a damaged file, `crl_untrusted` or `authority_expired`.
 */
export function renewRootCrl(options: {
  readonly path: string;
  readonly root: CaCertificate;
  readonly rootSigner: Signer;
  readonly revoked: readonly RevokedCertificate[];
  readonly now: number;
  readonly until: number;
}): Uint8Array {
  const { path, root, rootSigner, revoked, now, until } = options;
  const last = existsSync(path) ? parseCertificateRevocationList(readPrivateFile(path)).number : 0;
  const der = issueCertificateRevocationList({
    ca: root,
    signer: rootSigner,
    number: last + 1,
    now,
    ttlSeconds: until - now,
    revoked,
  });
  writePrivateFile(path, der);
  return der;
}
