/** HTTP API: organizations and their members. Served to the console and to operators. */
import { z } from "zod";

const organizationId = z.string().regex(/^org_[0-9A-HJKMNP-TV-Z]{26}$/);
const name = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,62}$/);
const personId = z.string().regex(/^prs_[0-9A-HJKMNP-TV-Z]{26}$/);
export const memberRole = z.enum(["member", "admin"]);

/** `POST /v1/organizations`, `POST /v1/organizations/:id/name` */
export const organizationRequest = z.strictObject({ name });
export type OrganizationRequest = z.infer<typeof organizationRequest>;

/** `:id` of an organization. */
export const organizationPath = z.object({ id: z.string().min(1).max(64) });

export const organizationView = z.object({
  organization_id: organizationId,
  name: z.string(),
  members: z.number().int(),
  created_at: z.number().int(),
});
export type OrganizationView = z.infer<typeof organizationView>;

/** `GET /v1/organizations`, `GET /v1/organizations/:id` */
export const organizationQuery = z.strictObject({
  cursor: z.string().max(64).optional(),
  limit: z.coerce.number().int().min(1).max(500).default(100),
});
export type OrganizationQuery = z.infer<typeof organizationQuery>;
export const organizationList = z.object({
  organizations: z.array(organizationView),
  next_cursor: z.string().nullable(),
});
export type OrganizationList = z.infer<typeof organizationList>;

export const organizationDetail = organizationView.extend({
  people: z.array(
    z.object({
      person_id: personId,
      name: z.string(),
      role: memberRole,
      owner_id: z.string().nullable().describe("the owner that the member is; its agents belong here"),
      since: z.number().int(),
    }),
  ),
  next_cursor: z.string().nullable(),
});
export type OrganizationDetail = z.infer<typeof organizationDetail>;

/** `POST /v1/organizations/:id/members`: adds somebody, or changes what it is there. */
export const memberRequest = z.strictObject({ person: personId, role: memberRole.default("member") });
export type MemberRequest = z.infer<typeof memberRequest>;

/** `POST /v1/organizations/:id/members/removal` */
export const memberRemoval = z.strictObject({ person: personId });
export type MemberRemoval = z.infer<typeof memberRemoval>;

export const organizationEnded = z.object({ ended: z.literal(true) });
