/**
 * Token Status Lists: which JWT-SVIDs are void, as one bit each, for relying parties outside that look a token up by the
 * place which it names in its `status` claim.
 *
 * The place is drawn at random, so it tells neither when nor how many tokens were issued; the list tells how many of those
 * in use are void and nothing more. Compression is the caller's, since core has no library for it.
 *
 * @see draft-ietf-oauth-status-list-21 §4 to §8
 */
import { encodeBase64url } from "../bytes.ts";
import type { JsonObject } from "../json.ts";
import type { Signer } from "../signer.ts";
import { issueCompactJws } from "./jwt-svid-jws.ts";

/** Places of one list. Eight kilobytes before compression, and enough tokens in a list that none stands out. */
export const STATUS_LIST_SIZE = 65_536;

/** Where a token's status is found. */
export interface StatusReference {
  /** Of the list; also the list's `sub`. */
  readonly uri: string;
  /** Place in the list, from 0. */
  readonly index: number;
}

/** The `status` claim of a token. @see §6.1, §6.2 */
export function formatStatusClaim({ uri, index }: StatusReference): JsonObject {
  return { status_list: { idx: index, uri } };
}

/** One bit a place, the lowest bit of each byte first; 1 is void. @see §4.1 */
export function encodeStatusBits(invalid: readonly number[]): Uint8Array {
  const bits = new Uint8Array(STATUS_LIST_SIZE / 8);
  for (const index of invalid) {
    if (!Number.isInteger(index) || index < 0 || index >= STATUS_LIST_SIZE) throw new Error("no such place");
    bits[index >> 3] = (bits[index >> 3] ?? 0) | (1 << (index & 7));
  }
  return bits;
}

/**
 * A signed list.
 *
 * @param options.lst - the bits of `encodeStatusBits`, compressed with DEFLATE in the ZLIB format.
 * @param options.now - Unix seconds.
 * @param options.ttlSeconds - how long the list may be believed at all.
 * @param options.maxAgeSeconds - after which a reader should fetch it again.
 * @returns a JWT of type `statuslist+jwt`; no verifier of SVIDs takes it for one.
 * @see §5.1
 */
export function issueStatusListToken(options: {
  readonly uri: string;
  readonly lst: Uint8Array;
  readonly kid: string;
  readonly signer: Signer;
  readonly now: number;
  readonly ttlSeconds: number;
  readonly maxAgeSeconds: number;
}): string {
  const { uri, lst, kid, signer, now, ttlSeconds, maxAgeSeconds } = options;
  return issueCompactJws({
    header: { alg: "ES256", kid, typ: "statuslist+jwt" },
    payload: {
      sub: uri,
      iat: now,
      exp: now + ttlSeconds,
      ttl: maxAgeSeconds,
      status_list: { bits: 1, lst: encodeBase64url(lst) },
    },
    signer,
  });
}
