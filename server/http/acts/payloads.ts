/** Prompts and answers that operators keep: read with an event, erased with an event. */

import { formatAnswerCommitment } from "@trustwarden/core/answer-commitment.ts";
import type {
  ErasureAnswer,
  ErasureRequest,
  PayloadAnswer,
  PayloadPath,
} from "@trustwarden/core/api/payloads.ts";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { parseEventId } from "@trustwarden/core/id.ts";
import { formatRequestCommitment } from "@trustwarden/core/intent.ts";
import { formatPrincipal } from "@trustwarden/core/principal.ts";
import type { Visit } from "../route.ts";
import type { Services } from "../services.ts";

/** @throws TrustWardenError `not_found`, `secret_unavailable`, `seal_broken`. */
export async function readPayload(
  { payloads }: Services,
  { params }: Visit<unknown, unknown, PayloadPath>,
): Promise<PayloadAnswer> {
  const { method, target, request, answer, salt } = await payloads.read(params.event_id);
  return {
    event_id: params.event_id,
    method,
    target,
    request: encodeBase64url(request),
    answer: encodeBase64url(answer),
    salt: salt === null ? null : encodeBase64url(salt),
    request_commitment:
      salt === null ? null : formatRequestCommitment({ method, target, body: request }, salt),
    answer_commitment: salt === null ? null : formatAnswerCommitment(sha256(answer), salt),
  };
}

/** The event is durable before anything is erased; it names the call and no content. @throws TrustWardenError `not_found`. */
export async function erasePayload(
  { erasures }: Services,
  { params, body, caller, arrival }: Visit<ErasureRequest, unknown, PayloadPath>,
): Promise<ErasureAnswer> {
  const principal = formatPrincipal(caller.principal);
  await erasures.erase(parseEventId(params.event_id), { reason: body.reason, principal, peer: arrival.peer });
  return { event_id: params.event_id, erased: true };
}
