/** Rows about agents that change hands. */
import {
  transferAcceptance,
  transferAnswer,
  transferOffer,
  transferOfferAnswer,
} from "@trustwarden/core/api/transfer.ts";
import { acceptTransfer, offerTransfer } from "../acts/transfers.ts";
import { defineGuarded, MAIN_AND_ADMIN, type Route } from "../route.ts";

/** Put on the table by `routes.ts`. */
export const TRANSFERS_ROUTES: readonly Route[] = [
  defineGuarded({
    method: "POST",
    path: "/v1/transfers",
    listeners: MAIN_AND_ADMIN,
    summary: "Offer an agent to another owner, signed by the owner who gives it",
    access: ["owner"],
    recording: "with_state",
    body: transferOffer,
    answer: transferOfferAnswer,
    action: () => "transfer:agent",
    // Whose agent it is stands in the signed document; the act refuses another's.
    subject: () => "self",
    act: offerTransfer,
  }),
  defineGuarded({
    method: "POST",
    path: "/v1/transfers/acceptance",
    listeners: MAIN_AND_ADMIN,
    summary: "Take an agent that was offered: the same document, signed by both owners",
    access: ["owner"],
    recording: "with_state",
    body: transferAcceptance,
    answer: transferAnswer,
    action: () => "transfer:agent",
    subject: () => "self",
    act: acceptTransfer,
  }),
];
