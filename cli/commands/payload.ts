/** `warden payload`: prompts and answers that an upstream's settings have the server keep. */
import { erasureAnswer, payloadAnswer } from "@trustwarden/core/api/payloads.ts";
import { parseEventId } from "@trustwarden/core/id.ts";
import type { Command } from "commander";
import { examples, type Runtime, runCommand, type Session } from "../command.ts";
import { printable } from "../output.ts";

const EXAMPLE_ID = "018f0000-0000-7000-8000-000000000001";

export function addPayloadCommands(program: Command, runtime: Runtime): void {
  const payload = program
    .command("payload")
    .description("prompts and answers that are kept, encrypted, for upstreams with `disclose: full`")
    .addHelpText("after", examples(`warden payload show ${EXAMPLE_ID}`));
  payload
    .command("show")
    .description("one prompt and its answer; that you read it is recorded")
    .argument("<event-id>", "of the call, as `warden ledger query` shows it")
    .addHelpText(
      "after",
      examples(`warden payload show ${EXAMPLE_ID}`, `warden payload show ${EXAMPLE_ID} --json`),
    )
    .action((eventId: string, _options: unknown, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: `${printable(eventId)} could not be shown.`,
        run: (session) => show(session, eventId),
      }),
    );
  payload
    .command("erase")
    .description("destroy the key of one prompt and its answer; the ledger still verifies")
    .argument("<event-id>", "of the call")
    .requiredOption("--reason <text>", "why, such as the legal basis; goes into the ledger, so name nobody")
    .addHelpText("after", examples(`warden payload erase ${EXAMPLE_ID} --reason "GDPR article 17"`))
    .action((eventId: string, { reason }: { readonly reason: string }, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: `${printable(eventId)} was not erased.`,
        run: (session) => erase(session, eventId, reason),
      }),
    );
}

async function show({ client, output }: Session, eventId: string): Promise<void> {
  const answer = await client.get(`/v1/payloads/${parseEventId(eventId)}`, payloadAnswer);
  const [request, reply] = [answer.request, answer.answer].map((text) =>
    Buffer.from(text, "base64url").toString(),
  );
  output.show(answer, [
    `${answer.method} ${answer.target}`,
    printable(request ?? ""),
    printable(reply ?? ""),
    `committed to in the ledger: request ${answer.request_commitment ?? "none"}, answer ${answer.answer_commitment ?? "none"}`,
  ]);
}

async function erase({ client, output }: Session, eventId: string, reason: string): Promise<void> {
  const target = `/v1/payloads/${parseEventId(eventId)}/erasure`;
  const answer = await client.post({ target, body: { reason }, schema: erasureAnswer });
  output.show(answer, [
    `${answer.event_id} is erased. The ledger keeps its commitments, and that it was erased.`,
  ]);
}
