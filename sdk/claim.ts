/**
 * An agent that registers itself: it asks with its key, shows a code to a human, and comes for what that one signed.
 *
 * Until then it has a key and nothing else.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Composition } from "@trustwarden/core/agentid/composition.ts";
import { digestOfEnrolment, digestOfEvidence } from "@trustwarden/core/agentid/enrolment.ts";
import { parseAgentLabel } from "@trustwarden/core/agentid/names.ts";
import {
  type ClaimAnswer,
  type ClaimWish,
  type CollectedClaim,
  claimAnswer,
  collectedClaim,
} from "@trustwarden/core/api/claims.ts";
import { parseEnvelope, parseUnverifiedPayload } from "@trustwarden/core/dsse.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { isSubset, parseScope, type Scope } from "@trustwarden/core/scope.ts";
import { parseTtl } from "@trustwarden/core/ttl.ts";
import { callWithWork, proveKeys } from "./enrol.ts";
import type { InstanceKey } from "./instance-key.ts";
import type { PinnedServer } from "./place.ts";
import { nowSeconds, type Runtime } from "./runtime.ts";
import type { TrustServer } from "./trust-server.ts";

/** A human needs longer than this. */
const POLL_MS = 2_000;
/** What an owner gave is kept for ten minutes after the code's end at the latest. */
const KEPT_SECONDS = 600;
/** What passes while a human takes minutes. */
const PASSING: readonly string[] = ["claim_waiting", "server_unreachable", "overloaded", "store_unavailable"];
const DEFAULT_TTL = "8h";

/** What a human is to see. */
export interface ClaimCode {
  /** Such as `7K2M-Q9TR-0XWF-3BHN`: for `warden agent claim`, or *Agents* in the console. */
  readonly code: string;
  /** Unix seconds. */
  readonly expiresAt: number;
}

/** What an agent asks to be, and of whom. */
export interface RegisterOptions extends PinnedServer {
  readonly name: string;
  /** Segments joined by `/`; none unless given. */
  readonly path?: string;
  readonly scope: readonly string[];
  /** Lifetime of the instance, such as `1h`; eight hours unless given. */
  readonly ttl?: string;
  /** The only owner (`own_…`) who may claim it; whoever has the code unless given. */
  readonly owner?: string;
  /** Called once; shows the code to who is to answer for the agent. */
  readonly onCode: (code: ClaimCode) => void;
  /** Ends the waiting. */
  readonly signal?: AbortSignal;
  /** SHA-256 digests (base64url) of what the agent is made of; bound to the instance for its life. */
  readonly composition?: Composition;
  readonly runtime?: Runtime;
}

type Wished = Pick<RegisterOptions, "name" | "path" | "scope" | "ttl" | "owner">;

/** What an owner gave. */
export interface Claimed {
  readonly envelope: string;
  readonly expected: { readonly name: string; readonly scope: Scope };
}

/** @throws TrustWardenError as `AgentIdentity.register`. */
export async function waitToBeClaimed({
  server,
  key,
  wanted,
}: {
  readonly server: TrustServer;
  readonly key: InstanceKey;
  readonly wanted: RegisterOptions;
}): Promise<Claimed> {
  const wish = wishOf(wanted);
  const enrolmentSha256 = digestOfWish(wish);
  const asked = await callWithWork({
    server,
    target: "/v1/claims",
    schema: claimAnswer,
    prove: (workBits) => proveKeys({ server, key, enrolmentSha256, rest: { wish: { ...wish } }, workBits }),
  });
  wanted.onCode({ code: asked.code, expiresAt: asked.expires_at });
  const claimed = await collect(server, key, { asked, signal: wanted.signal });
  return { envelope: claimed.ticket, expected: requireAsked(claimed, { wish, key }) };
}

/** A wish as it is sent. @throws TrustWardenError `name_malformed`, `scope_malformed`, `ttl_malformed`. */
export function wishOf({ name, path = "", scope, ttl = DEFAULT_TTL, owner }: Wished): ClaimWish {
  const label = parseAgentLabel({ path, name });
  return { ...label, scope: [...parseScope([...scope])], ttl_seconds: parseTtl(ttl), owner: owner ?? null };
}

/** base64url SHA-256 of what a proof of possession binds itself to. */
export function digestOfWish(wish: ClaimWish): string {
  return digestOfEvidence({ ...wish });
}

/** Asks until there is an answer; the server says when it is too late. */
async function collect(
  server: TrustServer,
  key: InstanceKey,
  { asked, signal }: { readonly asked: ClaimAnswer; readonly signal: AbortSignal | undefined },
): Promise<CollectedClaim> {
  const { claim_id } = asked;
  const enrolmentSha256 = digestOfEnrolment(claim_id);
  for (;;) {
    await sleep(POLL_MS, undefined, signal === undefined ? {} : { signal });
    try {
      const body = await proveKeys({ server, key, enrolmentSha256, rest: { claim_id } });
      return await server.call({
        method: "POST",
        target: "/v1/claims/collection",
        body,
        schema: collectedClaim,
      });
    } catch (error) {
      const isOver = nowSeconds(server.runtime) > asked.expires_at + KEPT_SECONDS;
      if (isOver || !(error instanceof TrustWardenError) || !PASSING.includes(error.code)) throw error;
    }
  }
}

/**
 * The ticket is for this agent and this key. Whether an owner signed it, the server proves when it is used.
 *
 * @throws TrustWardenError `ticket_mismatch`.
 */
export function requireAsked(
  { ticket, owner_id }: Pick<CollectedClaim, "ticket" | "owner_id">,
  { wish, key }: { readonly wish: ClaimWish; readonly key: Pick<InstanceKey, "thumbprint"> },
): Claimed["expected"] {
  const { name, path, owner, scope, holder_thumbprint } = parseUnverifiedPayload(parseEnvelope(ticket));
  const given = parseScope(Array.isArray(scope) ? scope.map(String) : []);
  const isOurs = name === wish.name && path === wish.path && holder_thumbprint === key.thumbprint;
  const isOwners = owner === owner_id && (wish.owner === null || wish.owner === owner);
  if (!isOurs || !isOwners || !isSubset({ parent: parseScope(wish.scope), child: given }))
    throw new TrustWardenError("ticket_mismatch", { field: isOwners ? "holder" : "owner" });
  return { name: wish.name, scope: given };
}
