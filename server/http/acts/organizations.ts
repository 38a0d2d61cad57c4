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
  const { cursor: after = "", limit } = query;
  const found = reads.listOrganizations({ after, limit: limit + 1 });
  const page = found.slice(0, limit);
  const next = found.length > limit ? (page.at(-1)?.organizationId ?? null) : null;
  return { organizations: page.map(formatOrganization), next_cursor: next };
}

/** With its members, a page of them. @throws TrustWardenError `not_found`. */
export async function readOrganization(
  { reads, people }: Services,
  { params, query }: Visit<unknown, OrganizationQuery, ById>,
): Promise<OrganizationDetail> {
  const found = reads.findOrganization(params.id);
  if (found === undefined) throw new TrustWardenError("not_found", { kind: "organization" });
  const { cursor: after = "", limit } = query;
  const members = reads.listMembers({ organizationId: params.id, after, limit: limit + 1 });
  const page = members.slice(0, limit);
  return {
    ...formatOrganization(found),
    people: page.map(({ personId, role, ownerId, since }) => {
      const person = reads.findPerson(personId);
      const name = person === undefined ? "" : people.seal.open(person.sealed, personId).name;
      return { person_id: personId, name, role, owner_id: ownerId, since };
    }),
    next_cursor: members.length > limit ? (page.at(-1)?.personId ?? null) : null,
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
