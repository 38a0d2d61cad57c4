/** WIT-SVIDs that callers show us: of this trust domain, of one instance, and only where the setting says so. */
import { instanceIdOf, trustDomainOf } from "@trustwarden/core/agentid/spiffe-id.ts";
import { verifyWitSvid, type WitSvid } from "@trustwarden/core/agentid/wit-svid.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Services } from "../http/services.ts";

/** A WIT-SVID that we issued to one instance. */
export type OwnWitSvid = WitSvid & { readonly jti: string };

/**
 * Proves a WIT-SVID of ours. Its bearer is nobody until possession of its key is proven.
 *
 * @param now - Unix seconds.
 * @throws TrustWardenError `wit_disabled`, `principal_refused` for another trust domain, `svid_bearer_refused` for a
 *   class, and the codes of `verifyWitSvid`.
 */
export function verifyOwnWit(
  { witSvid, federation, trustDomain }: Pick<Services, "witSvid" | "federation" | "trustDomain">,
  text: string,
  now: number,
): OwnWitSvid {
  if (!witSvid) throw new TrustWardenError("wit_disabled");
  const svid = verifyWitSvid(text, { bundles: federation.bundles, now });
  // Nothing here would show that another trust domain issued it.
  if (trustDomainOf(svid.id) !== trustDomain) {
    throw new TrustWardenError("principal_refused", { reason: "a WIT-SVID of another trust domain" });
  }
  if (instanceIdOf(svid.id) === undefined) throw new TrustWardenError("svid_bearer_refused");
  const { jti } = svid;
  if (jti === undefined) throw new TrustWardenError("svid_malformed", { reason: "jti" });
  return { ...svid, jti };
}
