/** What went wrong, in three parts: what happened, why, and what to do next. */
import type { ReactElement } from "react";
import { ApiError } from "../api/client.ts";

/** What a person can do about the refusals that they meet most. */
const NEXT: Readonly<Record<string, string>> = {
  unreachable: "Check that the server runs: `warden doctor`. The page tries again when you do.",
  principal_refused: "Sign in again, or ask an admin for the role that this needs.",
  denied: "Your role does not allow this. An admin can give you another one under People.",
  not_found: "Check the spelling. What is not yours looks like what does not exist.",
  request_malformed: "Check what you entered; the server could not read it.",
  rate_limited: "Wait a few seconds and try again.",
  overloaded: "Wait a few seconds and try again. Stopping an agent works all the same.",
  ledger_search_late: "Narrow the search: add an agent, an owner or a time.",
  ledger_unavailable: "Nothing was done. Look at `warden doctor` on the server.",
  owner_exists: "Choose another name.",
  passkey_invalid: "Nothing was done. Try again, with another of your passkeys if you have one.",
  NotAllowedError: "Nothing was signed. Try again when your passkey is at hand.",
  second_admin_required:
    "Neither of the two may have let in or raised the other within a day; have a third admin look.",
  mass_export_unconfirmed:
    "An agent, a job or an event by its name goes on. More of everybody's is a second admin's to agree to: a page of the Ledger at a time, or all of it as one file.",
  confirmation_pending: "Wait until another admin has confirmed it, under Confirmations.",
  confirmation_invalid: "Nothing was done. It may be over, refused or used: ask again where it is done.",
  claim_unknown:
    "Have the agent ask again, and read the new code: one is good for ten minutes and one owner.",
  claim_mismatch:
    "Nothing was signed for. Look the code up again: the agent may have asked for something else.",
  transfer_invalid: "Copy the whole text, from two1 on; or have the giver offer it again.",
  transfer_expired: "Ask for a new offer: one is good for ten minutes.",
  transfer_not_offered: "Have the giver offer it again.",
  transfer_used: "It is done, or was: look under Agents, or ask for a new offer.",
  transfer_stale: "The agent is not the giver's any more, or was stopped: ask whether there is a new offer.",
  last_admin: "Make somebody else an admin first.",
  owner_in_use: "Have the owner's agents stop with it, or let somebody else answer for them.",
};

/** A failure with its code. */
export function Problem({
  error,
  retry,
}: {
  readonly error: unknown;
  readonly retry?: () => void;
}): ReactElement {
  const code = error instanceof ApiError ? error.code : codeOf(error);
  const message = error instanceof Error ? error.message : String(error);
  return (
    <div className="problem" role="alert">
      <p>
        <code>{code}</code> {message}
      </p>
      {error instanceof ApiError && error.counterexample !== undefined ? (
        <p>
          For example: <code>{error.counterexample}</code>
        </p>
      ) : null}
      <p className="muted">
        {NEXT[code] ?? "The code is explained in docs/errors.md; the ledger has the details."}
      </p>
      {retry === undefined ? null : (
        <button type="button" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}

/** Failures of the verifier carry the codes of the same table; those of a passkey have names. */
function codeOf(error: unknown): string {
  if (error instanceof DOMException) return error.name;
  if (typeof error === "object" && error !== null && "code" in error && typeof error.code === "string") {
    return error.code;
  }
  return "error";
}
