/** `warden ledger rotate`: ends the current shard of the ledger and begins the next one. */
import { turnAnswer } from "@trustwarden/core/api/ledger.ts";
import type { Command } from "commander";
import { examples, type Runtime, runCommand, type Session } from "../command.ts";

export function addRotateCommand(ledger: Command, runtime: Runtime): void {
  ledger
    .command("rotate")
    .description("end the current shard of the ledger and begin the next; nothing that was recorded moves")
    .addHelpText("after", examples("warden ledger rotate", "warden ledger rotate --json"))
    .action((_options: unknown, command: Command) =>
      runCommand({ runtime, command, refusal: "The next shard was not begun.", run: rotate }),
    );
}

async function rotate({ client, output }: Session): Promise<void> {
  const { origin, vkey, first } = await client.post({
    target: "/v1/ledger/turns",
    body: {},
    schema: turnAnswer,
  });
  output.show({ origin, vkey, first }, [
    `${origin} has begun at entry ${first}; the shard before it takes nothing more.`,
    "`warden witness` follows it by itself; other witnesses have to know its key:",
    vkey,
  ]);
}
