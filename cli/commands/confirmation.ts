/**
 * `warden confirmation`: what waits for a second admin. A socket has no passkey, so that nothing is confirmed here: that is done in
 * the console.
 */
import {
  type ConfirmationView,
  confirmationDetail,
  confirmationList,
} from "@trustwarden/core/api/confirmations.ts";
import type { Command } from "commander";
import { examples, type Runtime, runCommand, type Session } from "../command.ts";

export function addConfirmationCommands(program: Command, runtime: Runtime): void {
  const confirmation = program
    .command("confirmation")
    .description("what nobody does alone, and waits for a second admin")
    .addHelpText("after", examples("warden confirmation list"));
  confirmation
    .command("list")
    .description("what was asked, and what became of it")
    .addHelpText("after", examples("warden confirmation list", "warden confirmation list --json"))
    .action((_options: object, command: Command) =>
      runCommand({ runtime, command, refusal: "Nothing can be listed.", run: list }),
    );
  confirmation
    .command("show")
    .description("one request with its body, as the second admin sees it")
    .argument("<id>", "cnf_…")
    .addHelpText("after", examples("warden confirmation show cnf_01J0000000000000000000000A"))
    .action((id: string, _options: object, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The request cannot be shown.",
        run: (session) => show(session, id),
      }),
    );
}

async function list({ client, output }: Session): Promise<void> {
  const answer = await client.get("/v1/confirmations", confirmationList);
  output.show(answer, answer.confirmations.map(formatLine));
}

async function show({ client, output }: Session, id: string): Promise<void> {
  const answer = await client.get(`/v1/confirmations/${encodeURIComponent(id)}`, confirmationDetail);
  output.show(answer, [formatLine(answer), `reason: ${answer.reason}`, answer.body]);
}

function formatLine({ id, state, asked_by, method, target }: ConfirmationView): string {
  return `${id}  ${state.padEnd(9)}  ${asked_by}  ${method} ${target}`;
}
