/** Codes about people: how they come, what they prove, and what one of them may not do alone. Part of the table in `error.ts`. */
import { type ErrorEntry, NOT_AUTHENTICATED, UNAVAILABLE } from "./error-entry.ts";

/** See `ERRORS`. */
export const PEOPLE_ERRORS = {
  no_session: { status: 401, message: NOT_AUTHENTICATED },
  session_invalid: { status: 401, message: NOT_AUTHENTICATED },
  link_invalid: { status: 401, message: NOT_AUTHENTICATED },
  passkey_invalid: { status: 401, message: NOT_AUTHENTICATED },
  challenge_invalid: { status: 401, message: NOT_AUTHENTICATED },
  challenge_used: { status: 401, message: NOT_AUTHENTICATED },
  identity_refused: { status: 401, message: NOT_AUTHENTICATED },
  identity_unknown: { status: 401, message: NOT_AUTHENTICATED },
  identity_provider_unavailable: { status: 503, message: UNAVAILABLE },
  sign_in_again: {
    status: 403,
    message: "Sign in again through your identity provider; the first passkey is made right after that.",
  },
  confirmation_required: {
    status: 403,
    message: "A second admin has to confirm exactly this request first: POST /v1/confirmations.",
  },
  mass_export_unconfirmed: {
    status: 403,
    message:
      "You have read as much of everybody's today as one person may alone. A second admin has to confirm exactly this request: POST /v1/confirmations.",
  },
  confirmation_pending: { status: 403, message: "Nobody has confirmed this request yet." },
  confirmation_invalid: { status: 403, message: "The confirmation is not for this request now." },
  second_admin_required: { status: 403, message: "Another admin has to confirm this." },
  backup_not_configured: { status: 409, message: "This server has no place for backups." },
  backup_running: { status: 409, message: "A backup is being made." },
  restore_held: {
    status: 503,
    message: "This server was restored, and issues and allows nothing until two admins have agreed to that.",
  },
  last_admin: { status: 409, message: "Somebody has to be an admin." },
  owner_in_use: { status: 409, message: "Somebody has to answer for the owner's live agents." },
  organization_exists: { status: 409, message: "An organization has, or had, this name." },
  organization_in_use: { status: 409, message: "Members of the organization answer for live agents." },
  person_exists: { status: 409, message: "This is somebody already, or looks like somebody." },
  passkey_reused: { status: 409, message: "The passkey was registered before; make a new one." },
  address_refused: { status: 400, message: "Write the address as plain ASCII, such as ada@acme.test." },
} as const satisfies Record<string, ErrorEntry>;
