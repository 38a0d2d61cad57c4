/**
 * What no admin does alone, row by row: the whole list. Asked with a session it is done once a second admin has confirmed exactly
 * that request; the admin socket belongs to the host's operator, who may have the same asked there (`console.secondAdmin`).
 *
 * A restore happens without a server, by whoever has the host and the key. The server that comes of it waits for two admins: that is
 * the row of its release.
 */
import { evidenceQuery } from "@trustwarden/core/api/ledger.ts";
import { linkRequest, personPath, rolesRequest } from "@trustwarden/core/api/people.ts";
import { z } from "zod";
import { ownerLimitOf } from "../http/relation.ts";
import { formatRoute, type NeedsConfirmation, type Route } from "../http/route.ts";
import { COUNTED_ROWS } from "./reading-allowance.ts";

/** Of both rows about somebody; the rest of the body is the row's own. */
const rolesChange = z.looseObject({ roles: rolesRequest.shape.roles.optional() });
const always: NeedsConfirmation = () => true;

/**
 * Everybody's events of a time are a mass export, and payloads are content; what else an event, agent or job shows is neither.
 * An owner is refused both anyway.
 */
const whenOfEverybody: NeedsConfirmation = (_services, { caller, query }) => {
  if (ownerLimitOf(caller.principal) !== undefined) return false;
  const { event, agent, job, payloads } = evidenceQuery.parse(query);
  if (payloads === "true") return true;
  return event === undefined && agent === undefined && job === undefined;
};

/** A further admin, somebody's new passkey, or another key for an owner. */
const whenOfPower: NeedsConfirmation = (_services, { body }) => {
  const { roles = [], person, owner } = linkRequest.parse(body);
  return roles.includes("admin") || person !== undefined || owner !== undefined;
};

/** Somebody who is an admin, or is to be one. Ending every other admin would leave the first alone. */
const whenOfAdmin: NeedsConfirmation = ({ reads }, { params, body }) => {
  const { id } = personPath.parse(params);
  const { roles } = rolesChange.parse(body);
  return roles?.includes("admin") === true || reads.findPerson(id)?.roles.includes("admin") === true;
};

const CONFIRMED_ROWS: Readonly<Record<string, NeedsConfirmation>> = {
  "POST /v1/authority/steps": always,
  "POST /v1/federations": always,
  "POST /v1/federations/:trust_domain/bundle": always,
  "POST /v1/policy": always,
  "POST /v1/ledger/turns": always,
  "POST /v1/secret-keys/rotation": always,
  "GET /v1/payloads/:event_id": always,
  "POST /v1/payloads/:event_id/erasure": always,
  "POST /v1/restore/release": always,
  "POST /v1/backups": always,
  "GET /v1/evidence": whenOfEverybody,
  "POST /v1/people/links": whenOfPower,
  "POST /v1/people/:id/roles": whenOfAdmin,
  "POST /v1/people/:id/end": whenOfAdmin,
};

/** When a row waits for a second admin; undefined for what never does. */
export function confirmationOf(route: Route): NeedsConfirmation | undefined {
  return CONFIRMED_ROWS[formatRoute(route)];
}

/** The row of the list that a request is for; undefined when there is none to ask about. */
export function confirmedRowOf(request: {
  readonly method: string;
  readonly target: string;
}): string | undefined {
  const [path = ""] = request.target.split("?");
  // Lists wait for a second admin when a day's lines are used up.
  const rows = [...Object.keys(CONFIRMED_ROWS), ...COUNTED_ROWS];
  return rows.find((row) => isOf(row, `${request.method} ${path}`));
}

function isOf(row: string, name: string): boolean {
  const [wanted, given] = [row.split("/"), name.split("/")];
  return (
    wanted.length === given.length &&
    wanted.every((part, index) => part === given[index] || (part.startsWith(":") && given[index] !== ""))
  );
}
