/** A human's yes in the log of `evidence-log.ts`: the owner's signed answer, and its one use. */
import type { Approval } from "@trustwarden/core/approval.ts";
import { encodeBase64url, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { issueEnvelope } from "@trustwarden/core/dsse.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import type { Signer } from "@trustwarden/core/signer.ts";
import { NOW } from "../seeded.ts";

/** What may be other than it should. */
export interface ApprovalLie {
  readonly by?: "stranger";
  readonly changes?: Partial<Approval>;
  /** Which actions it was used for, by the event; the action of the log unless given. */
  readonly uses?: readonly string[];
  /** What the decision says of it besides the truth. */
  readonly named?: JsonObject;
}

/** The event in which it was asked for. */
const REQUEST = "01990000-0000-7000-8000-000000000080";

/** What the log has of it. */
export function approvalOf(
  lie: ApprovalLie,
  about: Pick<Approval, "owner" | "agent" | "action" | "resource" | "audience" | "policy_sha256">,
  { signer, keyid, eventId }: { readonly signer: Signer; readonly keyid: string; readonly eventId: string },
): { readonly controls: readonly JsonObject[]; readonly reference: JsonObject } {
  const approval = {
    v: 1,
    aud: "spiffe://acme.test",
    answer: "approve",
    id: REQUEST,
    intent_sha256: about.policy_sha256,
    parameters: about.policy_sha256,
    iat: NOW,
    exp: NOW + 600,
    ...about,
    ...lie.changes,
  };
  const envelope = issueEnvelope("approval", approval, signer, keyid);
  const envelope_sha256 = encodeBase64url(sha256(encodeUtf8(envelope)));
  const of = (details: JsonObject): JsonObject => ({ kind: "approval", subject: REQUEST, details });
  const { uses = [eventId] } = lie;
  return {
    controls: [
      of({ change: "approve", approval: envelope }),
      ...uses.map((used_by) => of({ change: "use", envelope_sha256, used_by })),
    ],
    reference: { id: REQUEST, owner: about.owner, envelope_sha256, ...lie.named },
  };
}
