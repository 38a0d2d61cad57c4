/** Who there is, and how what somebody may be and prove itself with changes. */
import type {
  EndRequest,
  PasskeyAddition,
  PasskeyRemoval,
  PeopleList,
  PersonView,
  RolesRequest,
  SessionAnswer,
} from "@trustwarden/core/api/people.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { standingBehind } from "../../console/confirm.ts";
import { verifyNewPasskey, verifyWordOf } from "../../console/own-word.ts";
import type { PeopleChange, PersonState } from "../../store/people-ports.ts";
import { personOf } from "../caller.ts";
import { contextOf } from "../command-context.ts";
import type { Visit } from "../route.ts";
import type { Services } from "../services.ts";
import { type PageQuery, pageOf } from "./page.ts";
import { showSession } from "./people.ts";
import { spread } from "./revocation.ts";

type ById = { readonly id: string };

export async function listPeople(
  services: Services,
  { query }: Visit<unknown, PageQuery>,
): Promise<PeopleList> {
  const { items, last } = pageOf(query, (scan) => services.reads.listPeople(scan));
  return {
    people: items.map((person) => formatPerson(services, person)),
    next_cursor: last?.personId ?? null,
  };
}

/** @throws TrustWardenError `not_found`, `last_admin`, `owner_in_use`, `request_malformed`. */
export async function changeRoles(
  services: Services,
  visit: Visit<RolesRequest, unknown, ById>,
): Promise<PersonView> {
  const { id: personId } = visit.params;
  const vouchers = standingBehind(services, visit);
  await change(services, visit, { change: "set-roles", personId, roles: visit.body.roles, vouchers });
  return showPerson(services, personId);
}

/**
 * An owner who leaves takes its agents along, in one transaction: they stop at every verifier before this returns, and whoever
 * has to stay keeps them.
 *
 * @throws TrustWardenError `not_found`, `last_admin`, `owner_in_use`.
 */
export async function endPerson(
  services: Services,
  visit: Visit<EndRequest, unknown, ById>,
): Promise<PersonView> {
  const { commands, ledger, clock } = services;
  const startedMs = clock.monoMs();
  const personId = visit.params.id;
  const stopsAgents = visit.body.subtree === "suspend";
  const context = contextOf(services, visit);
  const ended = await commands.changePeople({ change: "end", personId, stopsAgents, context });
  const { stop } = ended.value;
  const stopped =
    stop === undefined
      ? undefined
      : spread(services, { committed: stop, targets: stop.value.targets, startedMs });
  await Promise.all([stopped, ledger.settle(ended)]);
  return showPerson(services, personId);
}

/** @throws TrustWardenError `passkey_invalid`, `challenge_invalid`, `challenge_used`, `passkey_reused`, `key_reused`, `quota_exceeded`. */
export async function addPasskey(services: Services, visit: Visit<PasskeyAddition>): Promise<SessionAnswer> {
  const { personId } = personOf(visit.caller);
  const { credential, assertion } = visit.body;
  const word = await verifyWordOf(services, assertion, "add-passkey");
  const added = await verifyNewPasskey(services, credential);
  await change(services, visit, { change: "add-passkey", personId, assertion: word.assertion, ...added });
  return showSession(services, visit);
}

/** @throws TrustWardenError `passkey_invalid`, `challenge_invalid`, `challenge_used`, `not_found`. */
export async function removePasskey(
  services: Services,
  visit: Visit<PasskeyRemoval>,
): Promise<SessionAnswer> {
  const { personId, sessionSha256 } = personOf(visit.caller);
  const { assertion } = await verifyWordOf(services, visit.body.assertion, "remove-passkey");
  const { credential_id: credentialId } = visit.body;
  await change(services, visit, {
    change: "remove-passkey",
    personId,
    credentialId,
    sessionSha256,
    assertion,
  });
  return showSession(services, visit);
}

async function change(services: Services, visit: Visit, made: PeopleChange): Promise<void> {
  const context = contextOf(services, visit);
  await services.ledger.settle(await services.commands.changePeople({ ...made, context }));
}

function showPerson(services: Services, personId: string): PersonView {
  const person = services.reads.findPerson(personId);
  if (person === undefined) throw new TrustWardenError("not_found", { kind: "person" });
  return formatPerson(services, person);
}

/** The name is for those who look after people; the address is nobody's to read. */
function formatPerson({ reads, people }: Services, person: PersonState): PersonView {
  const { personId, ownerId, roles, sealed, createdAt, endedAt } = person;
  return {
    person_id: personId,
    name: people.seal.open(sealed, personId).name,
    roles: [...roles],
    owner_id: ownerId,
    passkeys: reads.listPasskeys(personId).length,
    providers: [...reads.listIssuersOf(personId)],
    created_at: createdAt,
    ended_at: endedAt,
  };
}
