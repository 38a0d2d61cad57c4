/**
 * `warden agent offer` and `warden agent accept`: an agent goes from one owner to another. Each owner's key signs on its own
 * machine; both sign the same bytes.
 */
import { transferAnswer, transferOfferAnswer } from "@trustwarden/core/api/transfer.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { formatUlid } from "@trustwarden/core/id.ts";
import {
  issueTransfer,
  parseOfferValue,
  parseUnverifiedTransfer,
  type Transfer,
} from "@trustwarden/core/transfer.ts";
import { parseTtl } from "@trustwarden/core/ttl.ts";
import type { Command } from "commander";
import { findAgent } from "../agents.ts";
import { examples, type Runtime, runCommand, type Session } from "../command.ts";
import { formatSeconds } from "../output.ts";
import { openOwner } from "../owner-keys.ts";
import { asOwner } from "../owner-transport.ts";

/** As long as it takes to hand a text to somebody who waits for it. */
const DEFAULT_VALID_FOR = "10m";

interface OfferOptions {
  readonly owner: string;
  readonly to: string;
  readonly validFor: string;
}

export function addTransferCommands(agent: Command, runtime: Runtime): void {
  agent
    .command("offer")
    .description(
      "offer an agent, with all below it, to another owner: prints the offer, signed by the owner's key",
    )
    .argument("<agent>", "name, path/name or agt_… of an agent that no other agent made")
    .requiredOption("--owner <name>", "whose key signs; see `warden owner create`")
    .requiredOption("--to <id>", "the owner who may take it (own_…)")
    .option("--valid-for <time>", "how long the offer stands, an hour at most", DEFAULT_VALID_FOR)
    .addHelpText("after", examples("warden agent offer payment-agent --owner alice --to own_01J…"))
    .action((text: string, options: OfferOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: `The agent ${text} was not offered.`,
        run: (session) => offerAgent(session, text, options),
      }),
    );
  agent
    .command("accept")
    .description(
      "take an agent that was offered: every instance of before ends, and the agent answers to you",
    )
    .argument("<offer>", "two1.… as `warden agent offer` printed it")
    .requiredOption("--owner <name>", "whose key signs, the owner whom the offer names")
    .addHelpText("after", examples("warden agent accept two1.eyJ… --owner bob"))
    .action((text: string, options: { readonly owner: string }, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The agent was not taken.",
        run: (session) => acceptAgent(session, text, options),
      }),
    );
}

async function offerAgent(session: Session, text: string, options: OfferOptions): Promise<void> {
  const { io, paths, output } = session;
  const owner = openOwner(paths, options.owner);
  const { ownerId, trustDomain } = owner.profile;
  await asOwner(owner, session.io, async (client) => {
    const { agent } = await findAgent(client, text);
    const nowMs = io.nowMs();
    const iat = Math.floor(nowMs / 1000);
    const transfer: Transfer = {
      v: 1,
      jti: formatUlid(nowMs, io.random),
      aud: `spiffe://${trustDomain}`,
      iat,
      exp: iat + parseTtl(options.validFor),
      agent: agent.agent_id,
      from: ownerId,
      to: options.to,
    };
    const body = { transfer: issueTransfer(transfer, owner.signer, owner.keyid) };
    const answer = await client.post({ target: "/v1/transfers", body, schema: transferOfferAnswer });
    output.show({ ...answer }, [
      answer.offer,
      "",
      `${answer.to} takes ${agent.name} with: warden agent accept <the text above> --owner <its name>`,
      `It stands until ${formatSeconds(answer.expires_at)}; stopping the agent withdraws it.`,
    ]);
  });
}

async function acceptAgent(
  session: Session,
  text: string,
  options: { readonly owner: string },
): Promise<void> {
  const owner = openOwner(session.paths, options.owner);
  const offer = parseOfferValue(text);
  const transfer = parseUnverifiedTransfer(offer);
  if (transfer.to !== owner.profile.ownerId)
    throw new TrustWardenError("transfer_invalid", { why: "the offer is to another owner" });
  const acceptance = issueTransfer(transfer, owner.signer, owner.keyid);
  await asOwner(owner, session.io, async (client) => {
    const answer = await client.post({
      target: "/v1/transfers/acceptance",
      body: { offer, acceptance },
      schema: transferAnswer,
    });
    session.output.show({ ...answer }, [
      `${answer.agent_id} answers to ${answer.owner_id} since ${answer.stopped_by}, with ${answer.agents} agents in all.`,
      `${answer.instances} instances of before have ended (epoch ${answer.epoch}); enrol new ones with \`warden agent ticket\`.`,
    ]);
  });
}
