/** `warden offers`: what was offered and waits for somebody to take it. */
import { type OfferView, offerList } from "@trustwarden/core/api/offers.ts";
import type { Command } from "commander";
import { examples, type Runtime, runCommand } from "../command.ts";
import { formatSeconds, printable } from "../output.ts";

export function addOffersCommand(program: Command, runtime: Runtime): void {
  program
    .command("offers")
    .description("agents that wait to be taken over or claimed, and people who were invited")
    .addHelpText("after", examples("warden offers", "warden offers --json"))
    .action((_options: object, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The offers cannot be listed.",
        run: async ({ client, output }) => {
          const answer = await client.get("/v1/offers", offerList);
          const lines = answer.offers.map(formatOffer);
          output.show(answer, lines.length === 0 ? ["Nothing waits."] : lines);
        },
      }),
    );
}

function formatOffer(offer: OfferView): string {
  return `${offer.kind.padEnd(10)}  until ${formatSeconds(offer.expires_at)}  ${describe(offer)}`;
}

function describe(offer: OfferView): string {
  switch (offer.kind) {
    case "transfer":
      return `${offer.agent_id} from ${offer.from} to ${offer.to}`;
    case "claim":
      return `${printable(offer.path === "" ? offer.name : `${offer.path}/${offer.name}`)} for ${offer.owner_id ?? "whoever has its code"}`;
    case "invitation":
      return `${offer.person_id ?? "somebody new"} as ${offer.roles.join(", ")}, by ${offer.created_by ?? "nobody knows"}`;
  }
}
