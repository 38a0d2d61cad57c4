/** Organizations: made, named, filled and ended; each change with its event. */
import type {
  MemberRemoval,
  MemberRequest,
  OrganizationDetail,
  OrganizationList,
  OrganizationQuery,
  OrganizationRequest,
  OrganizationView,
} from "@trustwarden/core/api/organizations.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { formatUlid } from "@trustwarden/core/id.ts";
import type { OrganizationChange, OrganizationState } from "../../store/organization-ports.ts";
import { contextOf } from "../command-context.ts";
import type { Visit } from "../route.ts";
import type { Services } from "../services.ts";
import { pageOf } from "./page.ts";

type ById = { readonly id: string };

/** @throws TrustWardenError `organization_exists`, `quota_exceeded`. */
export async function createOrganization(
  services: Services,
  visit: Visit<OrganizationRequest>,
): Promise<OrganizationView> {
  const id = `org_${formatUlid(services.clock.nowMs(), services.random)}`;
  await change(services, visit, { change: "create", id, name: visit.body.name });
  return showOrganization(services, id);
}

/** @throws TrustWardenError `not_found`, `organization_exists`. */
export async function renameOrganization(
  services: Services,
  visit: Visit<OrganizationRequest, unknown, ById>,
): Promise<OrganizationView> {
  const { id } = visit.params;
  await change(services, visit, { change: "rename", id, name: visit.body.name });
  return showOrganization(services, id);
}

export async function listOrganizations(
  { reads }: Services,
  { query }: Visit<unknown, OrganizationQuery>,
): Promise<OrganizationList> {
  const { items, last } = pageOf(query, (scan) => reads.listOrganizations(scan));
  return { organizations: items.map(formatOrganization), next_cursor: last?.organizationId ?? null };
}

/** With its members, a page of them. @throws TrustWardenError `not_found`. */
export async function readOrganization(
  services: Services,
  { params, query }: Visit<unknown, OrganizationQuery, ById>,
): Promise<OrganizationDetail> {
  const { reads, people } = services;
  const { items, last } = pageOf(query, (scan) => reads.listMembers({ organizationId: params.id, ...scan }));
  return {
    ...showOrganization(services, params.id),
    people: items.map(({ personId, role, ownerId, since }) => {
      const person = reads.findPerson(personId);
      const name = person === undefined ? "" : people.seal.open(person.sealed, personId).name;
      return { person_id: personId, name, role, owner_id: ownerId, since };
    }),
    next_cursor: last?.personId ?? null,
  };
}

/** @throws TrustWardenError `not_found`, `quota_exceeded`. */
export async function setMember(
  services: Services,
  visit: Visit<MemberRequest, unknown, ById>,
): Promise<OrganizationView> {
  const { id } = visit.params;
  const { person: personId, role } = visit.body;
  await change(services, visit, { change: "set-member", id, personId, role });
  return showOrganization(services, id);
}

/** @throws TrustWardenError `not_found`. */
export async function removeMember(
  services: Services,
  visit: Visit<MemberRemoval, unknown, ById>,
): Promise<OrganizationView> {
  const { id } = visit.params;
  await change(services, visit, { change: "remove-member", id, personId: visit.body.person });
  return showOrganization(services, id);
}

/** @throws TrustWardenError `not_found`, `organization_in_use`. */
export async function endOrganization(
  services: Services,
  visit: Visit<unknown, unknown, ById>,
): Promise<{ readonly ended: true }> {
  await change(services, visit, { change: "end", id: visit.params.id });
  return { ended: true };
}

async function change(services: Services, visit: Visit, organization: OrganizationChange): Promise<void> {
  const context = contextOf(services, visit);
  const command = { change: "organization", organization, context } as const;
  await services.ledger.settle(await services.commands.changePeople(command));
}

function showOrganization({ reads }: Services, id: string): OrganizationView {
  const found = reads.findOrganization(id);
  if (found === undefined) throw new TrustWardenError("not_found", { kind: "organization" });
  return formatOrganization(found);
}

function formatOrganization({
  organizationId,
  name,
  members,
  createdAt,
}: OrganizationState): OrganizationView {
  return { organization_id: organizationId, name, members, created_at: createdAt };
}
