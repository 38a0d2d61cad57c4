/**
 * What may be done to the keys of an authority: prepare, activate, retire, taint, revoke. Pure: whoever holds the keys
 * makes them, whoever holds the state keeps it.
 *
 * Two rules carry the rest. *Published before use*: a root or a JWT key signs only after every consumer of the bundle
 * had the time to fetch it, so that no check fails in a planned rotation. *Never the one in use*: a key that signs is
 * superseded first, so that a rotation never leaves the trust domain without a key.
 *
 * @see SPIFFE Trust Domain and Bundle §4.1.2; docs/guides/rotation.md
 */
import { TrustWardenError } from "../error.ts";
import {
  type AuthorityKind,
  type AuthoritySlot,
  type AuthorityState,
  type NewSlot,
  REFRESH_HINT_SECONDS,
  type SlotState,
} from "./authority-slots.ts";

/** A consumer that fetches at each refresh hint and misses twice still has the key in time. */
export const PUBLISH_SECONDS = 3 * REFRESH_HINT_SECONDS;
/** Longest SVID, an hour, and the disagreement of two clocks. */
export const KEEP_SECONDS = 3600 + 300;

/** One thing done to an authority. `isForced` waives the waiting times and nothing else. */
export type AuthorityStep =
  | { readonly step: "prepare"; readonly slot: NewSlot }
  | { readonly step: "activate"; readonly kind: AuthorityKind; readonly isForced: boolean }
  | { readonly step: "retire"; readonly id: string; readonly isForced: boolean }
  | { readonly step: "taint"; readonly id: string }
  | { readonly step: "revoke"; readonly id: string };

/**
 * The state after one step.
 *
 * @param now - Unix seconds.
 * @throws TrustWardenError `authority_conflict` when the step does not lead on from here, `authority_not_published`
 *   before the time of publishing is over, `authority_in_use` for a key that still signs, or for a root with
 *   intermediates below it that do; `not_found`.
 */
export function applyStep(state: AuthorityState, step: AuthorityStep, now: number): AuthorityState {
  return { sequence: state.sequence + 1, slots: slotsAfter(state.slots, step, now) };
}

/** When a prepared key may be activated without force. Unix seconds. */
export function publishedAt({ kind, preparedAt }: AuthoritySlot): number {
  // An intermediate travels with each chain that it signs, so nobody has to know it first.
  return kind === "intermediate" ? preparedAt : preparedAt + PUBLISH_SECONDS;
}

/** When all that a superseded key signed has ended. Unix seconds. */
export function endedAt({ supersededAt }: AuthoritySlot): number {
  return supersededAt === null ? Number.POSITIVE_INFINITY : supersededAt + KEEP_SECONDS;
}

function slotsAfter(
  slots: readonly AuthoritySlot[],
  step: AuthorityStep,
  now: number,
): readonly AuthoritySlot[] {
  switch (step.step) {
    case "prepare":
      return prepare(slots, step.slot, now);
    case "activate":
      return activate(slots, step, now);
    case "retire":
      return retire(slots, step, now);
    case "taint":
      return move(slots, requireState(findSlot(slots, step.id), ["superseded"]), "tainted");
    case "revoke":
      return revoke(slots, step.id);
  }
}

function prepare(slots: readonly AuthoritySlot[], slot: NewSlot, now: number): readonly AuthoritySlot[] {
  if (slots.some(({ id }) => id === slot.id)) throw conflict("the key was used before", slot);
  if (slots.some(({ kind, state }) => kind === slot.kind && state === "prepared")) {
    throw conflict("one is prepared already", slot);
  }
  if (slot.kind === "intermediate") requireIssuer(slots, slot);
  const times = { preparedAt: now, activatedAt: null, supersededAt: null };
  return [...slots, { ...slot, ...times, state: "prepared" }];
}

function activate(
  slots: readonly AuthoritySlot[],
  { kind, isForced }: { readonly kind: AuthorityKind; readonly isForced: boolean },
  now: number,
): readonly AuthoritySlot[] {
  const next = slots.find((slot) => slot.kind === kind && slot.state === "prepared");
  if (next === undefined)
    throw new TrustWardenError("authority_conflict", { kind, reason: "none is prepared" });
  if (kind === "intermediate") requireIssuer(slots, next);
  if (!isForced && now < publishedAt(next)) {
    throw new TrustWardenError("authority_not_published", { kind, id: next.id, until: publishedAt(next) });
  }
  return slots.map((slot) => {
    if (slot.id === next.id) return { ...slot, state: "active", activatedAt: now };
    if (slot.kind === kind && slot.state === "active")
      return { ...slot, state: "superseded", supersededAt: now };
    return slot;
  });
}

function retire(
  slots: readonly AuthoritySlot[],
  { id, isForced }: { readonly id: string; readonly isForced: boolean },
  now: number,
): readonly AuthoritySlot[] {
  const slot = requireState(findSlot(slots, id), ["prepared", "superseded", "tainted"]);
  requireNothingBelow(slots, slot);
  if (!isForced && slot.state !== "prepared" && now < endedAt(slot)) {
    throw new TrustWardenError("authority_in_use", {
      id,
      reason: "SVIDs of it may be valid",
      until: endedAt(slot),
    });
  }
  return move(slots, slot, "retired");
}

/** A root takes the intermediates that it certified along: nobody can prove them any more. */
function revoke(slots: readonly AuthoritySlot[], id: string): readonly AuthoritySlot[] {
  const slot = requireState(findSlot(slots, id), ["prepared", "superseded", "tainted", "retired"]);
  requireNothingBelow(slots, slot, ["active"]);
  const isBelow = ({ issuerId, state }: AuthoritySlot) => issuerId === id && state !== "retired";
  return slots.map((other) => (other.id === id || isBelow(other) ? { ...other, state: "revoked" } : other));
}

/** An intermediate is of use only under a root that is published and will stay so. */
function requireIssuer(slots: readonly AuthoritySlot[], slot: NewSlot): void {
  const root = slots.find(({ id, kind }) => kind === "root" && id === slot.issuerId);
  if (root?.state !== "active") throw conflict("its root is not the active one", slot);
}

function requireNothingBelow(
  slots: readonly AuthoritySlot[],
  root: AuthoritySlot,
  living: readonly SlotState[] = ["prepared", "active", "superseded", "tainted"],
): void {
  const below = slots.find(({ issuerId, state }) => issuerId === root.id && living.includes(state));
  if (below === undefined) return;
  throw new TrustWardenError("authority_in_use", {
    id: root.id,
    reason: `intermediate ${below.id} is under it`,
  });
}

function findSlot(slots: readonly AuthoritySlot[], id: string): AuthoritySlot {
  const slot = slots.find((candidate) => candidate.id === id);
  if (slot === undefined) throw new TrustWardenError("not_found", { kind: "authority" });
  return slot;
}

function requireState(slot: AuthoritySlot, states: readonly SlotState[]): AuthoritySlot {
  const { id, state } = slot;
  if (states.includes(state)) return slot;
  if (state === "active") throw new TrustWardenError("authority_in_use", { id, reason: "it signs" });
  throw new TrustWardenError("authority_conflict", { id, reason: `it is ${state}` });
}

function move(
  slots: readonly AuthoritySlot[],
  moved: AuthoritySlot,
  state: SlotState,
): readonly AuthoritySlot[] {
  return slots.map((slot) => (slot.id === moved.id ? { ...slot, state } : slot));
}

function conflict(reason: string, { id, kind }: Pick<AuthoritySlot, "id" | "kind">): TrustWardenError {
  return new TrustWardenError("authority_conflict", { id, kind, reason });
}
