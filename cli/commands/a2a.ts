/** `warden a2a card`: agent cards signed with the identity at hand, and checked against its trust bundle. */
import { readFileSync } from "node:fs";
import { issueCardSignature, verifyCard } from "@trustwarden/core/a2a/card.ts";
import { parseCertificate } from "@trustwarden/core/agentid/certificate.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import type { Command } from "commander";
import { examples, type Runtime, runCommand } from "../command.ts";
import { bundlesOf } from "../git/bundles.ts";
import { openGitIdentity } from "../git/identity.ts";
import { formatSeconds, printable } from "../output.ts";

export function addA2aCommands(program: Command, runtime: Runtime): void {
  const card = program
    .command("a2a")
    .description("agent-to-agent protocol: agent cards")
    .addHelpText("after", examples("warden a2a card sign agent-card.json"))
    .command("card")
    .description("sign and check agent cards with an agent's SVID")
    .addHelpText(
      "after",
      examples("warden a2a card sign agent-card.json", "warden a2a card verify signed.json"),
    );
  card
    .command("sign")
    .description(
      "print the card with a signature of the identity at hand; sign again when its SVID is renewed",
    )
    .argument("<file>", "the card, JSON")
    .addHelpText("after", examples("warden a2a card sign agent-card.json > .well-known/agent-card.json"))
    .action((file: string, _options: unknown, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The card was not signed.",
        run: async ({ io, output }) => {
          const { chain, signer } = await openGitIdentity(io);
          const signed = issueCardSignature(readCard(file), { chain, signer });
          io.stdout(`${JSON.stringify(signed, null, 2)}\n`);
          const [leaf] = chain.map(parseCertificate);
          if (leaf !== undefined)
            output.note(`warden: the signature counts until ${formatSeconds(leaf.notAfter)}.`);
        },
      }),
    );
  card
    .command("verify")
    .description("say which instance published a card")
    .argument("<file>", "the signed card, JSON")
    .addHelpText("after", examples("warden a2a card verify agent-card.json --json"))
    .action((file: string, _options: unknown, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The card does not verify.",
        run: async ({ io, output }) => {
          const { chain, roots } = await openGitIdentity(io);
          const now = Math.floor(io.nowMs() / 1000);
          const spiffeId = verifyCard(readCard(file), { bundles: bundlesOf(chain, roots), now });
          output.show({ spiffe_id: spiffeId }, [`Published by ${printable(spiffeId)}.`]);
        },
      }),
    );
}

function readCard(file: string): JsonObject {
  try {
    return parseJsonObject(readFileSync(file, "utf8"));
  } catch (cause) {
    if (cause instanceof TrustWardenError) throw cause;
    throw new TrustWardenError("usage", { why: `${file} cannot be read` }, { cause });
  }
}
