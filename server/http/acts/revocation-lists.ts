/** What revoked certificates and tokens look like to verifiers that hold no lease: lists in the standards' forms. */

import { encodeBase64url, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { formatPem } from "@trustwarden/core/pem.ts";
import type { Arrival } from "../arrival.ts";
import type { RawAnswer } from "../route.ts";
import type { Services } from "../services.ts";

/** A copy on the way would be older than the list says. */
const FRESH = "no-cache";
const CRL_TYPE = "application/pkix-crl";
/** RFC 8555 §9.1 has the chain's; lists have no type of their own in this form. */
const PEM_TYPE = "application/x-pem-file";

/** The list of the authority that issues now. @throws TrustWardenError `clock_rolled_back`, `authority_expired`. */
export async function readCrl({ lists }: Services): Promise<RawAnswer> {
  const [current = new Uint8Array()] = (await lists.crls()).lists;
  return { isRaw: true, contentType: CRL_TYPE, cacheControl: FRESH, content: current };
}

/** The root's list: revoked intermediates. */
export async function readRootCrl({ rootCrls }: Services): Promise<RawAnswer> {
  const [active = new Uint8Array()] = rootCrls();
  return { isRaw: true, contentType: CRL_TYPE, cacheControl: FRESH, content: active };
}

/**
 * Every list that a chain of this trust domain may need, the root's too: one file for a program that checks them all.
 * Who has it already, as an agent that looks whether it was stopped while it works, is told no more than that.
 *
 * @throws TrustWardenError `clock_rolled_back`, `authority_expired`.
 */
export async function readCrlPem(
  { lists, rootCrls }: Services,
  _: unknown,
  headers: Arrival["headers"],
): Promise<RawAnswer> {
  const all = [...(await lists.crls()).lists, ...rootCrls()];
  const content = all.map((der) => formatPem("X509 CRL", der)).join("");
  const etag = `"${encodeBase64url(sha256(encodeUtf8(content)))}"`;
  const isKnown = headers["if-none-match"] === etag;
  return {
    isRaw: true,
    contentType: PEM_TYPE,
    cacheControl: FRESH,
    headers: { etag },
    ...(isKnown ? { status: 304 as const, content: "" } : { content }),
  };
}

/**
 * One token status list.
 *
 * @throws TrustWardenError `not_found`, `clock_rolled_back`.
 */
export async function readStatusList(
  { lists }: Services,
  { page }: { readonly page: string },
): Promise<RawAnswer> {
  const content = await lists.statusList(Number(page));
  return { isRaw: true, contentType: "application/statuslist+jwt", cacheControl: FRESH, content };
}
