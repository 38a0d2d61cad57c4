/**
 * `warden policy build`, `sign`, `load`, `rollback`, `show`: a custom policy from its source into force.
 */
import { policyAnswer, policyLoadAnswer } from "@trustwarden/core/api/policy.ts";
import { encodeBase64 } from "@trustwarden/core/bytes.ts";
import type { Command } from "commander";
import { examples, type Runtime, runCommand, type Session, wholeNumber } from "../command.ts";
import { requireOpa } from "../opa.ts";
import { buildBundle, readBundleFile, signBundleFile, writeBundleFile } from "../policy-files.ts";

const MAX_VERSION = 999_999_999;

interface BuildOptions {
  readonly name: string;
  readonly revision: number;
  readonly output: string;
}

interface SignOptions {
  readonly key: string;
  readonly keyId: string;
}

/** Adds the commands to `warden policy`. */
export function addPolicyBundleCommands(policy: Command, runtime: Runtime): void {
  addMaking(policy, runtime);
  addPutting(policy, runtime);
}

function addMaking(policy: Command, runtime: Runtime): void {
  policy
    .command("build")
    .description("compile a folder of Rego (package custom) into an unsigned bundle, with opa")
    .argument("<folder>", "holds the policy; custom.result answers { allow, reasons }")
    .requiredOption("--name <name>", "of the policy, such as payments")
    .requiredOption("--revision <number>", "its version; only rises", wholeNumber(1, MAX_VERSION))
    .requiredOption("--output <file>", "the bundle, a .tar.gz")
    .addHelpText(
      "after",
      examples("warden policy build ./payments --name payments --revision 1 --output payments.tar.gz"),
    )
    .action((folder: string, options: BuildOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The policy was not built.",
        run: async ({ io, output }) => {
          const { name, revision: version } = options;
          const { manifest, bytes } = buildBundle(requireOpa(io.env), folder, { name, version });
          writeBundleFile(options.output, bytes);
          output.show({ ...manifest, output: options.output, bytes: bytes.length }, [
            `${manifest.name} version ${manifest.version} is in ${options.output}, unsigned`,
          ]);
        },
      }),
    );
  policy
    .command("sign")
    .description("sign a bundle with a P-256 key that the server's policy.signers names")
    .argument("<bundle>", "is replaced by the signed one")
    .requiredOption("--key <file>", "private key, PEM, readable by you alone")
    .requiredOption("--key-id <id>", "its id in policy.signers")
    .addHelpText("after", examples("warden policy sign payments.tar.gz --key policy.key --key-id release"))
    .action((file: string, options: SignOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The policy was not signed.",
        run: async ({ output }) => {
          const signing = { keyFile: options.key, keyId: options.keyId };
          const { manifest, bytes } = signBundleFile(readBundleFile(file), signing);
          writeBundleFile(file, bytes);
          output.show({ ...manifest, key_id: options.keyId, output: file }, [
            `${manifest.name} version ${manifest.version} is signed by ${options.keyId}`,
          ]);
        },
      }),
    );
}

function addPutting(policy: Command, runtime: Runtime): void {
  policy
    .command("load")
    .description("put a signed bundle in force; decisions of before are void everywhere")
    .argument("<bundle>", "signed; its version is higher than that of the policy in force")
    .addHelpText("after", examples("warden policy load payments.tar.gz"))
    .action((file: string, _options: unknown, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The policy was not loaded.",
        run: (session) => load(session, readBundleFile(file)),
      }),
    );
  policy
    .command("rollback")
    .description("sign an earlier bundle again under the next version, and put it in force")
    .argument("<bundle>", "the earlier one")
    .requiredOption("--key <file>", "private key, PEM, readable by you alone")
    .requiredOption("--key-id <id>", "its id in policy.signers")
    .addHelpText(
      "after",
      examples("warden policy rollback payments-3.tar.gz --key policy.key --key-id release"),
    )
    .action((file: string, options: SignOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The policy was not rolled back.",
        run: async (session) => {
          const { custom } = await session.client.get("/v1/policy", policyAnswer);
          const version = (custom?.version ?? 0) + 1;
          const signing = { keyFile: options.key, keyId: options.keyId, version };
          await load(session, signBundleFile(readBundleFile(file), signing).bytes);
        },
      }),
    );
  policy
    .command("show")
    .description("the policies in force")
    .addHelpText("after", examples("warden policy show", "warden policy show --json"))
    .action((_options: unknown, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The policies could not be read.",
        run: async ({ client, output }) => {
          const answer = await client.get("/v1/policy", policyAnswer);
          const lines = answer.in_force.map(({ name, bundle_sha256 }) => `${name}  ${bundle_sha256}`);
          output.show(answer, lines);
        },
      }),
    );
}

async function load({ client, output }: Session, bytes: Uint8Array): Promise<void> {
  const body = { bundle: encodeBase64(bytes) };
  const answer = await client.post({ target: "/v1/policy", body, schema: policyLoadAnswer });
  output.show(answer, [
    `${answer.name} version ${answer.version} is in force from epoch ${answer.epoch}; ` +
      `${answer.acked} verifiers know, ${answer.expired} leases ran out`,
  ]);
}
