/** What the roles are, in a few words. */
import type { Role } from "@trustwarden/core/role.ts";

/** In the order in which they are offered. */
export const ROLE_MEANINGS: readonly { readonly role: Role; readonly meaning: string }[] = [
  { role: "owner", meaning: "answers for agents of their own" },
  { role: "auditor", meaning: "reads everything, changes nothing" },
  { role: "operator", meaning: "runs the place, stops what has to stop" },
  { role: "admin", meaning: "decides who else may" },
];
