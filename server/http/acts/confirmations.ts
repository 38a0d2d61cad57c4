/** What one admin asks and another confirms, before it is done. */
import type {
  ConfirmationAnswer,
  ConfirmationDetail,
  ConfirmationList,
  ConfirmationRequest,
  ConfirmationView,
} from "@trustwarden/core/api/confirmations.ts";
import type { AuthenticationResponse } from "@trustwarden/core/api/people.ts";
import { encodeBase64url, encodeUtf8, parseBase64url } from "@trustwarden/core/bytes.ts";
import { challengeOfConfirmation, digestOfRequest } from "@trustwarden/core/confirmation.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { formatUlid } from "@trustwarden/core/id.ts";
import { confirmedRowOf } from "../../console/confirmed-rows.ts";
import { verifyAsserted } from "../../console/own-word.ts";
import { rolesOfRow } from "../../console/person-rows.ts";
import type { ConfirmationChange, ConfirmationState } from "../../store/confirmation-ports.ts";
import { personOf } from "../caller.ts";
import { contextOf } from "../command-context.ts";
import type { Visit } from "../route.ts";
import type { Services } from "../services.ts";

/** Both are at work when it is asked. */
const CONFIRMATION_SECONDS = 3600;
const SALT_BYTES = 16;
/** Far more than are ever open at once. */
const MAX_LISTED = 200;

type ById = { readonly id: string };

/** @throws TrustWardenError `request_malformed` for what waits for nobody, `denied` for what the asker may not do at all, `quota_exceeded`. */
export async function askForConfirmation(
  services: Services,
  visit: Visit<ConfirmationRequest>,
): Promise<ConfirmationView> {
  const { method, target, body, reason } = visit.body;
  requireAskable(visit);
  const { clock, random, people } = services;
  const context = contextOf(services, visit);
  const id = `cnf_${formatUlid(context.nowMs, random)}`;
  const salt = encodeBase64url(random(SALT_BYTES));
  const confirmation = {
    id,
    method,
    target,
    body: people.seal.sealText(body, id),
    digest: digestOfRequest({ method, target, body: encodeUtf8(body), salt }),
    salt,
    reason,
    expiresAt: clock.trustedSeconds() + CONFIRMATION_SECONDS,
  };
  await change(services, visit, { change: "ask", confirmation });
  return showConfirmation(services, confirmation.id);
}

export async function listConfirmations({ reads, clock }: Services): Promise<ConfirmationList> {
  const now = clock.trustedSeconds();
  return { confirmations: reads.listConfirmations(MAX_LISTED).map((found) => formatView(found, now)) };
}

/** @throws TrustWardenError `not_found`. */
export async function readConfirmation(
  services: Services,
  { params }: Visit<unknown, unknown, ById>,
): Promise<ConfirmationDetail> {
  const { body, salt } = requireConfirmation(services, params.id);
  const opened = services.people.seal.openText(body, params.id);
  return { ...showConfirmation(services, params.id), body: opened, salt };
}

/**
 * A second admin's word, signed by its passkey over exactly the request; a no needs no passkey.
 *
 * @throws TrustWardenError `not_found`, `passkey_invalid`, `second_admin_required`, `confirmation_invalid`.
 */
export async function answerConfirmation(
  services: Services,
  visit: Visit<ConfirmationAnswer, unknown, ById>,
): Promise<ConfirmationView> {
  const { id } = visit.params;
  const asked = requireConfirmation(services, id);
  const { personId } = personOf(visit.caller);
  const signed =
    visit.body.answer === "refuse" ? null : await verifyWord(services, asked, visit.body.credential);
  await change(services, visit, { change: "answer", id, personId, signed });
  return showConfirmation(services, id);
}

async function verifyWord(
  services: Services,
  asked: ConfirmationState,
  credential: AuthenticationResponse,
): Promise<Extract<ConfirmationChange, { readonly change: "answer" }>["signed"]> {
  const challenge = challengeOfConfirmation(asked);
  const { asserted } = await verifyAsserted(services, credential, challenge);
  const { clientDataJSON: clientDataJson, authenticatorData, signature } = credential.response;
  const id = encodeBase64url(sha256(parseBase64url(challenge)));
  return {
    assertion: { ...asserted, challenge: { id, expiresAt: asked.expiresAt } },
    evidence: { clientDataJson, authenticatorData, signature },
  };
}

async function change(services: Services, visit: Visit, confirmation: ConfirmationChange): Promise<void> {
  const context = contextOf(services, visit);
  const committed = await services.commands.changePeople({ change: "confirmation", confirmation, context });
  await services.ledger.settle(committed);
}

/** What waits for nobody needs no confirmation, and what somebody may not do a second person's word does not allow. */
function requireAskable({ body, caller: { principal } }: Visit<ConfirmationRequest>): void {
  const row = confirmedRowOf(body);
  if (row === undefined) throw new TrustWardenError("request_malformed", { reason: "needs no confirmation" });
  const roles = principal.kind === "person" ? principal.roles : undefined;
  if (roles !== undefined && !roles.some((role) => rolesOfRow(row).includes(role))) {
    throw new TrustWardenError("denied", { reason: "not for this role" });
  }
}

function requireConfirmation({ reads }: Services, id: string): ConfirmationState {
  const found = reads.findConfirmation(id);
  if (found === undefined) throw new TrustWardenError("not_found", { kind: "confirmation" });
  return found;
}

function showConfirmation(services: Services, id: string): ConfirmationView {
  return formatView(requireConfirmation(services, id), services.clock.trustedSeconds());
}

function formatView(found: ConfirmationState, now: number): ConfirmationView {
  return {
    id: found.id,
    asked_by: found.askedBy,
    method: found.method === "GET" ? "GET" : "POST",
    target: found.target,
    digest: found.digest,
    challenge: challengeOfConfirmation(found),
    reason: found.reason,
    state: stateOf(found, now),
    answered_by: found.answeredBy,
    created_at: found.createdAt,
    expires_at: found.expiresAt,
  };
}

function stateOf({ answer, usedAt, expiresAt }: ConfirmationState, now: number): ConfirmationView["state"] {
  if (usedAt !== null) return "used";
  if (answer === "refuse") return "refused";
  if (now >= expiresAt) return "expired";
  return answer === null ? "pending" : "confirmed";
}
