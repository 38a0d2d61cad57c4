/**
 * `warden approvals`: the calls of agents that wait for a human, shown as they are, and answered with the owner's key.
 *
 * What is shown is what is signed: the commitment in the answer is computed here again, from the parameters on the
 * screen. Text of the agent's goes through `printable`, so that nothing on the screen is drawn by it.
 */
import { type ApprovalView, approvalList, approvalView, questionOf } from "@trustwarden/core/api/approval.ts";
import { issueApproval, MAX_APPROVAL_SECONDS, requireShown } from "@trustwarden/core/approval.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Command } from "commander";
import type { Client } from "../client.ts";
import { examples, type Runtime, runCommand, type Session } from "../command.ts";
import { formatSeconds, formatTable, printable } from "../output.ts";
import { openOwner } from "../owner-keys.ts";

const POLL_MS = 1000;
/** Lines of a body that are shown; the whole of it is in the JSON form. */
const MAX_BODY_LINES = 40;

export function addApprovalsCommands(program: Command, runtime: Runtime): void {
  const approvals = program
    .command("approvals")
    .description("calls of agents that wait for a human")
    .addHelpText("after", examples("warden approvals list", "warden approvals approve 0190… --as alice"));
  approvals
    .command("list")
    .description("what waits, or with --all what became of the latest")
    .option("--all", "the answered and expired ones too")
    .addHelpText("after", examples("warden approvals list --as alice", "warden approvals list --all --json"))
    .action((options: { readonly all?: true }, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "What waits could not be listed.",
        run: async ({ client, output }) => {
          const state = options.all === true ? "all" : "pending";
          const { approvals: found } = await client.get(`/v1/approvals?state=${state}`, approvalList);
          output.show({ approvals: found }, listOf(found));
        },
      }),
    );
  approvals
    .command("show")
    .description("one call, exactly")
    .argument("<id>", "as `list` shows it")
    .addHelpText("after", examples("warden approvals show 0190a5d… --as alice"))
    .action((id: string, _options: unknown, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: `The call ${id} could not be shown.`,
        run: async ({ client, output }) => {
          const view = await read(client, id);
          output.show(view, describe(view));
        },
      }),
    );
  addAnswer(approvals, runtime, "approve");
  addAnswer(approvals, runtime, "deny");
  addWatch(approvals, runtime);
}

function addAnswer(approvals: Command, runtime: Runtime, answer: "approve" | "deny"): void {
  const what = answer === "approve" ? "say yes to exactly this call, once" : "say no: the call is not made";
  approvals
    .command(answer)
    .description(`${what}; signed with the owner's key`)
    .argument("<id>", "as `list` shows it")
    .addHelpText("after", examples(`warden approvals ${answer} 0190a5d… --as alice`))
    .action((id: string, _options: unknown, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "Nothing was answered.",
        run: (session) => sendAnswer(session, id, answer),
      }),
    );
}

async function sendAnswer(session: Session, id: string, answer: "approve" | "deny"): Promise<void> {
  const { client, io, paths, output, asOwner } = session;
  if (asOwner === undefined) {
    throw new TrustWardenError("usage", {
      why: "an answer is its owner's",
      next: "Add --as <owner>, whose key is on this machine; see `warden owner list`.",
    });
  }
  const owner = openOwner(paths, asOwner);
  const view = await read(client, id);
  // What was on the screen is what the signature will be over.
  requireShown(view);
  output.note(describe(view).join("\n"));
  const iat = Math.floor(io.nowMs() / 1000);
  const document = {
    v: 1,
    aud: `spiffe://${owner.profile.trustDomain}`,
    answer,
    ...questionOf(view),
    iat,
    exp: Math.min(iat + MAX_APPROVAL_SECONDS, Math.max(view.expires_at, iat + 1)),
  } as const;
  const approval = issueApproval(document, owner.signer, owner.keyid);
  const target = `/v1/approvals/${encodeURIComponent(id)}/answer`;
  const answered = await client.post({ target, body: { approval }, schema: approvalView });
  output.show(answered, [
    answer === "approve"
      ? `Approved: this call may be made once, until ${formatSeconds(answered.expires_at)}.`
      : "Denied: the call is not made.",
  ]);
}

function addWatch(approvals: Command, runtime: Runtime): void {
  approvals
    .command("watch")
    .description(
      "prints each call as it begins to wait, until it is interrupted; with --json one document a line",
    )
    .option("--once", "end after the first")
    .addHelpText(
      "after",
      examples("warden approvals watch --as alice", "warden approvals watch --json --once"),
    )
    .action((options: { readonly once?: true }, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "What waits could not be watched.",
        run: (session) => watch(session, options.once === true),
      }),
    );
}

async function watch({ client, io, output }: Session, isOnce: boolean): Promise<void> {
  const seen = new Set<string>();
  for (;;) {
    const { approvals } = await client.get("/v1/approvals?state=pending", approvalList);
    const fresh = approvals.filter(({ id }) => !seen.has(id)).toReversed();
    for (const view of fresh) {
      seen.add(view.id);
      io.stdout(output.isJson ? `${JSON.stringify(view)}\n` : `${describe(view).join("\n")}\n\n`);
      if (isOnce) return;
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

function read(client: Client, id: string): Promise<ApprovalView> {
  return client.get(`/v1/approvals/${encodeURIComponent(id)}`, approvalView);
}

function listOf(found: readonly ApprovalView[]): readonly string[] {
  const rows = found.map(({ id, status, action, resource, agent, expires_at }) => [
    id,
    status,
    action,
    resource,
    agent,
    formatSeconds(expires_at),
  ]);
  return formatTable(["ID", "STATUS", "ACTION", "RESOURCE", "AGENT", "UNTIL"], rows, "Nothing waits.");
}

/** Everything that the answer is about, each in its own line. */
function describe(view: ApprovalView): readonly string[] {
  return [
    `${printable(view.action)} on ${printable(view.resource)}  (${view.status})`,
    `  id          ${view.id}`,
    `  agent       ${printable(view.agent)}`,
    `  asked       ${view.reasons.map(printable).join(", ")}${view.why === "" ? "" : `: ${printable(view.why)}`}`,
    `  made at     ${printable(view.audience)} (${view.enforcement})`,
    `  would do    ${printable(view.parameters)}`,
    ...bodyOf(view),
    `  until       ${formatSeconds(view.expires_at)}`,
  ];
}

function bodyOf({ body }: ApprovalView): readonly string[] {
  if (body === null) return [];
  const lines = body.split("\n");
  const shown = lines.slice(0, MAX_BODY_LINES).map((line) => `    | ${printable(line)}`);
  const rest = lines.length - shown.length;
  return ["  body", ...shown, ...(rest > 0 ? [`    | … ${rest} more lines; see --json`] : [])];
}
