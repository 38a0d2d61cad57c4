/** The part of the state store that knows organizations and their members. In the manner of `people-ports.ts`. */

/** `admin` sees and stops the agents of every member, and nothing else of theirs. */
export const MEMBER_ROLES = ["member", "admin"] as const;
export type MemberRole = (typeof MEMBER_ROLES)[number];

/** An organization that has not ended. */
export interface OrganizationState {
  /** `org_<ulid>` */
  readonly organizationId: string;
  readonly name: string;
  /** Unix seconds. */
  readonly createdAt: number;
  readonly members: number;
}

export interface MemberState {
  readonly organizationId: string;
  readonly personId: string;
  /** Of the owner that the member is; its agents belong to the organization. */
  readonly ownerId: string | null;
  readonly role: MemberRole;
  /** Unix seconds. */
  readonly since: number;
}

/** What happens to organizations. */
export type OrganizationChange =
  | { readonly change: "create"; readonly id: string; readonly name: string }
  | { readonly change: "rename"; readonly id: string; readonly name: string }
  | {
      readonly change: "set-member";
      readonly id: string;
      readonly personId: string;
      readonly role: MemberRole;
    }
  | { readonly change: "remove-member"; readonly id: string; readonly personId: string }
  | { readonly change: "end"; readonly id: string };

export interface OrganizationReads {
  findOrganization(organizationId: string): OrganizationState | undefined;
  /** By id, after one of them. */
  listOrganizations(query: { readonly after: string; readonly limit: number }): readonly OrganizationState[];
  /** By person, after one of them. */
  listMembers(query: {
    readonly organizationId: string;
    readonly after: string;
    readonly limit: number;
  }): readonly MemberState[];
  listMembershipsOf(personId: string): readonly (MemberState & { readonly name: string })[];
  /** Whether somebody is an admin of an organization that an owner belongs to. */
  administersOwner(query: { readonly personId: string; readonly ownerId: string }): boolean;
}
