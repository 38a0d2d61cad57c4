/**
 * What an enrollee brings: a ticket or a grant, the new key, and the proof that it holds it.
 *
 * Everything that the certificate will say comes from the signed document; the body adds the key, and what the holder
 * says of itself: who else has the key, and what it is composed of.
 */

import {
  digestOfEnrolment,
  type EnrolmentCheck,
  formatOwnerKeyid,
  limitsOf,
  parseUnverifiedEnrolment,
  verifyGrant,
  verifyTicket,
  verifyVerifierTicket,
} from "@trustwarden/core/agentid/enrolment.ts";
import { verifyPossession } from "@trustwarden/core/agentid/possession.ts";
import { workBitsOf } from "@trustwarden/core/agentid/registration-work.ts";
import type { InstanceRequest } from "@trustwarden/core/api/identity.ts";
import { parseBase64url } from "@trustwarden/core/bytes.ts";
import type { PublicKey } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { isPasskey, type OwnerKey } from "@trustwarden/core/passkey.ts";
import { parseScope } from "@trustwarden/core/scope.ts";
import { findOwnerKey } from "../console/owner-signature.ts";
import { importKeyOnce } from "../imported-keys.ts";
import type { IssueCommand } from "../store/ports.ts";
import type { EnrolleeCaller } from "./caller.ts";
import { verifyClassKey } from "./class-key.ts";
import { digestOrNull } from "./composition-request.ts";
import type { Services } from "./services.ts";
import { spendNonce } from "./used-once.ts";

type Document = Omit<
  IssueCommand,
  | "context"
  | "spki"
  | "thumbprint"
  | "enrolment"
  | "possession"
  | "classKey"
  | "custody"
  | "compositionSha256"
>;
type EnrolmentServices = Pick<Services, "trustDomain" | "reads" | "nonces" | "sharing" | "serverKey">;

/** A verifier is named by its operator and holds no scope: it acts for nobody. */
const NO_SCOPE = parseScope([]);
const NO_LIMITS = { depth: 0, fanOut: 0, budget: 0 } as const;

/**
 * The enrollee who brought these documents; its nonce is spent.
 *
 * @param now - Unix seconds.
 * @throws TrustWardenError the `ticket_`, `grant_` and `possession_` codes, `nonce_invalid`, `owner_unknown`,
 *   `identity_revoked`, `ancestor_dead`, `public_key_refused`.
 */
export async function verifyEnrollee(
  services: EnrolmentServices,
  request: InstanceRequest,
  now: number,
): Promise<EnrolleeCaller> {
  const document = verifyDocument(services, request.enrolment, now);
  const spki = parseBase64url(request.spki);
  const enrolmentSha256 = digestOfEnrolment(request.enrolment);
  const possession = verifyPossession({ envelope: request.possession, spki, enrolmentSha256 });
  if (document.childThumbprint !== null && document.childThumbprint !== possession.thumbprint) {
    const code = document.command.via === "grant" ? "grant_invalid" : "ticket_invalid";
    throw new TrustWardenError(code, { reason: "made for another key" });
  }
  await spendNonce(services, possession.nonce, now);
  const { thumbprint, nonce } = possession;
  const { via, jti } = document.command;
  return {
    principal: { kind: "enrollee", via, enrolmentId: jti, thumbprint },
    intent: null,
    enrolment: {
      document: {
        ...document.command,
        custody: request.custody,
        compositionSha256: digestOrNull(request.composition),
        spki,
        thumbprint,
        enrolment: request.enrolment,
        possession: request.possession,
        workBits: request.work === "" ? 0 : workBitsOf(request.possession, request.work),
        classKey: verifyClassKey(request.class, { enrolmentSha256, nonce }),
      },
    },
  };
}

interface VerifiedDocument {
  readonly command: Document;
  /** The key that a grant or ticket was made for; null for a ticket that fits any. */
  readonly childThumbprint: string | null;
}

function verifyDocument(services: EnrolmentServices, envelope: string, now: number): VerifiedDocument {
  const unverified = parseUnverifiedEnrolment(envelope);
  const audience = services.trustDomain;
  const check = (publicKey: OwnerKey): EnrolmentCheck => ({ publicKey, audience, now });
  switch (unverified.via) {
    case "ticket":
      return fromTicket(envelope, check(findOwnerKey(services, unverified.unverifiedOwnerId, envelope)));
    case "verifier-ticket":
      return fromVerifierTicket(envelope, check(services.serverKey));
    case "grant":
      return fromGrant(services, envelope, { unverified, check });
  }
}

function fromTicket(envelope: string, check: EnrolmentCheck): VerifiedDocument {
  const ticket = verifyTicket(envelope, check);
  const key = check.publicKey;
  return {
    childThumbprint: ticket.holder_thumbprint ?? null,
    command: {
      via: "ticket",
      ...(isPasskey(key) ? { passkeyKeyid: formatOwnerKeyid(key) } : {}),
      jti: ticket.jti,
      enrolmentIssuedAt: ticket.iat,
      enrolmentExpiresAt: ticket.exp,
      ownerId: ticket.owner,
      parent: null,
      path: ticket.path,
      name: ticket.name,
      scope: ticket.scope,
      ttlSeconds: ticket.ttl_seconds,
      limits: limitsOf(ticket.limits),
    },
  };
}

function fromVerifierTicket(envelope: string, check: EnrolmentCheck): VerifiedDocument {
  const ticket = verifyVerifierTicket(envelope, check);
  return {
    childThumbprint: null,
    command: {
      via: "verifier-ticket",
      jti: ticket.jti,
      enrolmentIssuedAt: ticket.iat,
      enrolmentExpiresAt: ticket.exp,
      ownerId: null,
      parent: null,
      path: "",
      isRelay: ticket.kind === "relay",
      name: ticket.name,
      scope: NO_SCOPE,
      ttlSeconds: ticket.ttl_seconds,
      limits: NO_LIMITS,
    },
  };
}

function fromGrant(
  services: EnrolmentServices,
  envelope: string,
  options: {
    readonly unverified: {
      readonly unverifiedParentInstanceId: string;
      readonly unverifiedSvidSha256: string;
    };
    readonly check: (publicKey: PublicKey) => EnrolmentCheck;
  },
): VerifiedDocument {
  const { unverifiedParentInstanceId: instanceId, unverifiedSvidSha256: svidSha256 } = options.unverified;
  const grant = verifyGrant(envelope, options.check(parentKey(services, { instanceId, svidSha256 })));
  const parent = services.reads.findInstance(instanceId);
  if (parent?.spiffeId !== grant.parent || parent.kind !== "agent") {
    throw new TrustWardenError("grant_invalid", { reason: "parent" });
  }
  return {
    childThumbprint: grant.child_thumbprint,
    command: {
      via: "grant",
      jti: grant.jti,
      enrolmentIssuedAt: grant.iat,
      enrolmentExpiresAt: grant.exp,
      ownerId: parent.ownerId,
      parent: { instanceId, svidSha256 },
      path: grant.path,
      name: grant.name,
      scope: grant.scope,
      ttlSeconds: grant.ttl_seconds,
      limits: limitsOf(grant.limits),
    },
  };
}

/** Whether the parent and its SVID are alive is decided where it counts: in the transaction that issues. */
function parentKey(
  { reads }: EnrolmentServices,
  { instanceId, svidSha256 }: { readonly instanceId: string; readonly svidSha256: string },
): PublicKey {
  const issued = reads.findSvid(svidSha256);
  if (issued?.instanceId !== instanceId) {
    throw new TrustWardenError("grant_invalid", { reason: "parent's SVID is not known" });
  }
  return importKeyOnce(issued.spki);
}
