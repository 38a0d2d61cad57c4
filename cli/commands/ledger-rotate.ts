/** `warden ledger rotate`: ends the current shard of the ledger and begins the next one. */
import { turnAnswer } from "@trustwarden/core/api/ledger.ts";
import type { Command } from "commander";
import { examples, type Runtime, runCommand, type Session } from "../command.ts";

interface RotateOptions {
  readonly newKey?: boolean;
}

export function addRotateCommand(ledger: Command, runtime: Runtime): void {
  ledger
    .command("rotate")
    .description("end the current shard of the ledger and begin the next; nothing that was recorded moves")
    .option(
      "--new-key",
      "sign the next shard with a new key, which the end of this one names; the old key is destroyed",
    )
    .addHelpText("after", examples("warden ledger rotate", "warden ledger rotate --new-key"))
    .action((options: RotateOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The next shard was not begun.",
        run: (session) => rotate(session, options),
      }),
    );
}

async function rotate({ client, output }: Session, { newKey = false }: RotateOptions): Promise<void> {
  const { origin, vkey, first } = await client.post({
    target: "/v1/ledger/turns",
    body: newKey ? { new_key: true } : {},
    schema: turnAnswer,
  });
  output.show({ origin, vkey, first }, [
    `${origin} has begun at entry ${first}; the shard before it takes nothing more.`,
    newKey
      ? "`warden witness` is shown the end of the shard before, and follows; other witnesses have to be told its key (`warden doctor` names those that do not follow):"
      : "`warden witness` follows it by itself; other witnesses have to know its key:",
    vkey,
  ]);
}
