/**
 * Whom this browser believes: the log's key, the witness policy and the roots, as they were when it first saw them, or as
 * a person set them. A server that shows others later is not believed until a person says so.
 */
import { discovery } from "@trustwarden/core/api/ledger.ts";
import { z } from "zod";
import { callApi, fetchText, isApiError } from "../api/client.ts";

const KEY = "trustwarden-anchors";

const anchors = z.strictObject({
  trustDomain: z.string(),
  vkey: z.string(),
  /** C2SP tlog-policy; null where the server asks no witness. */
  policy: z.string().nullable(),
  /** SPIFFE trust bundle. */
  bundle: z.string(),
  /** Of the roots, as `authorities_sha256` names them in the profile of an owner. */
  authoritiesSha256: z.string(),
  pinnedAt: z.string(),
});
export type Anchors = z.infer<typeof anchors>;

/** What is pinned, and whether the server shows the same today. */
export interface AnchorState {
  readonly pinned: Anchors;
  readonly offered: Anchors;
  readonly isSame: boolean;
}

/** Reads the pin, and makes one of what the server shows where there is none. @throws ApiError. */
export async function readAnchors(): Promise<AnchorState> {
  const offered = await fetchAnchors();
  const stored = anchors.safeParse(JSON.parse(localStorage.getItem(KEY) ?? "null"));
  const pinned = stored.success ? stored.data : pin(offered);
  const isSame =
    pinned.vkey === offered.vkey &&
    pinned.policy === offered.policy &&
    pinned.authoritiesSha256 === offered.authoritiesSha256;
  return { pinned, offered, isSame };
}

/** A person compared them with what is known from elsewhere. */
export function pin(offered: Anchors): Anchors {
  localStorage.setItem(KEY, JSON.stringify(offered));
  return offered;
}

async function fetchAnchors(): Promise<Anchors> {
  const [server, bundle, policy] = await Promise.all([
    callApi({ path: "/.well-known/trustwarden", answer: discovery }),
    fetchText("/v1/bundle"),
    fetchPolicy(),
  ]);
  return {
    trustDomain: server.trust_domain,
    vkey: server.log_vkey,
    policy,
    bundle,
    authoritiesSha256: server.authorities_sha256,
    pinnedAt: new Date().toISOString(),
  };
}

/** A server without witnesses has no policy to show. */
async function fetchPolicy(): Promise<string | null> {
  try {
    return await fetchText("/ledger/witness-policy");
  } catch (error) {
    if (isApiError(error) && error.code === "not_found") return null;
    throw error;
  }
}
