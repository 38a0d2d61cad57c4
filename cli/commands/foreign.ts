/**
 * `warden foreign`: workloads of federated trust domains as agents of an owner, whose key signs on this machine.
 */
import { issueForeignAgent } from "@trustwarden/core/agentid/foreign-agent.ts";
import { parseAgentLabel } from "@trustwarden/core/agentid/names.ts";
import { parseSpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import { foreignAgentAnswer } from "@trustwarden/core/api/federation.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { formatUlid } from "@trustwarden/core/id.ts";
import { parseScope } from "@trustwarden/core/scope.ts";
import { parseTtl } from "@trustwarden/core/ttl.ts";
import type { Command } from "commander";
import { examples, type Runtime, repeatable, runCommand, type Session } from "../command.ts";
import { formatSeconds, printable } from "../output.ts";
import { openOwner } from "../owner-keys.ts";

interface CreateOptions {
  readonly name: string;
  readonly path: string;
  readonly scope: readonly string[];
  readonly ttl: string;
}

export function addForeignCommands(program: Command, runtime: Runtime): void {
  const foreign = program
    .command("foreign")
    .description("workloads of federated trust domains as agents")
    .addHelpText("after", examples("warden foreign create --help"));
  foreign
    .command("create")
    .description("register a workload by its SPIFFE ID: prints what it needs to act here, which is no secret")
    .argument("<spiffe-id>", "such as spiffe://partner.test/ns/prod/sa/worker")
    .requiredOption("--name <name>", "of the agent here, such as partner-worker")
    .addOption(
      repeatable("--scope <atom>", "what it may do, verb:type[:path]; repeat for each").makeOptionMandatory(),
    )
    .option("--path <path>", "its place, such as partners", "")
    .option("--ttl <time>", "how long it is an agent here, at most 366d", "30d")
    .addHelpText(
      "after",
      examples(
        "warden foreign create spiffe://partner.test/ns/prod/sa/worker --as alice \\",
        "    --path partners --name worker --scope read:transactions --ttl 90d",
        "warden stop worker        # as any agent",
      ),
    )
    .action((spiffeId: string, options: CreateOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: `${printable(spiffeId)} is no agent here.`,
        run: (session) => createForeign(session, spiffeId, options),
      }),
    );
}

async function createForeign(session: Session, spiffeId: string, options: CreateOptions): Promise<void> {
  const { io, paths, output, client, asOwner } = session;
  if (asOwner === undefined) throw new TrustWardenError("usage", { why: "name the owner with --as" });
  const owner = openOwner(paths, asOwner);
  const { path, name } = parseAgentLabel({ path: options.path, name: options.name });
  const nowMs = io.nowMs();
  const iat = Math.floor(nowMs / 1000);
  const registration = issueForeignAgent(
    {
      v: 1,
      kind: "foreign",
      jti: formatUlid(nowMs, io.random),
      aud: `spiffe://${owner.profile.trustDomain}`,
      iat,
      exp: iat + parseTtl(options.ttl),
      owner: owner.profile.ownerId,
      path,
      name,
      scope: parseScope(options.scope),
      spiffe_id: parseSpiffeId(spiffeId),
    },
    owner.signer,
  );
  const body = { registration };
  const answer = await client.post({ target: "/v1/foreign-agents", body, schema: foreignAgentAnswer });
  output.show(answer, [
    `${answer.spiffe_id} is ${answer.agent_id} until ${formatSeconds(answer.expires_at)}. It acts here with:`,
    answer.value,
  ]);
}
