/** `warden policy freeze`: nothing changes the world until the freeze is lifted or over, whatever else is allowed. */
import { type FreezeAnswer, freezeAnswer } from "@trustwarden/core/api/approval.ts";
import { parseTtl } from "@trustwarden/core/ttl.ts";
import type { Command } from "commander";
import { examples, type Runtime, runCommand } from "../command.ts";
import { formatSeconds, printable } from "../output.ts";

const TARGET = "/v1/policy/freeze";

/** @param policy - the `warden policy` command. */
export function addFreezeCommands(policy: Command, runtime: Runtime): void {
  const freeze = policy
    .command("freeze")
    .description("deny every write of every agent, whatever its scope")
    .addHelpText(
      "after",
      examples('warden policy freeze on --reason "release night"', "warden policy freeze off"),
    );
  freeze
    .command("on")
    .description("freeze; reads go on")
    .requiredOption("--reason <text>", "why, for whoever is denied and for the ledger")
    .option("--for <time>", "how long, such as 8h; until it is lifted unless given")
    .addHelpText("after", examples('warden policy freeze on --reason "release night" --for 8h'))
    .action((options: { readonly reason: string; readonly for?: string }, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "Nothing was frozen.",
        run: async ({ client, io, output }) => {
          const now = Math.floor(io.nowMs() / 1000);
          const until = options.for === undefined ? null : now + parseTtl(options.for);
          const body = { freeze: { reason: options.reason, until } };
          const answer = await client.post({ target: TARGET, body, schema: freezeAnswer });
          output.show(answer, [describe(answer)]);
        },
      }),
    );
  freeze
    .command("off")
    .description("lift the freeze")
    .addHelpText("after", examples("warden policy freeze off"))
    .action((_options: unknown, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The freeze was not lifted.",
        run: async ({ client, output }) => {
          const answer = await client.post({ target: TARGET, body: { freeze: null }, schema: freezeAnswer });
          output.show(answer, [describe(answer)]);
        },
      }),
    );
  freeze
    .command("show")
    .description("the freeze that is on")
    .addHelpText("after", examples("warden policy freeze show --json"))
    .action((_options: unknown, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The freeze could not be read.",
        run: async ({ client, output }) => {
          const answer = await client.get(TARGET, freezeAnswer);
          output.show(answer, [describe(answer)]);
        },
      }),
    );
}

function describe({ freeze, epoch }: FreezeAnswer): string {
  if (freeze === null) return `Nothing is frozen (epoch ${epoch}).`;
  const end = freeze.until === null ? "until it is lifted" : `until ${formatSeconds(freeze.until)}`;
  return `Frozen ${end}: ${printable(freeze.reason)} (epoch ${epoch}).`;
}
