/** Makes the certificates of the authority's own keys, with the root's key wherever it is. */
import {
  type AuthorityKind,
  type NewSlot,
  newCertificateSlot,
  newTokenSlot,
} from "@trustwarden/core/agentid/authority-slots.ts";
import type { TrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import {
  type CaCertificate,
  createSerial,
  draftIntermediate,
  draftRoot,
  parseCaCertificate,
} from "@trustwarden/core/agentid/svid-profile.ts";
import type { Random } from "@trustwarden/core/id.ts";
import type { RootSigner } from "@trustwarden/core/signer.ts";
import type { KeyRing, MadeKey } from "./key-ring.ts";

const DAY_SECONDS = 86_400;
/** Five years: a root is replaced by publishing its successor long before, not by waiting for its end. */
const ROOT_TTL_SECONDS = 5 * 365 * DAY_SECONDS;
/** An online key is replaced at least every quarter. */
const INTERMEDIATE_TTL_SECONDS = 90 * DAY_SECONDS;

/** What a new slot is made with. */
export interface Making {
  readonly ring: KeyRing;
  readonly trustDomain: TrustDomain;
  readonly random: Random;
  /** Unix seconds. */
  readonly now: number;
}

/** A root's certificate and how its key is asked. */
export interface Issuer {
  readonly certificate: CaCertificate;
  readonly signer: () => Promise<RootSigner>;
}

/**
 * A new key of a kind as a slot; the key is durable.
 *
 * @param issuer - the active root; asked only for an intermediate.
 * @throws TrustWardenError `authority_expired`, and what the keys are refused with.
 */
export async function makeSlot(making: Making, kind: AuthorityKind, issuer: () => Issuer): Promise<NewSlot> {
  switch (kind) {
    case "root":
      return makeRootSlot(making);
    case "intermediate":
      return makeIntermediateSlot(making, issuer());
    case "jwt":
    case "wit": {
      const made = await making.ring.create(kind);
      return newTokenSlot(kind, made.spki, made);
    }
  }
}

/** A self-signed root. */
export async function makeRootSlot({ ring, trustDomain, random, now }: Making): Promise<NewSlot> {
  const made = await ring.create("root");
  const serial = createSerial(random);
  const { spki } = made;
  const draft = draftRoot({ trustDomain, spki, serial, now, notAfter: now + ROOT_TTL_SECONDS });
  const signer = await ring.rootSigner(newRootName(made));
  const root = parseCaCertificate(draft.complete(await signer.sign(draft.tbs)), trustDomain);
  return newCertificateSlot(root, { ...made, issuer: null });
}

/** An online intermediate of at most 90 days. */
export async function makeIntermediateSlot(
  { ring, trustDomain, random, now }: Making,
  issuer: Issuer,
): Promise<NewSlot> {
  const made = await ring.create("intermediate");
  const ca = issuer.certificate;
  const draft = draftIntermediate({
    trustDomain,
    spki: made.spki,
    ca,
    serial: createSerial(random),
    now,
    notAfter: now + INTERMEDIATE_TTL_SECONDS,
  });
  const signer = await issuer.signer();
  const certificate = parseCaCertificate(draft.complete(await signer.sign(draft.tbs)), trustDomain);
  return newCertificateSlot(certificate, { ...made, issuer: ca });
}

function newRootName(made: MadeKey): NewSlot {
  return { ...newTokenSlot("jwt", made.spki, made), kind: "root" };
}
