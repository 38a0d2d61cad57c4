/**
 * What a person may be: the four roles of people, and how a person is known.
 *
 * A role says what somebody may ask of the server; which rows of the route table that is stands in
 * `server/console/person-rows.ts`, and the policy demands it again by action.
 */

/**
 * `owner` answers for agents of its own, `auditor` reads everything and changes nothing, `operator` runs the place and
 * stops whatever has to stop, `admin` also decides who else may, and what binds everybody.
 */
export const ROLES = ["owner", "auditor", "operator", "admin"] as const;
export type Role = (typeof ROLES)[number];

/** Roles that see what belongs to everybody. */
const WIDE: readonly Role[] = ["auditor", "operator", "admin"];

/** Whether one of the roles sees more than its own agents. */
export function isWide(roles: readonly Role[]): boolean {
  return roles.some((role) => WIDE.includes(role));
}

/** Roles of any text; in their own order, each once. Unknown words are left out: a role nobody knows gives nothing. */
export function parseRoles(words: readonly string[]): readonly Role[] {
  return ROLES.filter((role) => words.includes(role));
}
