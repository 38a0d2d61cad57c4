/** HTTP API: offers that wait for somebody: agents to be taken over, agents to be claimed, people who were invited. */
import { z } from "zod";

const offerView = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("transfer"),
    agent_id: z.string(),
    from: z.string().describe("own_…"),
    to: z.string().describe("own_…"),
    expires_at: z.number().int(),
  }),
  z.object({
    kind: z.literal("claim"),
    claim_id: z.string().describe("the code that answers it is the agent's alone"),
    path: z.string(),
    name: z.string(),
    owner_id: z.string().nullable().describe("for whom it waits; null for whoever is shown the code"),
    expires_at: z.number().int(),
  }),
  z.object({
    kind: z.literal("invitation"),
    roles: z.array(z.string()),
    person_id: z.string().nullable().describe("who is to come back by it"),
    created_by: z.string().nullable().describe("principals, separated by spaces"),
    expires_at: z.number().int(),
  }),
]);
export type OfferView = z.infer<typeof offerView>;

/** `GET /v1/offers`: an owner's own, given and to be taken; everybody's, and the invitations, for who sees everything. */
export const offerList = z.object({ offers: z.array(offerView) });
export type OfferList = z.infer<typeof offerList>;
