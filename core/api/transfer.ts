/** HTTP API: an agent goes from one owner to another. */
import { z } from "zod";
import { revocationAnswer } from "./revocation.ts";

const envelope = z.string().min(1).max(4096);

/** `POST /v1/transfers` (owner, of its own agent): takes in what the giver signed */
export const transferOffer = z.strictObject({
  transfer: envelope.describe("DSSE transfer, signed by the owner who gives"),
});
export type TransferOffer = z.infer<typeof transferOffer>;

export const transferOfferAnswer = z.object({
  agent_id: z.string(),
  from: z.string().describe("own_… of the giver"),
  to: z.string().describe("own_… of who may take it"),
  expires_at: z.number().int(),
  offer: z.string().describe("two1.… text for the receiver; no secret"),
});
export type TransferOfferAnswer = z.infer<typeof transferOfferAnswer>;

/** `POST /v1/transfers/acceptance` (owner, the receiver): the same bytes, signed by both */
export const transferAcceptance = z.strictObject({
  offer: envelope.describe("DSSE transfer, signed by the owner who gives"),
  acceptance: envelope.describe("the same document, signed by the owner who takes it"),
});
export type TransferAcceptance = z.infer<typeof transferAcceptance>;

/** Returned when no verifier lets an instance of before act any more. */
export const transferAnswer = revocationAnswer.extend({
  agent_id: z.string(),
  owner_id: z.string().describe("who has it now"),
  agents: z.number().int().describe("of its subtree, itself among them"),
});
export type TransferAnswer = z.infer<typeof transferAnswer>;
