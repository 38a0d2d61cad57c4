/**
 * Somebody comes in by a link, with a passkey: a new person, or a known one with a new key.
 *
 * One person is one owner: a passkey belongs to one person for ever, as any key does, and so does an address, compared by
 * how it looks. The owner that a person becomes is known by its first passkey.
 */
import { formatOwnerKeyid } from "@trustwarden/core/agentid/enrolment.ts";
import { parseP256PublicKey } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { formatUlid } from "@trustwarden/core/id.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import type { LinkState, NewPasskey, PeopleChanged, PeopleCommand } from "../../people-ports.ts";
import { findPerson, formatRoles } from "../../people-rows.ts";
import type { SqliteDatabase } from "../../sqlite-database.ts";
import { claimKey } from "../claims.ts";
import { type CommandDeps, type CommandResult, secondsOf } from "../deps.ts";
import { endLinksOf, useLink } from "./links.ts";
import { addPasskey, claimChallenge, removePasskeys } from "./passkeys.ts";
import { passkeyDetails, peopleEvent } from "./people-events.ts";
import { endSessions, openSession } from "./sessions.ts";
import { vouchFor } from "./vouching.ts";

const INSERT_PERSON = `
  INSERT INTO people (person_id, owner_id, roles, sealed, address_look, created_at) VALUES (?, ?, ?, ?, ?, ?)`;
const FIND_LOOK = "SELECT person_id FROM people WHERE address_look = ?";
const FIND_OWNED = "SELECT person_id FROM people WHERE owner_id = ?";
const INSERT_OWNER = "INSERT INTO owners (owner_id, name, spki, created_at) VALUES (?, ?, ?, ?)";
const INSERT_MEMBER =
  "INSERT INTO memberships (organization_id, person_id, since) VALUES (?, ?, ?) ON CONFLICT DO NOTHING";

type Register = Extract<PeopleCommand, { readonly change: "register" }>;

/** @throws TrustWardenError `link_invalid`, `challenge_used`, `passkey_reused`, `person_exists`. */
export function register(
  database: SqliteDatabase,
  command: Register,
  deps: CommandDeps,
): CommandResult<PeopleChanged> {
  const now = secondsOf(command.context);
  const link = useLink(database, { linkSha256: command.linkSha256, now });
  claimChallenge(database, command.challenge);
  return link.kind === "recovery"
    ? recover(database, { command, link, now })
    : admit(database, { command, link, now }, deps);
}

interface Coming {
  readonly command: Register;
  readonly link: LinkState & { readonly addressLook: string | null };
  readonly now: number;
}

function admit(
  database: SqliteDatabase,
  { command, link, now }: Coming,
  deps: CommandDeps,
): CommandResult<PeopleChanged> {
  const { personId, passkey, sealed, addressLook } = command;
  const isNewOwner = link.roles.includes("owner") && link.ownerId === null;
  const ownerId = isNewOwner
    ? `own_${formatUlid(command.context.nowMs, deps.random)}`
    : ownerOf(database, link);
  // Before anything else is written of the key: it belongs to its holder for ever.
  claimKey(database, passkey.spki, ownerId ?? personId);
  if (isNewOwner && ownerId !== null) insertOwner(database, { ownerId, personId, passkey, now });
  insertPerson(database, { personId, ownerId, link, sealed, addressLook, now });
  addPasskey(database, { passkey, personId, now });
  vouchFor(database, { personId, by: link.createdBy, now });
  openSession(database, { session: command.session, personId, via: "passkey", now });
  const details = {
    person: personId,
    roles: [...link.roles],
    link_kind: link.kind,
    organization: link.organizationId,
    ...passkeyDetails(command.passkey),
  };
  if (!isNewOwner || ownerId === null) {
    return peopleEvent("person", { id: personId, change: "register", ownerId, details });
  }
  return ownerEvent({ personId, ownerId, spki: passkey.spki }, details);
}

/** @throws TrustWardenError `person_exists` also for an address that looks like somebody's. */
export function insertPerson(
  database: SqliteDatabase,
  coming: {
    readonly personId: string;
    readonly ownerId: string | null;
    readonly link: Coming["link"];
    readonly sealed: Uint8Array;
    /** Of the address that the person gives; the link's own goes before. */
    readonly addressLook: string | null;
    readonly now: number;
  },
): void {
  const { personId, ownerId, link, sealed, now } = coming;
  const addressLook = link.addressLook ?? coming.addressLook;
  if (findPerson(database, personId) !== undefined) throw new TrustWardenError("person_exists");
  if (addressLook !== null && database.get(FIND_LOOK, addressLook) !== undefined) {
    throw new TrustWardenError("person_exists", { reason: "address" });
  }
  database.run(INSERT_PERSON, personId, ownerId, formatRoles(link.roles), sealed, addressLook, now);
  if (link.organizationId !== null) database.run(INSERT_MEMBER, link.organizationId, personId, now);
}

/** An owner that a person is; known by the person's first passkey. */
export function insertOwner(
  database: SqliteDatabase,
  {
    ownerId,
    personId,
    passkey,
    now,
  }: {
    readonly ownerId: string;
    readonly personId: string;
    readonly passkey: NewPasskey;
    readonly now: number;
  },
): void {
  database.run(INSERT_OWNER, ownerId, personId, passkey.spki, now);
}

/** The event of an owner, as one whose key an operator registers leaves it: whoever checks tickets offline finds the key. */
export function ownerEvent(
  {
    personId,
    ownerId,
    spki,
  }: {
    readonly personId: string;
    readonly ownerId: string;
    readonly spki: Uint8Array;
  },
  details: JsonObject,
): CommandResult<PeopleChanged> {
  const keyid = formatOwnerKeyid(parseP256PublicKey(spki));
  return {
    value: { id: personId },
    draft: {
      kind: "owner",
      allow: true,
      reasons: [],
      subject: ownerId,
      chain: [`owner:${ownerId}`],
      details: { owner: ownerId, keyid, change: "register", ...details },
    },
  };
}

/** A person who comes back has a new key, and neither a key nor a session of before: those may be in other hands. */
function recover(database: SqliteDatabase, { command, link, now }: Coming): CommandResult<PeopleChanged> {
  const person = findPerson(database, link.personId ?? "");
  if (person === undefined || person.endedAt !== null || person.personId !== command.personId) {
    throw new TrustWardenError("link_invalid", { reason: "another person" });
  }
  const { personId } = person;
  endSessions(database, { personId, now });
  removePasskeys(database, { personId, now });
  const linksEnded = endLinksOf(database, { personId, now });
  claimKey(database, command.passkey.spki, personId);
  addPasskey(database, { passkey: command.passkey, personId, now });
  vouchFor(database, { personId, by: link.createdBy, now });
  openSession(database, { session: command.session, personId, via: "passkey", now });
  const details = { person: personId, links_ended: linksEnded, ...passkeyDetails(command.passkey) };
  return peopleEvent("person", { id: personId, change: "recover", ownerId: person.ownerId, details });
}

/** The owner that an invited person is. @throws TrustWardenError `person_exists` when it is somebody already. */
export function ownerOf(database: SqliteDatabase, { ownerId }: LinkState): string | null {
  if (ownerId !== null && database.get(FIND_OWNED, ownerId) !== undefined) {
    throw new TrustWardenError("person_exists", { reason: "the owner is somebody" });
  }
  return ownerId;
}
