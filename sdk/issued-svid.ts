/** An X.509-SVID of an answer of the server, checked before anybody relies on it. */
import { verifyX509Svid, type X509Svid } from "@trustwarden/core/agentid/x509-svid.ts";
import { isEqualBytes } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { InstanceKey } from "./instance-key.ts";
import type { TrustServer } from "./trust-server.ts";

/**
 * The SVID of a chain, for exactly this key and this id.
 *
 * @param expected.now - Unix seconds.
 * @throws TrustWardenError `server_untrusted` when it is for another key or id, and the codes of `verifyX509Svid`.
 */
export function verifyIssuedSvid(
  chain: readonly Uint8Array[],
  expected: {
    readonly id: string;
    readonly key: InstanceKey;
    readonly server: TrustServer;
    readonly now: number;
  },
): X509Svid {
  const { id, key, server, now } = expected;
  const svid = verifyX509Svid(chain, server.bundles, now, server.issuers);
  if (svid.id !== id) throw new TrustWardenError("server_untrusted", { reason: "other id" });
  if (!isEqualBytes(svid.leaf.spki, key.spki))
    throw new TrustWardenError("server_untrusted", { reason: "other key" });
  return svid;
}
