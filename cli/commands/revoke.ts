/**
 * `warden revoke`: end an instance, an agent with its subtree, or an owner with everything it owns, by id.
 *
 * `warden stop <agent>` is the same by name; see `questions.ts`.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Command } from "commander";
import { instanceIdIn } from "../agents.ts";
import { examples, type Runtime, runCommand } from "../command.ts";
import { formatStopped, type RevocationTarget, revoke, stoppedJson } from "../revocation.ts";

export function addRevokeCommand(program: Command, runtime: Runtime): void {
  program
    .command("revoke")
    .description("end an instance, an agent with its subtree, or an owner, everywhere within one second")
    .argument("<id>", "inst-…, agt_…, own_… or a SPIFFE ID")
    .option("--reason <text>", "kept in the ledger", "")
    .addHelpText(
      "after",
      examples(
        'warden revoke agt_01J… --reason "key leaked"',
        "warden revoke own_01J…                # the owner and all of its agents",
        "warden revoke agt_01J… --as alice     # from another machine, with the owner's key",
      ),
    )
    .action((id: string, options: { readonly reason: string }, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: `${id} was not revoked, as far as this command knows.`,
        run: async ({ client, io, output }) => {
          const stopped = await revoke(client, { target: parseTarget(id), reason: options.reason, io });
          output.show(stoppedJson(stopped), formatStopped(id, stopped));
        },
      }),
    );
}

/** @throws TrustWardenError `usage` for a text that is no id. */
function parseTarget(id: string): RevocationTarget {
  const instanceId = instanceIdIn(id);
  if (instanceId !== undefined) return { kind: "instance", id: instanceId };
  if (id.startsWith("agt_")) return { kind: "agent", id };
  if (id.startsWith("own_")) return { kind: "owner", id };
  throw new TrustWardenError("usage", {
    why: `${id} is not an id: ids start with inst-, agt_ or own_`,
    next: "To stop an agent by its name, use `warden stop <name>`.",
  });
}
