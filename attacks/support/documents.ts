/**
 * Enrolment documents as only an attacker makes them: signed rightly, with any member replaced, so that what refuses
 * is the check of the member and not the signature.
 */
import { randomBytes } from "node:crypto";
import { formatOwnerKeyid } from "@trustwarden/core/agentid/enrolment.ts";
import { encodeBase64, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { formatThumbprint } from "@trustwarden/core/crypto.ts";
import { encodePae, issueEnvelope, type PayloadName, payloadTypeOf } from "@trustwarden/core/dsse.ts";
import { formatUlid } from "@trustwarden/core/id.ts";
import { formatCanonicalJson, type JsonObject } from "@trustwarden/core/json.ts";
import type { Signer } from "@trustwarden/core/signer.ts";
import type { TestInstance, TestOwner } from "../../test/support/actors.ts";
import { TRUST_DOMAIN } from "../../test/support/server.ts";

const random = (length: number): Uint8Array => new Uint8Array(randomBytes(length));

/** The payload of an honest ticket. */
export function ticketPayload(owner: TestOwner, members: JsonObject = {}): JsonObject {
  const now = Math.floor(Date.now() / 1000);
  return {
    v: 1,
    kind: "agent",
    jti: formatUlid(Date.now(), random),
    aud: `spiffe://${TRUST_DOMAIN}`,
    iat: now,
    exp: now + 600,
    owner: owner.ownerId,
    path: "team/finance",
    name: "newcomer",
    scope: ["read:transactions"],
    ttl_seconds: 3600,
    limits: { depth: 3, fan_out: 16, budget: null },
    ...members,
  };
}

/** A ticket with any members, signed by its owner. */
export function signTicket(owner: TestOwner, members: JsonObject = {}, type: PayloadName = "ticket"): string {
  return issueEnvelope(
    type,
    ticketPayload(owner, members),
    owner.signer,
    formatOwnerKeyid(owner.signer.publicKey),
  );
}

/** A ticket whose payload is any text, signed by its owner. */
export function signTicketText(owner: TestOwner, payload: string): string {
  const type = payloadTypeOf("ticket");
  const bytes = encodeUtf8(payload);
  const sig = encodeBase64(owner.signer.sign(encodePae(type, bytes)));
  const keyid = formatOwnerKeyid(owner.signer.publicKey);
  return formatCanonicalJson({
    payload: encodeBase64(bytes),
    payloadType: type,
    signatures: [{ keyid, sig }],
  });
}

/** The payload of an honest grant. */
export function grantPayload(parent: TestInstance, child: Signer, members: JsonObject = {}): JsonObject {
  const now = Math.floor(Date.now() / 1000);
  return {
    v: 1,
    jti: formatUlid(Date.now(), random),
    aud: `spiffe://${TRUST_DOMAIN}`,
    iat: now,
    exp: now + 60,
    name: "newcomer",
    path: parent.answer.path,
    scope: ["read:transactions"],
    ttl_seconds: 600,
    limits: { depth: 1, fan_out: 8, budget: null },
    child_thumbprint: formatThumbprint(child.publicKey),
    parent: parent.answer.spiffe_id,
    svid_sha256: parent.svidSha256,
    ...members,
  };
}

/** A grant with any members, signed by the parent's live key. */
export function signGrant(parent: TestInstance, child: Signer, members: JsonObject = {}): string {
  return issueEnvelope("grant", grantPayload(parent, child, members), parent.signer, parent.svidSha256);
}

/** An envelope with another payload under the old signature. */
export function alterPayload(envelope: string, members: JsonObject): string {
  const json: Record<string, unknown> = JSON.parse(envelope);
  const payload = JSON.parse(Buffer.from(String(json.payload), "base64").toString("utf8"));
  const altered = encodeBase64(encodeUtf8(formatCanonicalJson({ ...payload, ...members })));
  return JSON.stringify({ ...json, payload: altered });
}
