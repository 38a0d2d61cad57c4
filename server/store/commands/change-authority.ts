/**
 * One step of the authority: the state, its event and its epoch in one transaction, so that neither a rotation without
 * an event nor an event without its rotation survives a crash. The key of a prepared slot is durable before this runs;
 * one whose step never committed is removed at the next start.
 */
import { type AuthoritySlot, bundleOfState } from "@trustwarden/core/agentid/authority-slots.ts";
import { type AuthorityStep, applyStep } from "@trustwarden/core/agentid/authority-steps.ts";
import { digestOfAuthorities } from "@trustwarden/core/agentid/trust-bundle.ts";
import { encodeBase64 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import type { ChangeAuthorityCommand, MendAuthorityCommand, StoredAuthority } from "../authority-ports.ts";
import {
  forgetKeptKeys,
  readAuthority,
  readKeptKeys,
  writeAuthority,
  writeKeptKey,
  writeSuccession,
} from "../authority-rows.ts";
import type { Replica } from "../replica.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import { type CommandDeps, type CommandResult, secondsOf } from "./deps.ts";
import { advanceEpoch } from "./epoch.ts";

/** Reads the authority, which the first start founds. @throws TrustWardenError `svid_untrusted`, `svid_malformed`. */
export function loadAuthority(
  database: SqliteDatabase,
  deps: CommandDeps,
  first: readonly AuthoritySlot[],
  replica?: Replica,
): void {
  let { slots } = readAuthority(database);
  if (slots.length === 0) {
    replica?.begin();
    database.exec("BEGIN IMMEDIATE");
    writeAuthority(database, { sequence: 1, slots: first });
    replica?.keep([]);
    database.exec("COMMIT");
    slots = first;
  }
  const kept = deps.takeKept?.(readKeptKeys(database)) ?? new Map();
  for (const [id, key] of kept) deps.authority.learn(id, key);
  deps.authority.use(slots);
}

/** Whether a step takes a key's word away: that must not wait, for the right time or for a database. */
export function isAuthorityStop({ step }: Pick<ChangeAuthorityCommand, "step">): boolean {
  return step.step === "taint" || step.step === "revoke";
}

/**
 * Changes the state; whoever calls this has `deps.authority` use it once the event is written.
 *
 * @throws TrustWardenError the codes of `applyStep`.
 */
export function changeAuthority(
  database: SqliteDatabase,
  command: ChangeAuthorityCommand,
  deps: CommandDeps,
): CommandResult<StoredAuthority> {
  const { step, context, reason } = command;
  const now = secondsOf(context);
  const before = readAuthority(database);
  if (command.after !== undefined && command.after !== before.sequence)
    throw new TrustWardenError("authority_conflict", { reason: "another server took a step meanwhile" });
  const after = takeStep(database, deps, { ...command, now });
  const [changed] = after.slots.filter((slot) => isChanged(before.slots, slot) && isNamed(step, slot));
  const id = changed?.id ?? "";
  if (step.step === "revoke") advanceEpoch(database, { kind: "policy", id: "*" });
  advanceEpoch(database, { kind: "authority", id });
  const bundle = bundleOfState(after, deps.trustDomain, now);
  return {
    value: after,
    draft: {
      kind: "authority",
      allow: true,
      reasons: [],
      subject: id,
      chain: [],
      details: {
        ...formatStep(step, changed),
        reason,
        sequence: after.sequence,
        authorities_sha256: digestOfAuthorities(bundle),
      },
    },
  };
}

/**
 * Steps without an event, for a server that cannot sign one: its intermediate ended while it was down, and so did its
 * own SVID. Whoever calls this records what was done as soon as there is an SVID again.
 */
export function mendAuthority(
  database: SqliteDatabase,
  command: MendAuthorityCommand,
  deps: CommandDeps,
): StoredAuthority {
  const now = Math.floor(command.nowMs / 1000);
  for (const step of command.steps) takeStep(database, deps, { ...command, step, now });
  const mended = readAuthority(database);
  deps.authority.use(mended.slots);
  return mended;
}

function takeStep(
  database: SqliteDatabase,
  deps: CommandDeps,
  options: Pick<ChangeAuthorityCommand, "step" | "key" | "sealed" | "succession"> & {
    readonly now: number;
  },
): StoredAuthority {
  const { step, key, sealed, succession, now } = options;
  const after = applyStep(readAuthority(database), step, now);
  writeAuthority(database, after);
  if (succession !== null) writeSuccession(database, { ...succession, sequence: after.sequence });
  if (step.step === "prepare" && sealed !== undefined) writeKeptKey(database, { id: step.slot.id, sealed });
  forgetKeptKeys(database);
  if (step.step === "prepare" && key !== null) deps.authority.learn(step.slot.id, key);
  return { ...after, successions: readAuthority(database).successions };
}

function isChanged(before: readonly AuthoritySlot[], { id, state }: AuthoritySlot): boolean {
  return before.find((slot) => slot.id === id)?.state !== state;
}

/** Of an activation, the slot that signs from now on; the other one is its consequence. */
function isNamed(step: AuthorityStep, slot: AuthoritySlot): boolean {
  switch (step.step) {
    case "prepare":
      return slot.id === step.slot.id;
    case "activate":
      return slot.kind === step.kind && slot.state === "active";
    case "retire":
    case "taint":
    case "revoke":
      return slot.id === step.id;
  }
}

function formatStep(step: AuthorityStep, slot: AuthoritySlot | undefined): JsonObject {
  return {
    step: step.step,
    authority_kind: slot?.kind ?? null,
    key_id: slot?.id ?? null,
    custody: slot?.custody ?? null,
    forced: "isForced" in step && step.isForced,
    certificate: slot?.certificate ? encodeBase64(slot.certificate) : null,
    spki: slot === undefined ? null : encodeBase64(slot.spki),
  };
}
