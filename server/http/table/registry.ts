/** Rows about owners, services and agents. */

import {
  ownerAnswer,
  ownerRequest,
  signedTicketRequest,
  ticketAnswer,
  verifierTicketRequest,
} from "@trustwarden/core/api/identity.ts";
import { agentList, agentQuery, agentView, ownerList, ownerQuery } from "@trustwarden/core/api/ledger.ts";
import { offerList } from "@trustwarden/core/api/offers.ts";
import { z } from "zod";
import { listOffers } from "../acts/offers.ts";
import { createOwner, createVerifierTicket, listAgents, listOwners, showAgent } from "../acts/registry.ts";
import { depositTicket } from "../acts/tickets.ts";
import { ownerLimitOf, relationOf } from "../relation.ts";
import { ADMIN_ONLY, CONSOLE_ONLY, defineGuarded, MAIN_AND_ADMIN, type Route } from "../route.ts";

const agentPath = z.object({ id: z.string().min(1).max(64) });

/** Put on the table by `routes.ts`. */
export const REGISTRY_ROUTES: readonly Route[] = [
  defineGuarded({
    method: "POST",
    path: "/v1/owners",
    listeners: ADMIN_ONLY,
    summary: "Register an owner's key",
    access: ["operator"],
    recording: "with_state",
    body: ownerRequest,
    answer: ownerAnswer,
    action: () => "create:owner",
    subject: () => "none",
    act: createOwner,
  }),
  defineGuarded({
    method: "GET",
    path: "/v1/owners",
    listeners: ADMIN_ONLY,
    summary: "All owners",
    access: ["operator"],
    recording: "single",
    query: ownerQuery,
    answer: ownerList,
    action: () => "read:owners",
    subject: () => "none",
    act: listOwners,
  }),
  defineGuarded({
    method: "POST",
    path: "/v1/verifier-tickets",
    listeners: ADMIN_ONLY,
    summary: "A ticket for one service",
    access: ["operator"],
    recording: "with_state",
    body: verifierTicketRequest,
    answer: ticketAnswer,
    action: () => "create:verifier-ticket",
    subject: () => "none",
    act: createVerifierTicket,
  }),
  defineGuarded({
    method: "POST",
    path: "/v1/tickets",
    listeners: CONSOLE_ONLY,
    summary: "Take in a ticket for one agent, signed by a passkey of its owner",
    access: ["person"],
    roles: ["owner"],
    recording: "with_state",
    body: signedTicketRequest,
    answer: ticketAnswer,
    action: () => "create:ticket",
    subject: () => "self",
    act: depositTicket,
  }),
  defineGuarded({
    method: "GET",
    path: "/v1/offers",
    listeners: MAIN_AND_ADMIN,
    summary: "Agents that wait to be taken over or claimed, and people who were invited",
    access: ["owner", "operator"],
    recording: "single",
    answer: offerList,
    action: () => "read:agents",
    subject: (_services, { caller: { principal } }) =>
      ownerLimitOf(principal) === undefined ? "none" : "self",
    act: listOffers,
  }),
  defineGuarded({
    method: "GET",
    path: "/v1/agents",
    listeners: MAIN_AND_ADMIN,
    summary: "Agents and their instances",
    access: ["owner", "operator"],
    recording: "single",
    query: agentQuery,
    answer: agentList,
    action: () => "read:agents",
    // An owner's list is cut to its own agents; naming another owner is refused, not silently replaced.
    subject: ({ reads }, { caller: { principal }, query }) =>
      ownerLimitOf(principal) !== undefined && query.owner === undefined
        ? "self"
        : relationOf(reads, principal, { kind: "agents-of", id: query.owner ?? "" }),
    act: listAgents,
  }),
  defineGuarded({
    method: "GET",
    path: "/v1/agents/:id",
    listeners: MAIN_AND_ADMIN,
    summary: "One agent and its instances",
    access: ["owner", "operator"],
    recording: "single",
    params: agentPath,
    answer: agentView,
    action: () => "read:agents",
    subject: ({ reads }, { caller, params }) =>
      relationOf(reads, caller.principal, { kind: "agent", id: params.id }),
    act: showAgent,
  }),
];
