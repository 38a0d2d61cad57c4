/**
 * `warden witness`: a small witness that countersigns the checkpoints of logs which continue what it saw before, for
 * whoever wants to keep an eye on a log: an auditor, a customer, another department. And the policy file that names
 * the witnesses of a log.
 */
import { requireOrigin } from "@trustwarden/core/agentledger/checkpoint.ts";
import { parseVkey } from "@trustwarden/core/agentledger/signed-note.ts";
import { parseTlogPolicy } from "@trustwarden/core/agentledger/tlog-policy.ts";
import type { WitnessedLog } from "@trustwarden/core/agentledger/witness.ts";
import { discovery } from "@trustwarden/core/api/ledger.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Command } from "commander";
import { askedToEnd } from "../asked-to-end.ts";
import { examples, type Runtime, repeatable, runCommand, type Session } from "../command.ts";
import { listenOn, parseListen } from "../listen.ts";
import { createWitnessDirectory, openWitnessDirectory } from "../witness/witness-directory.ts";
import { createWitnessServer } from "../witness/witness-server.ts";

const DEFAULT_LISTEN = "127.0.0.1:7460";

interface ServeOptions {
  readonly log: readonly string[];
  readonly listen: string;
  readonly allowExternal?: true;
}

interface PolicyOptions {
  readonly log?: string;
  readonly witness: readonly string[];
  readonly quorum?: string;
}

export function addWitnessCommands(program: Command, runtime: Runtime): void {
  const witness = program
    .command("witness")
    .description("countersign the checkpoints of logs that only grow (C2SP tlog-witness); write a policy")
    .addHelpText(
      "after",
      examples(
        "warden witness init ./witness --name witness.auditor.test/1",
        "warden witness serve ./witness --log ledger.acme.test+1a2b3c4d+AZ…",
        "warden witness policy --witness witness.auditor.test/1+5e6f7a8b+BA…,https://witness.auditor.test",
      ),
    );
  addInitCommand(witness, runtime);
  addServeCommand(witness, runtime);
  addPolicyCommand(witness, runtime);
}

function addInitCommand(witness: Command, runtime: Runtime): void {
  witness
    .command("init")
    .description("make a witness: its key and its empty memory, in a directory of their own")
    .argument("<dir>", "where to; nothing of a witness may be there")
    .requiredOption("--name <name>", "unlike that of any other witness, such as witness.auditor.test/1")
    .addHelpText("after", examples("warden witness init ./witness --name witness.auditor.test/1"))
    .action((directory: string, { name }: { readonly name: string }, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The witness was not made.",
        run: async ({ output }) => {
          const vkey = createWitnessDirectory(directory, name);
          output.show({ directory, vkey }, [
            `A witness in ${directory}. Whoever relies on it needs its key:`,
            `  ${vkey}`,
            "Back up neither key nor memory: a witness that was put back would cosign a second history.",
          ]);
        },
      }),
    );
}

function addServeCommand(witness: Command, runtime: Runtime): void {
  witness
    .command("serve")
    .description("run a witness until SIGTERM or SIGINT; one JSON line for each submission")
    .argument("<dir>", "what `warden witness init` made")
    .addOption(repeatable("--log <vkey>", "key of a log to follow; may be repeated").makeOptionMandatory())
    .option("--listen <host:port>", "where logs come, plain HTTP; port 0 for any free one", DEFAULT_LISTEN)
    .option("--allow-external", "permit an address beyond loopback")
    .addHelpText(
      "after",
      examples(
        "warden witness serve ./witness --log ledger.acme.test+1a2b3c4d+AZ…",
        "warden witness serve ./witness --log ledger.acme.test+1a2b3c4d+AZ… --listen 127.0.0.1:0",
      ),
    )
    .action((directory: string, options: ServeOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The witness does not run.",
        run: (session) => serveWitness(session, { directory, options }),
      }),
    );
}

function addPolicyCommand(witness: Command, runtime: Runtime): void {
  witness
    .command("policy")
    .description(
      "print a policy (C2SP tlog-policy): a log, its witnesses, and how many of them must have cosigned",
    )
    .addOption(
      repeatable(
        "--witness <vkey[,url]>",
        "key of a witness, and where it answers; may be repeated",
      ).makeOptionMandatory(),
    )
    .option("--log <vkey>", "key of the log; that of the running server unless given")
    .option("--quorum <k>", "how many; more than half unless given, so 2 of 3")
    .addHelpText(
      "after",
      examples(
        "warden witness policy --witness w1+…,https://w1.test --witness w2+… --witness w3+… > witness.policy",
      ),
    )
    .action((options: PolicyOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "There is no policy.",
        run: (session) => printPolicy(session, options),
      }),
    );
}

async function serveWitness(
  { io }: Session,
  { directory, options }: { readonly directory: string; readonly options: ServeOptions },
): Promise<void> {
  const place = parseListen(options);
  const logs = new Map(options.log.map(parseLog));
  if (logs.size !== options.log.length)
    throw new TrustWardenError("usage", { why: "two keys are given for a log of one name" });
  const files = openWitnessDirectory(directory);
  const server = createWitnessServer({
    directory: files,
    logs,
    now: () => Math.floor(io.nowMs() / 1000),
    onEvent: (event) => io.stdout(`${JSON.stringify(event)}\n`),
  });
  try {
    const { host, port } = await listenOn(server, place);
    const ending = askedToEnd();
    const ready = { ready: true, url: `http://${host}:${port}`, vkey: files.vkey, logs: [...logs.keys()] };
    io.stdout(`${JSON.stringify(ready)}\n`);
    await ending;
  } finally {
    server.closeAllConnections();
    server.close();
    files.store.close();
  }
}

function parseLog(vkey: string): readonly [string, WitnessedLog] {
  const key = parseVkey(vkey);
  requireOrigin(key.name);
  return [key.name, { vkey, key }];
}

async function printPolicy({ client, io, output }: Session, options: PolicyOptions): Promise<void> {
  const log = options.log ?? (await client.get("/.well-known/trustwarden", discovery)).log_vkey;
  const names = options.witness.map((_, index) => `w${index + 1}`);
  const quorum = options.quorum ?? String(Math.floor(names.length / 2) + 1);
  const text = [
    `log ${log}`,
    ...options.witness.map((witness, index) => `witness ${names[index]} ${witness.replace(",", " ")}`),
    `group witnesses ${quorum} ${names.join(" ")}`,
    "quorum witnesses",
    "",
  ].join("\n");
  const policy = parseTlogPolicy(text);
  if (policy.logs.length !== 1) throw new TrustWardenError("usage", { why: "one log has one policy" });
  output.show({ policy: text, quorum: Number(quorum), witnesses: names.length }, [text.trimEnd()]);
  if (names.length < 3)
    io.stderr("Fewer than three witnesses: one that is silent, or one that lies, decides alone.\n");
}
