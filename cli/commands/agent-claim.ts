/**
 * `warden agent claim`: an owner answers for an agent that registered itself. What it asks for is shown, and the owner's key
 * signs it on this machine, for the key of that agent alone.
 */
import { issueTicket } from "@trustwarden/core/agentid/enrolment.ts";
import { parseSpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import { acceptedClaim, claimView } from "@trustwarden/core/api/claims.ts";
import { formatUlid } from "@trustwarden/core/id.ts";
import { parseScope } from "@trustwarden/core/scope.ts";
import { parseTtl } from "@trustwarden/core/ttl.ts";
import type { Command } from "commander";
import { examples, type Runtime, repeatable, runCommand, type Session, wholeNumber } from "../command.ts";
import { openOwner } from "../owner-keys.ts";
import { asOwner } from "../owner-transport.ts";

/** The agent is waiting for it. */
const TICKET_SECONDS = 600;

interface ClaimOptions {
  readonly owner: string;
  readonly scope?: readonly string[];
  readonly ttl?: string;
  readonly depth: number;
  readonly fanOut: number;
  readonly show?: boolean;
}

export function addClaimCommand(agent: Command, runtime: Runtime): void {
  agent
    .command("claim")
    .description("answer for an agent that registered itself: your key signs for its key, and it is yours")
    .argument("<code>", "as the agent shows it, such as 7K2M-Q9TR-0XWF-3BHN")
    .requiredOption("--owner <name>", "whose key signs; see `warden owner create`")
    .addOption(repeatable("--scope <atom>", "less than it asks for; repeat for each"))
    .option("--ttl <time>", "a shorter lifetime than it asks for")
    .option("--depth <n>", "generations below it", wholeNumber(0, 32), 0)
    .option("--fan-out <n>", "live direct children", wholeNumber(0, 1_000_000), 0)
    .option("--show", "only say what it asks for")
    .addHelpText(
      "after",
      examples(
        "warden agent claim 7K2M-Q9TR-0XWF-3BHN --owner alice --show",
        "warden agent claim 7K2M-Q9TR-0XWF-3BHN --owner alice --scope read:invoices",
      ),
    )
    .action((code: string, options: ClaimOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The agent was not claimed.",
        run: (session) => claimAgent(session, code, options),
      }),
    );
}

async function claimAgent(session: Session, code: string, options: ClaimOptions): Promise<void> {
  const { io, paths, output } = session;
  const owner = openOwner(paths, options.owner);
  const { ownerId, trustDomain } = owner.profile;
  await asOwner(owner, io, async (client) => {
    const found = await client.post({ target: "/v1/claims/search", body: { code }, schema: claimView });
    const { path, name, scope, ttl_seconds, thumbprint } = found;
    if (options.show === true) {
      output.show({ ...found }, [
        `${[path, name].filter((part) => part !== "").join("/")} asks to be yours.`,
        `May do: ${scope.join(" ") || "nothing"}   Lives for: ${ttl_seconds} s`,
        `Key: ${thumbprint}`,
      ]);
      return;
    }
    const nowMs = io.nowMs();
    const iat = Math.floor(nowMs / 1000);
    const ticket = issueTicket(
      {
        v: 1,
        kind: "agent",
        jti: formatUlid(nowMs, io.random),
        aud: parseSpiffeId(`spiffe://${trustDomain}`),
        iat,
        exp: iat + TICKET_SECONDS,
        owner: ownerId,
        path,
        name,
        scope: parseScope(options.scope ?? scope),
        ttl_seconds: options.ttl === undefined ? ttl_seconds : parseTtl(options.ttl),
        limits: { depth: options.depth, fan_out: options.fanOut, budget: null },
        holder_thumbprint: thumbprint,
      },
      owner.signer,
      owner.keyid,
    );
    const body = { code, ticket };
    const answer = await client.post({ target: "/v1/claims/acceptance", body, schema: acceptedClaim });
    output.show({ ...answer }, [
      `${answer.name} is yours: it may do ${answer.scope.join(" ") || "nothing"}, and goes on by itself.`,
      `Key: ${thumbprint}`,
    ]);
  });
}
