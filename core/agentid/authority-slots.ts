/**
 * The slots of an authority: every root, intermediate, JWT and WIT key of a trust domain, with the state it is in.
 *
 * A key is *prepared* (made, and published where others must know it first), *active* (signs), *superseded* (a
 * successor signs; what it signed is still good), *retired* (all that it signed has ended), *tainted* (what it signed
 * must be renewed now) or *revoked* (what it signed counts no more). At most one key of a kind is prepared and one is
 * active: the two slots, A and B. What leads from one state to the next is in `authority-steps.ts`.
 */
import { encodeHex } from "../bytes.ts";
import { formatThumbprint, parseP256PublicKey } from "../crypto.ts";
import { TrustWardenError } from "../error.ts";
import type { TrustDomain } from "./spiffe-id.ts";
import { type CaCertificate, parseCaCertificate } from "./svid-profile.ts";
import { keyIdentifierOf } from "./svid-profile-template.ts";
import type { TrustBundle } from "./trust-bundle.ts";

/** How often consumers of the bundle look again; SPIFFE's own default. */
export const REFRESH_HINT_SECONDS = 300;

/** What a key of the authority is for. */
export type AuthorityKind = "root" | "intermediate" | TokenKind;
/** Keys that sign tokens: bare ones, known by the bundle alone. */
export type TokenKind = "jwt" | "wit";
/** Where a private key is: in a sealed file, in a hardware token, or in a cloud KMS. */
export type KeyCustody = "sealed" | "pkcs11" | "aws-kms";
export type SlotState = "prepared" | "active" | "superseded" | "retired" | "tainted" | "revoked";

/** One key of the authority. Times are Unix seconds, null until then. */
export interface AuthoritySlot {
  /** Key identifier, lower-case hex: the certificate's, and computed the same way for a bare key. */
  readonly id: string;
  readonly kind: AuthorityKind;
  readonly state: SlotState;
  readonly spki: Uint8Array;
  readonly custody: KeyCustody;
  /** The key's name in its custody, where the id is not its name. */
  readonly keyRef: string | null;
  /** DER; null for the key of tokens. */
  readonly certificate: Uint8Array | null;
  /** The root that certified an intermediate; null for the others. */
  readonly issuerId: string | null;
  /** End of the certificate; null for the key of tokens. */
  readonly expiresAt: number | null;
  readonly preparedAt: number;
  readonly activatedAt: number | null;
  readonly supersededAt: number | null;
}

/** All slots at one sequence number, which rises with every step. */
export interface AuthorityState {
  readonly sequence: number;
  readonly slots: readonly AuthoritySlot[];
}

/** A new key as its maker describes it; the state and its times come with the step. */
export type NewSlot = Omit<AuthoritySlot, "state" | "preparedAt" | "activatedAt" | "supersededAt">;

/** A new root, or a new intermediate under `issuer`. */
export function newCertificateSlot(
  { spki, der, ski, notAfter }: CaCertificate,
  place: Pick<AuthoritySlot, "custody" | "keyRef"> & { readonly issuer: CaCertificate | null },
): NewSlot {
  const { custody, keyRef, issuer } = place;
  return {
    id: encodeHex(ski),
    kind: issuer === null ? "root" : "intermediate",
    spki,
    custody,
    keyRef,
    certificate: der,
    issuerId: issuer && encodeHex(issuer.ski),
    expiresAt: notAfter,
  };
}

/** A new key for JWT-SVIDs or WIT-SVIDs. */
export function newTokenSlot(
  kind: TokenKind,
  spki: Uint8Array,
  { custody, keyRef }: Pick<AuthoritySlot, "custody" | "keyRef">,
): NewSlot {
  const id = slotIdOf(spki);
  return { id, kind, spki, custody, keyRef, certificate: null, issuerId: null, expiresAt: null };
}

/** The slots of a new trust domain, all active. @param now - Unix seconds. */
export function foundSlots(slots: readonly NewSlot[], now: number): readonly AuthoritySlot[] {
  const times = { preparedAt: now, activatedAt: now, supersededAt: null };
  return slots.map((slot) => ({ ...slot, ...times, state: "active" }));
}

/** The id of a key. */
export function slotIdOf(spki: Uint8Array): string {
  return encodeHex(keyIdentifierOf(spki));
}

/**
 * The bundle that a state publishes: roots and the keys of tokens from prepared on, until they are retired or revoked, and the
 * intermediates that were revoked before their end.
 *
 * @param now - Unix seconds.
 * @throws TrustWardenError `svid_malformed`, `svid_untrusted` or `public_key_refused` for slots that are not ours.
 */
export function bundleOfState(state: AuthorityState, trustDomain: TrustDomain, now: number): TrustBundle {
  const published = state.slots.filter(isPublished);
  return {
    trustDomain,
    sequence: state.sequence,
    refreshHintSeconds: REFRESH_HINT_SECONDS,
    x509Authorities: published
      .filter(({ kind }) => kind === "root")
      .map((slot) => certificateOf(slot, trustDomain)),
    jwtAuthorities: tokenKeysOf(published, "jwt"),
    witAuthorities: tokenKeysOf(published, "wit"),
    revokedAuthorities: new Set(
      state.slots.filter((slot) => isLiveIntermediate(slot, now, ["revoked"])).map(({ id }) => id),
    ),
  };
}

/** Ids of the intermediates whose SVIDs must be renewed now. @param now - Unix seconds. */
export function renewalsOfState({ slots }: AuthorityState, now: number): readonly string[] {
  return slots.filter((slot) => isLiveIntermediate(slot, now, ["tainted", "revoked"])).map(({ id }) => id);
}

/** The one slot of a kind that signs. @throws TrustWardenError `authority_conflict` when there is none. */
export function activeSlotOf({ slots }: Pick<AuthorityState, "slots">, kind: AuthorityKind): AuthoritySlot {
  const slot = slots.find((candidate) => candidate.kind === kind && candidate.state === "active");
  if (slot === undefined)
    throw new TrustWardenError("authority_conflict", { kind, reason: "none is active" });
  return slot;
}

/** The certificate of a root or an intermediate. @throws TrustWardenError `svid_malformed` or `svid_untrusted`. */
export function certificateOf(
  { certificate, kind, id }: AuthoritySlot,
  trustDomain: TrustDomain,
): CaCertificate {
  if (certificate === null) throw new Error(`a ${kind} slot has no certificate`);
  const parsed = parseCaCertificate(certificate, trustDomain);
  if (encodeHex(parsed.ski) !== id) throw new TrustWardenError("svid_untrusted", { reason: "another key" });
  return parsed;
}

function tokenKeysOf(slots: readonly AuthoritySlot[], kind: TokenKind): TrustBundle["jwtAuthorities"] {
  const keys = slots.filter((slot) => slot.kind === kind).map(({ spki }) => parseP256PublicKey(spki));
  return new Map(keys.map((key) => [formatThumbprint(key), key]));
}

function isPublished({ state }: AuthoritySlot): boolean {
  switch (state) {
    case "prepared":
    case "active":
    case "superseded":
    case "tainted":
      return true;
    case "retired":
    case "revoked":
      return false;
  }
}

function isLiveIntermediate(slot: AuthoritySlot, now: number, states: readonly SlotState[]): boolean {
  return slot.kind === "intermediate" && states.includes(slot.state) && now < (slot.expiresAt ?? 0);
}
