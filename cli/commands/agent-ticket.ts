/**
 * `warden agent ticket`: an owner's key signs, on this machine, the permission to enrol one agent once.
 */
import { issueTicket } from "@trustwarden/core/agentid/enrolment.ts";
import { formatTicketValue } from "@trustwarden/core/agentid/enrolment-value.ts";
import { parseAgentLabel } from "@trustwarden/core/agentid/names.ts";
import { formatUlid } from "@trustwarden/core/id.ts";
import { hasWildcardVerbOrType, parseScope } from "@trustwarden/core/scope.ts";
import { parseTtl } from "@trustwarden/core/ttl.ts";
import type { Command } from "commander";
import { createAdminTransport } from "../admin-transport.ts";
import { createClient } from "../client.ts";
import { examples, type Runtime, repeatable, runCommand, type Session, wholeNumber } from "../command.ts";
import { formatSeconds } from "../output.ts";
import { openOwner } from "../owner-keys.ts";
import { describeServer } from "../server-description.ts";

/** How long an unused ticket stays good by default: it is a secret on its way to a process that starts soon. */
const DEFAULT_VALID_FOR = "1h";
const MAX_INTEGER = 1_000_000_000;

interface TicketOptions {
  readonly owner: string;
  readonly path: string;
  readonly name: string;
  readonly scope: readonly string[];
  readonly ttl: string;
  readonly validFor: string;
  readonly depth: number;
  readonly fanOut: number;
  readonly budget?: number;
}

export function addTicketCommand(agent: Command, runtime: Runtime): void {
  agent
    .command("ticket")
    .description("permit one agent to enrol, once: prints the ticket, signed by the owner's key")
    .requiredOption("--owner <name>", "whose key signs; see `warden owner create`")
    .requiredOption("--name <name>", "of the agent, such as orchestrator")
    .addOption(
      repeatable("--scope <atom>", "what it may do, verb:type[:path]; repeat for each").makeOptionMandatory(),
    )
    .option("--path <path>", "its place, such as team/finance", "")
    .option("--ttl <time>", "lifetime of the instance", "8h")
    .option("--valid-for <time>", "how long the unused ticket stays good", DEFAULT_VALID_FOR)
    .option("--depth <n>", "generations below it", wholeNumber(0, 32), 3)
    .option("--fan-out <n>", "live direct children", wholeNumber(0, MAX_INTEGER), 16)
    .option(
      "--budget <n>",
      "integer units that its children share; none is unlimited",
      wholeNumber(0, MAX_INTEGER),
    )
    .addHelpText(
      "after",
      examples(
        "warden agent ticket --owner alice --path team/finance --name orchestrator \\",
        "    --scope read:transactions --scope write:reports --ttl 8h",
        "env $(warden agent ticket --owner alice --name crawler --scope fetch:web --ttl 1h) node crawler.ts",
      ),
    )
    .action((options: TicketOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: `No ticket for ${options.name} was made.`,
        run: (session) => makeTicket(session, options),
      }),
    );
}

async function makeTicket({ io, paths, output }: Session, options: TicketOptions): Promise<void> {
  const owner = openOwner(paths, options.owner);
  const { path, name } = parseAgentLabel({ path: options.path, name: options.name });
  const scope = parseScope(options.scope);
  const nowMs = io.nowMs();
  const iat = Math.floor(nowMs / 1000);
  const admin = createClient(createAdminTransport(paths.adminSocket));
  const server = await describeServer(admin, owner.profile);
  const { ownerId, trustDomain } = owner.profile;
  const ticket = issueTicket(
    {
      v: 1,
      kind: "agent",
      jti: formatUlid(nowMs, io.random),
      aud: `spiffe://${trustDomain}`,
      iat,
      exp: iat + parseTtl(options.validFor),
      owner: ownerId,
      path,
      name,
      scope,
      ttl_seconds: parseTtl(options.ttl),
      limits: { depth: options.depth, fan_out: options.fanOut, budget: options.budget ?? null },
    },
    owner.signer,
    owner.keyid,
  );
  const { authoritiesSha256, serverUrl } = server;
  const value = formatTicketValue({ authoritiesSha256, server: serverUrl, ticket });
  if (hasWildcardVerbOrType(scope))
    output.note("warden: a wildcard verb or type reaches far; it is limited to one hour.");
  const expiresAt = formatSeconds(iat + parseTtl(options.validFor));
  output.show({ ticket: value, owner_id: ownerId, path, name, scope: [...scope], expires_at: expiresAt }, [
    `TRUSTWARDEN_TICKET=${value}`,
  ]);
}
