/** The keys of the authority: what there is, and the operator's steps. */

import type { AuthoritySlot } from "@trustwarden/core/agentid/authority-slots.ts";
import { type AuthorityStep, endedAt, publishedAt } from "@trustwarden/core/agentid/authority-steps.ts";
import type {
  AuthorityAnswer,
  AuthorityStepAnswer,
  AuthorityStepRequest,
  SuccessionList,
} from "@trustwarden/core/api/authority.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Announce, StepOrder } from "../../authority/keeper.ts";
import type { Committed } from "../../store/ports.ts";
import { contextOf } from "../command-context.ts";
import type { Visit } from "../route.ts";
import type { Services } from "../services.ts";
import { type Stopped, spread } from "./revocation.ts";

export async function readAuthority({ authority, keeper, trustDomain }: Services): Promise<AuthorityAnswer> {
  const { bundle, authoritiesSha256, renew } = authority();
  return {
    trust_domain: trustDomain,
    sequence: bundle.sequence,
    authorities_sha256: authoritiesSha256,
    renew: [...renew],
    keys: keeper.state().slots.map(formatSlot),
  };
}

export async function readSuccessions({ authority }: Services): Promise<SuccessionList> {
  return { successions: [...authority().successions] };
}

/** @throws TrustWardenError `authority_conflict`, `authority_not_published`, `authority_in_use`, `not_found`. */
export async function stepAuthority(
  services: Services,
  visit: Visit<AuthorityStepRequest>,
): Promise<AuthorityStepAnswer> {
  const spreads: Stopped[] = [];
  const announce: Announce = async (committed, step) => {
    spreads.push(await announceStep(services, committed, step));
  };
  // A rotation is up to three steps, each with an event of its own; an intent would belong to one of them only.
  const order = { context: contextOf(services, visit), reason: visit.body.reason };
  await takeStep(services, visit.body, order, announce);
  const last = spreads.at(-1);
  if (last === undefined) throw new Error("a step that was taken was announced");
  return {
    ...(await readAuthority(services)),
    event_ids: spreads.map(({ event_id }) => event_id),
    epoch: last.epoch,
    acked: last.acked,
    expired: last.expired,
    elapsed_ms: last.elapsed_ms,
    recorded: spreads.every(({ recorded }) => recorded),
  };
}

/**
 * Tells everybody of a committed step: the listeners present the new chain, and every lease has acknowledged or run
 * out when this returns. After a revocation no verifier acts on a decision of before.
 */
export async function announceStep(
  services: Services,
  committed: Committed<unknown>,
  step: AuthorityStep,
): Promise<Stopped> {
  const startedMs = services.clock.monoMs();
  const changed = { kind: "authority", id: step.step } as const;
  const voided = { kind: "policy", id: "*" } as const;
  const targets = step.step === "revoke" ? [changed, voided] : [changed];
  const stopped = await spread(services, { committed, targets, startedMs });
  await services.onAuthorityStep();
  return stopped;
}

function takeStep(
  { keeper, witSvid }: Services,
  body: AuthorityStepRequest,
  order: StepOrder,
  announce: Announce,
): Promise<unknown> {
  if ("kind" in body && body.kind === "wit" && !witSvid) {
    throw new TrustWardenError("authority_conflict", { kind: "wit", reason: "no WIT-SVIDs are issued here" });
  }
  switch (body.step) {
    case "prepare":
      return keeper.prepare(body.kind, order, announce);
    case "activate":
      return keeper.take({ step: "activate", kind: body.kind, isForced: body.force }, order, announce);
    case "rotate":
      return keeper.rotate({ kind: body.kind, isForced: body.force }, order, announce);
    case "retire":
      return keeper.take({ step: "retire", id: body.id, isForced: body.force }, order, announce);
    case "taint":
    case "revoke":
      return keeper.take({ step: body.step, id: body.id }, order, announce);
  }
}

function formatSlot(slot: AuthoritySlot): AuthorityAnswer["keys"][number] {
  return {
    id: slot.id,
    kind: slot.kind,
    state: slot.state,
    custody: slot.custody,
    issuer_id: slot.issuerId,
    expires_at: slot.expiresAt,
    prepared_at: slot.preparedAt,
    activated_at: slot.activatedAt,
    superseded_at: slot.supersededAt,
    usable_at: slot.state === "prepared" ? publishedAt(slot) : null,
    retirable_at: slot.state === "superseded" || slot.state === "tainted" ? endedAt(slot) : null,
  };
}
