/**
 * `warden token`: a JWT-SVID for one audience, from the Workload API of this host: the token is that of the process
 * that asks, as the node attests it. The token itself is printed only when asked for.
 */

import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Command } from "commander";
import { createWorkloadApiClient } from "trustwarden";
import { examples, type Runtime, runCommand, type Session } from "../command.ts";
import { formatSeconds } from "../output.ts";

interface TokenOptions {
  readonly audience: string;
  readonly socket?: string;
  readonly raw?: true;
}

export function addTokenCommand(program: Command, runtime: Runtime): void {
  program
    .command("token")
    .description("a JWT-SVID of this process for a cloud or model provider, from the node's Workload API")
    .requiredOption("--audience <audience>", "whom it is for, such as sts.amazonaws.com")
    .option("--socket <address>", "of the Workload API, unix:///…; SPIFFE_ENDPOINT_SOCKET unless given")
    .option("--raw", "print the token and nothing else: whoever reads it can use it until it ends")
    .addHelpText(
      "after",
      examples(
        "warden token --audience sts.amazonaws.com",
        "warden token --audience https://api.openai.com/v1 --raw",
      ),
    )
    .action((options: TokenOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "There is no token.",
        run: (session) => showToken(session, options),
      }),
    );
}

async function showToken({ io, output }: Session, options: TokenOptions): Promise<void> {
  const socket = options.socket ?? io.env.SPIFFE_ENDPOINT_SOCKET;
  if (socket === undefined)
    throw new TrustWardenError("endpoint_malformed", { reason: "name it with --socket" });
  const client = createWorkloadApiClient({ socket });
  try {
    const [first] = await client.fetchJwtSvids({ audience: [options.audience] });
    if (first === undefined) throw new TrustWardenError("no_identity");
    const { spiffeId, svid, expiresAt } = first;
    const facts = { spiffe_id: spiffeId, audience: options.audience, expires_at: expiresAt };
    if (options.raw === true) output.show({ ...facts, svid }, [svid]);
    else
      output.show(facts, [
        `A token of ${spiffeId} for ${options.audience}, until ${formatSeconds(expiresAt)}.`,
        "It is not shown: --raw prints it.",
      ]);
  } finally {
    client.close();
  }
}
