/**
 * Requests that an owner's key signs: one header, one signature, over exactly this request, once.
 *
 * There are no owner sessions and no cookies, so nothing ambient can be stolen or ridden on. The set of used requests is in
 * memory: after a restart, requests signed before it are refused, and of owners whose clock runs ahead those of up to the
 * time that was seen (`Floors`).
 */
import { formatOwnerKeyid } from "@trustwarden/core/agentid/enrolment.ts";
import { encodeBase64url, parseBase64url, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { parseEnvelope, parseUnverifiedPayload, verifyEnvelope } from "@trustwarden/core/dsse.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { BoundRequest } from "@trustwarden/core/intent.ts";
import type { Json, JsonObject } from "@trustwarden/core/json.ts";
import type { OwnerPrincipal } from "@trustwarden/core/principal.ts";
import { fileKeyOf } from "../console/owner-signature.ts";
import { OWN_USES, type Uses } from "../shared/uses.ts";
import type { StoreReads } from "../store/ports.ts";

const MAX_REQUEST_SECONDS = 60;
const CLOCK_SKEW_SECONDS = 30;
const JTI = /^[A-Za-z0-9_-]{8,64}$/;
const MEMBERS = ["v", "jti", "aud", "owner", "method", "target", "body_sha256", "iat", "exp"];

/** What a signed request is checked against. */
export interface OwnerRequestCheck {
  readonly request: BoundRequest;
  /** SPIFFE ID of this server. */
  readonly audience: string;
  /** Unix seconds. */
  readonly now: number;
}

/** What a restart must not forget. */
export interface Floors {
  /** Whether a request of an owner may have been used before this start. @param iat - Unix seconds. */
  isBelow(ownerId: string, iat: number): boolean;
  /** Notes a request that is ahead of the clock; durable when this returns. @param now - Unix seconds. */
  raise(ownerId: string, times: { readonly iat: number; readonly now: number }): void;
}

/** Owns the set of used requests; each stays until it has expired. */
export class OwnerRequests {
  readonly #reads: Pick<StoreReads, "findOwner">;
  readonly #startedAt: number;
  readonly #floors: Floors;
  readonly #uses: Uses;
  readonly #used = new Map<string, number>();

  /** @param options.startedAt - Unix seconds of the start of this process. */
  constructor(options: {
    readonly reads: Pick<StoreReads, "findOwner">;
    readonly startedAt: number;
    readonly floors: Floors;
    /** Where used requests are claimed beside this process; nowhere unless given. */
    readonly uses?: Uses;
  }) {
    this.#uses = options.uses ?? OWN_USES;
    this.#reads = options.reads;
    this.#floors = options.floors;
    this.#startedAt = options.startedAt;
  }

  /**
   * The owner who signed this very request, for the first time.
   *
   * @param header - base64url of the envelope's text.
   * @throws TrustWardenError `owner_request_invalid`, `owner_request_replayed`, `owner_unknown`, `identity_revoked`,
   *   `signature_invalid`, and the DSSE codes.
   */
  async verify(header: string, check: OwnerRequestCheck): Promise<OwnerPrincipal> {
    const envelope = parseEnvelope(parseUtf8(parseBase64url(header)));
    const ownerId = text(parseUnverifiedPayload(envelope), "owner");
    const owner = this.#reads.findOwner(ownerId);
    if (owner === undefined) throw new TrustWardenError("owner_unknown");
    const key = fileKeyOf(owner);
    const payload = verifyEnvelope(envelope, "owner-request", key);
    if (envelope.unverifiedKeyid !== formatOwnerKeyid(key)) refuse("keyid");
    requireThisRequest(payload, check);
    await this.#requireFirstUse(payload, check.now);
    if (owner.isRevoked) throw new TrustWardenError("identity_revoked", { owner_id: ownerId });
    return { kind: "owner", ownerId };
  }

  async #requireFirstUse(payload: JsonObject, now: number): Promise<void> {
    const iat = integer(payload, "iat");
    const exp = integer(payload, "exp");
    if (now >= exp + CLOCK_SKEW_SECONDS || iat > now + CLOCK_SKEW_SECONDS) refuse("time");
    if (exp - iat > MAX_REQUEST_SECONDS || exp <= iat) refuse("lifetime");
    const owner = text(payload, "owner");
    if (iat < this.#startedAt || this.#floors.isBelow(owner, iat))
      refuse("signed before this server started");
    const jti = `${owner} ${text(payload, "jti")}`;
    this.#forgetBefore(now);
    if (this.#used.has(jti)) throw new TrustWardenError("owner_request_replayed");
    this.#floors.raise(owner, { iat, now });
    const forgetAt = exp + CLOCK_SKEW_SECONDS;
    this.#used.set(jti, forgetAt);
    await this.#uses.claim({ kind: "owner-request", name: jti, forgetAt }, now);
  }

  #forgetBefore(now: number): void {
    for (const [jti, forgetAt] of this.#used) {
      if (now < forgetAt) return;
      this.#used.delete(jti);
    }
  }
}

function requireThisRequest(payload: JsonObject, { request, audience }: OwnerRequestCheck): void {
  const unknown = Object.keys(payload).find((name) => !MEMBERS.includes(name));
  if (payload.v !== 1 || unknown !== undefined) refuse("members");
  if (!JTI.test(text(payload, "jti"))) refuse("jti");
  if (text(payload, "aud") !== audience) refuse("aud");
  if (text(payload, "method") !== request.method) refuse("method");
  if (text(payload, "target") !== request.target) refuse("target");
  if (text(payload, "body_sha256") !== encodeBase64url(sha256(request.body))) refuse("body_sha256");
}

function text(payload: JsonObject, name: string): string {
  const value: Json | undefined = payload[name];
  return typeof value === "string" ? value : refuse(name);
}

function integer(payload: JsonObject, name: string): number {
  const value: Json | undefined = payload[name];
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : refuse(name);
}

function refuse(reason: string): never {
  throw new TrustWardenError("owner_request_invalid", { reason });
}
