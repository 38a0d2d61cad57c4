/**
 * Registration entries: an owner registers what it signed, an operator admits nodes, both see and remove what is theirs.
 */
import {
  parseUnverifiedEntryOwner,
  verifyRegistrationEntry,
} from "@trustwarden/core/agentid/registration-entry.ts";
import {
  formatSelectors,
  parseSelectors,
  requireStrongSelectors,
} from "@trustwarden/core/agentid/selector.ts";
import type { EntryAnswer, EntryList, EntryRequest, EntryView } from "@trustwarden/core/api/registration.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { fileKeyOf } from "../../console/owner-signature.ts";
import type { Committed } from "../../store/ports.ts";
import type { CreateEntryCommand, EntryState } from "../../store/registration-ports.ts";
import type { Caller } from "../caller.ts";
import { contextOf } from "../command-context.ts";
import { ownerLimitOf } from "../relation.ts";
import type { Visit } from "../route.ts";
import type { Services } from "../services.ts";
import { announce } from "./revocation.ts";

/** @throws TrustWardenError `denied` for the other's kind of entry, and the codes of entries. */
export async function createEntry(services: Services, visit: Visit<EntryRequest>): Promise<EntryAnswer> {
  const context = contextOf(services, visit);
  const entry = verifyEntry(services, visit);
  return answer(services, await services.commands.createEntry({ context, entry }));
}

/** Whose it is was decided before. @throws TrustWardenError `not_found`. */
export async function removeEntry(
  services: Services,
  visit: Visit<unknown, unknown, { readonly id: string }>,
): Promise<EntryAnswer> {
  const context = contextOf(services, visit);
  const entryId = visit.params.id;
  return answer(services, await services.commands.removeEntry({ context, entryId }));
}

/** An owner sees its own entries, an operator all, those of nodes too. @throws TrustWardenError `clock_rolled_back`. */
export async function listEntries(
  services: Services,
  { caller, query }: Visit<unknown, { readonly cursor?: string | undefined; readonly limit: number }>,
): Promise<EntryList> {
  const now = services.clock.trustedSeconds();
  const ownerId = ownerLimitOf(caller.principal);
  const found = services.reads.listEntries({
    ...(ownerId === undefined ? {} : { ownerId }),
    ...(query.cursor === undefined ? {} : { after: query.cursor }),
    limit: query.limit,
  });
  const next = found.length < query.limit ? null : (found.at(-1)?.entryId ?? null);
  return { entries: found.map((entry) => formatEntry(entry, now)), next_cursor: next };
}

/** An owner brings what it signed itself; nobody registers an entry in another's name. */
function verifyEntry(services: Services, { caller, body }: Visit<EntryRequest>): CreateEntryCommand["entry"] {
  if ("node_entry" in body) {
    requireKind(caller, "operator");
    const { name, selectors: texts } = body.node_entry;
    const selectors = parseSelectors(texts);
    requireStrongSelectors(selectors);
    return { kind: "node", document: { name, selectors: formatSelectors(selectors) } };
  }
  requireKind(caller, "owner");
  const ownerId = parseUnverifiedEntryOwner(body.entry);
  if (caller.principal.kind !== "owner" || caller.principal.ownerId !== ownerId)
    throw new TrustWardenError("entry_invalid", { field: "owner" });
  const owner = services.reads.findOwner(ownerId);
  if (owner === undefined) throw new TrustWardenError("owner_unknown");
  const document = verifyRegistrationEntry(body.entry, {
    publicKey: fileKeyOf(owner),
    audience: services.trustDomain,
    now: services.clock.trustedSeconds(),
  });
  return { kind: "agent", document, envelope: body.entry };
}

function requireKind({ principal }: Caller, kind: "owner" | "operator"): void {
  if (principal.kind !== kind) throw new TrustWardenError("denied", { kind: principal.kind });
}

/** Nodes are told to fetch again. Nobody waits until they have: an entry voids no decision and stops nobody. */
async function answer(
  services: Services,
  committed: Committed<{ readonly entryId: string }>,
): Promise<EntryAnswer> {
  const { entryId } = committed.value;
  await announce(services, committed, [{ kind: "entry", id: entryId }]);
  return { entry_id: entryId, epoch: committed.epoch, event_id: committed.eventId };
}

function formatEntry(entry: EntryState, now: number): EntryView {
  const { entryId, kind, createdAt, isRemoved } = entry;
  const common = { entry_id: entryId, created_at: createdAt };
  if (kind === "node") {
    const { name, selectors } = entry.document;
    return {
      ...common,
      kind,
      owner_id: null,
      path: "",
      name,
      scope: [],
      ttl_seconds: null,
      selectors: [...selectors],
      nodes: [],
      hint: "",
      status: isRemoved ? "removed" : "live",
      expires_at: null,
    };
  }
  const { owner, path, name, scope, ttl_seconds, selectors, nodes, hint, exp } = entry.document;
  return {
    ...common,
    kind,
    owner_id: owner,
    path,
    name,
    scope: [...scope],
    ttl_seconds,
    selectors: [...selectors],
    nodes: [...nodes],
    hint,
    status: isRemoved ? "removed" : now >= exp ? "expired" : "live",
    expires_at: exp,
  };
}
