/** Codes about how agents come to be and change hands. Part of the table in `error.ts`. */
import type { ErrorEntry } from "./error-entry.ts";

/** See `ERRORS`. */
export const REGISTRATION_ERRORS = {
  transfer_invalid: { status: 400, message: "The transfer is not as both owners have to sign it." },
  transfer_expired: { status: 403, message: "The offer has expired; ask for a new one." },
  transfer_not_offered: { status: 403, message: "The owner who gives has not offered this." },
  transfer_used: { status: 409, message: "The offer was made or taken before." },
  transfer_stale: { status: 409, message: "The agent is not any more what was offered." },
  transfer_below: { status: 409, message: "An agent that another agent made goes with that one." },
  name_confusable: {
    status: 409,
    message: "The name looks like that of another agent; choose one that nobody confuses.",
  },
  claim_unknown: {
    status: 404,
    message: "No agent waits under this code: it is mistyped, was used, or is over.",
  },
  claim_mismatch: {
    status: 409,
    message: "The ticket is not for the agent that waits, or for more than it asked.",
  },
  claim_waiting: { status: 409, message: "Nobody has answered for the agent yet; ask again." },
  registration_costly: {
    status: 429,
    message: "The owner registers many new agents right now: bring the work that is asked for, or wait.",
  },
} as const satisfies Record<string, ErrorEntry>;
