/**
 * `warden policy`: run the tests of the policies, and explain what would be decided and why.
 */
import { join } from "node:path";
import { parseActionName } from "@trustwarden/core/action.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Command } from "commander";
import { examples, type Runtime, runCommand, type Session } from "../command.ts";
import { POLICIES_DIR, requireOpa, runOpa } from "../opa.ts";
import { explainDecision, formatExplanation } from "../policy-explain.ts";
import { addFreezeCommands } from "./freeze.ts";
import { addPolicyBundleCommands } from "./policy-bundle.ts";
import { addPolicyReplayCommand } from "./policy-replay.ts";

/** The built-in policy and the examples, with their tests. */
const BUILT_IN = [join(POLICIES_DIR, "trustwarden"), join(POLICIES_DIR, "examples")];

interface ExplainOptions {
  readonly agent: string;
  readonly action: string;
  readonly resource: string;
}

export function addPolicyCommands(program: Command, runtime: Runtime): void {
  const policy = program
    .command("policy")
    .description(
      "policies: test them, explain a decision, try a draft on the past, put one of your own in force",
    )
    .addHelpText(
      "after",
      examples(
        "warden policy test",
        "warden policy explain --agent payment-agent --action delete:transactions",
      ),
    );
  addPolicyBundleCommands(policy, runtime);
  addPolicyReplayCommand(policy, runtime);
  addFreezeCommands(policy, runtime);
  policy
    .command("test")
    .description("run the Rego tests with opa (OPA_BIN, or on PATH)")
    .argument("[dirs...]", "policies to test; each is a root of `data`", BUILT_IN)
    .addHelpText(
      "after",
      examples("warden policy test", "OPA_BIN=~/bin/opa warden policy test ./my-policies"),
    )
    .action((directories: readonly string[], _options: unknown, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The policy tests did not pass.",
        run: (session) => testPolicies(session, directories),
      }),
    );
  policy
    .command("explain")
    .description(
      "what would be decided for an agent's action: which link covers it, its class, which rule denies",
    )
    .requiredOption("--agent <agent>", "name, path/name, agt_…, inst-… or SPIFFE ID")
    .requiredOption("--action <name>", "verb:type or verb:type:path")
    .option("--resource <uri>", "what it would act on", "about:blank")
    .addHelpText(
      "after",
      examples(
        "warden policy explain --agent payment-agent --action write:transactions",
        "warden policy explain --agent payment-agent --action delete:transactions --json",
      ),
    )
    .action((options: ExplainOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The decision could not be explained.",
        run: async ({ client, io, output }) => {
          const action = parseActionName(options.action);
          const { agent, resource } = options;
          const explanation = await explainDecision({ client, io, agent, action, resource });
          output.show(explanation, formatExplanation(explanation));
        },
      }),
    );
}

async function testPolicies({ io, output }: Session, directories: readonly string[]): Promise<void> {
  const opa = requireOpa(io.env);
  const { exitCode, stdout, stderr } = runOpa(opa, ["test", ...directories]);
  const summary = stdout.trim().split("\n").at(-1) ?? "";
  // A run that found no test has shown nothing, whatever its exit code.
  if (exitCode !== 0 || !/^PASS: [1-9]/.test(summary)) {
    throw new TrustWardenError("denied", {
      why: [stdout, stderr].join("\n").trim().slice(-2000) || "opa found no tests",
      next: "Run the same with `opa test --verbose` and mend the rule or the test that failed.",
    });
  }
  output.show({ passed: true, summary, opa, directories: [...directories] }, [
    `${summary} (${directories.join(", ")})`,
  ]);
}
