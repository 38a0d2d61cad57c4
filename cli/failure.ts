/**
 * Errors as a person reads them: what happened, why, what to do next.
 *
 * The code is the stable name; the three sentences may change. Nothing here is a secret: details of errors never are.
 */
import { ERRORS, type ErrorCode, TrustWardenError } from "@trustwarden/core/error.ts";
import type { Json } from "@trustwarden/core/json.ts";
import { printable } from "./output.ts";

/** Exit codes: 0 done, 1 refused or failed, 2 the command was written wrongly. */
export const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

/** One failure in three parts. */
export interface Failure {
  readonly code: ErrorCode;
  readonly what: string;
  readonly why: string;
  readonly next: string;
  readonly exitCode: number;
}

/** What to do next, for the codes that a person at a terminal meets; the others get the general advice. */
const NEXT: Partial<Record<ErrorCode, string>> = {
  usage: "See `warden --help`, or `--help` after any command; each shows examples.",
  server_unreachable:
    "Start the server with `warden up`, or name its directory with --data. A remote server needs --as <owner>.",
  server_untrusted:
    "Do not go on. If the server was set up anew, register the owner again with `warden owner create`.",
  file_mode_too_open:
    "Make it private: `chmod 600` the file and `chmod 700` its directory, then replace the key if others could read it.",
  unseal_key_inside_data: "Choose a configuration directory outside the data directory with --config-dir.",
  owner_exists: "Choose another name; `warden owner list` shows those that are taken.",
  owner_unknown: "See `warden owner list`; make an owner with `warden owner create <name>`.",
  not_found: "Look it up with `warden agent list` or `warden ledger query`.",
  claim_unknown: "Have the agent ask again: a code is good for ten minutes and one owner.",
  claim_mismatch: "Sign no more than `warden agent claim <code> --show` says that it asks for.",
  transfer_stale: "Look it up with `warden agent show`; it must be the giver's and alive.",
  transfer_below: "Hand over the agent that made it: `warden agent show` names that one.",
  transfer_expired: "Ask the giver for a new offer: `warden agent offer`.",
  scope_malformed: "Write each scope as verb:type or verb:type:path, such as read:transactions.",
  action_malformed: "Write the action as verb:type or verb:type:path, without wildcards.",
  ttl_malformed: "Write the lifetime as 30s, 10m, 1h or 7d.",
  name_malformed:
    "Use lower-case letters, digits, dot, dash and underscore; segments never start with inst-.",
  entry_invalid:
    "Sign a new one with `warden entry create`; `warden owner list` shows whose key is registered.",
  entry_exists: "Sign a new one with `warden entry create`; a removed entry never comes back.",
  selector_malformed: "Write each selector as type:value, such as unix:uid:1000 or github:repository_id:7.",
  selectors_too_weak:
    "Add whose workload it is: unix:uid, unix:user, systemd or container for processes, an account or repository id elsewhere.",
  scope_not_subset: "Ask for less than the parent has, or have its owner widen the parent first.",
  principal_refused:
    "The exact reason is in the ledger, not in the answer: an operator sees it with `warden ledger query --kind refuse`.",
  data_locked: "Stop the other server first; `warden doctor` shows who holds the lock.",
  data_rolled_back: "Restore the newest copy of the data directory; an older one would forget revocations.",
  ledger_fenced:
    "Nothing is lost: let this server end, and start it again only if the one that took over should not run.",
  ledger_corrupt: "Keep the directory as it is and run `warden ledger verify`: it names the place.",
  checkpoint_untrusted:
    "Check that the vkey belongs to this log; `warden ledger export` writes it beside the log.",
  checkpoint_unwitnessed:
    "Wait a few seconds and ask again; if it stays so, ask the log's operator which witness is silent.",
  witness_policy_malformed: "See docs/guides/witnesses.md; `warden witness policy` writes one.",
  witnesses_unreachable:
    "Bring the witnesses back and check that they follow this log; docs/guides/witnesses.md says what to do when they are gone for good.",
  log_misbehaved: "Keep the evidence that was saved and show it to others: it needs no further word of ours.",
  proof_invalid: "Keep the file and compare with another copy of the log: something was altered.",
  signature_invalid: "Keep the file and compare with another copy of the log: something was altered.",
  seal_broken: "Check that --config-dir and --trust-domain are those that the data directory was made with.",
  federation_untrusted:
    "Check the endpoint's SPIFFE ID or web certificate and the bundle at hand; nothing of the answer was believed.",
  federation_rollback: "Ask the other side. If it started anew, remove the relationship and create it again.",
  confirmation_required:
    "Repeat the command with --ask <reason>, have an admin confirm it in the console, then repeat it with --confirmation <id>.",
  mass_export_unconfirmed:
    "Look at one agent or one job, or repeat the command with --ask <reason>, have an admin confirm it in the console, then repeat it with --confirmation <id>.",
  rate_limited: "Wait a few seconds and try again.",
  overloaded: "Wait a few seconds and try again.",
};

const GENERAL_NEXT = "Run `warden doctor`; it checks the set-up and says what is wrong.";

/**
 * The three parts of any error that a command threw.
 *
 * @param refusal - what did not happen, in the command's own words.
 */
export function explainFailure(error: unknown, refusal: string): Failure {
  if (!(error instanceof TrustWardenError)) {
    const why = error instanceof Error ? error.message : String(error);
    return {
      code: "internal",
      what: refusal,
      why: printable(why),
      next: "This is a bug or a broken set-up: run `warden doctor`, and report it with the command that you ran.",
      exitCode: EXIT_FAILED,
    };
  }
  const { next } = error.details;
  return {
    code: error.code,
    what: refusal,
    why: formatWhy(error),
    next: typeof next === "string" ? next : (NEXT[error.code] ?? GENERAL_NEXT),
    exitCode: error.code === "usage" ? EXIT_USAGE : EXIT_FAILED,
  };
}

/**
 * The three parts of a command line that no command could read.
 *
 * @param usage.command - as far as it was understood, such as `warden agent ticket`.
 */
export function explainUsage({ command, why }: { readonly command: string; readonly why: string }): Failure {
  return {
    code: "usage",
    what: "The command is written wrongly; nothing was done.",
    why: printable(why.replaceAll("\n", " ")),
    next: `See \`${command} --help\`; it shows what is expected, with examples.`,
    exitCode: EXIT_USAGE,
  };
}

/** The failure as lines for a terminal. */
export function formatFailure(failure: Failure): string {
  return [
    `warden: ${failure.what}`,
    `  why:  ${failure.why} (${failure.code})`,
    `  next: ${failure.next}`,
    "",
  ].join("\n");
}

/** The failure as the `--json` form shows it. */
export function failureJson(failure: Failure): Json {
  const { code, what, why, next } = failure;
  return { error: { code, what, why, next } };
}

/** The facts of an error in one line; the counter-example of a delegation refusal is said in words. */
function formatWhy(error: TrustWardenError): string {
  const { next: _next, why, counterexample, ...facts } = error.details;
  const parts = [typeof why === "string" ? why : ERRORS[error.code].message];
  if (typeof counterexample === "string")
    parts.push(`the child could do ${counterexample} and its parent could not`);
  for (const [name, value] of Object.entries(facts)) parts.push(`${name}: ${String(value)}`);
  return printable(parts.join("; "));
}
