/**
 * The three questions: `warden who <event>`, `warden why <event>`, `warden stop <agent>`; in plain sentences, each
 * with the status of its proof.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Command } from "commander";
import { findAgent } from "../agents.ts";
import { describeAuthority, describeDoer } from "../answers.ts";
import { proveAuthority } from "../authority.ts";
import type { Client } from "../client.ts";
import { examples, type Runtime, runCommand, type Session } from "../command.ts";
import type { ProofStatus } from "../evidence.ts";
import { createEventProver, formatProof } from "../evidence-session.ts";
import { formatStopped, type RevocationTarget, revoke, stoppedJson } from "../revocation.ts";
import { readWitnessPolicy } from "../witness-policy.ts";

export function addQuestionCommands(program: Command, runtime: Runtime): void {
  program
    .command("who")
    .description("which agent did this? Answered from the ledger, with proof")
    .argument("<event>", "event id, from a receipt or `warden ledger query`")
    .addHelpText("after", examples("warden who 0192f3a0-…", "warden who 0192f3a0-… --json"))
    .action((eventId: string, _options: unknown, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: `Who did ${eventId} is not proven.`,
        run: (session) => answerWho(session, eventId),
      }),
    );
  program
    .command("why")
    .description("who authorized it? The chain from its owner down and the policy, with proof")
    .argument("<event>", "event id, from a receipt or `warden ledger query`")
    .addHelpText("after", examples("warden why 0192f3a0-…", "warden why 0192f3a0-… --json"))
    .action((eventId: string, _options: unknown, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: `Who authorized ${eventId} is not proven.`,
        run: (session) => answerWhy(session, eventId),
      }),
    );
  addStopCommand(program, runtime);
}

function addStopCommand(program: Command, runtime: Runtime): void {
  program
    .command("stop")
    .description(
      "stop an agent and everything below it, now, without stopping the rest; or an owner, a job, a key, a policy, all",
    )
    .argument(
      "[agent]",
      "name, path/name, agt_…, inst-… (only that instance), SPIFFE ID, or own_… for all of an owner",
    )
    .option(
      "--job <name>",
      "instead of an agent: what agents name as their job; an owner stops its own agents' only",
    )
    .option(
      "--key <sha256>",
      "instead: base64url SHA-256 of a public key (SPKI); it is never issued anything again",
    )
    .option("--policy <sha256>", "instead: a policy's bundle, by its digest; nothing is allowed by it again")
    .option("--everything", "instead: every agent of every owner")
    .option("--reason <text>", "kept in the ledger", "")
    .addHelpText(
      "after",
      examples(
        "warden stop payment-agent",
        'warden stop team/finance/payment-agent --reason "pays twice"',
        "warden stop payment-agent --as alice     # from another machine",
        "warden stop --job invoices-2026-11",
        'warden stop --everything --reason "incident 7"   # agents live again by new tickets only',
      ),
    )
    .action((text: string | undefined, options: StopOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: `${text ?? "It"} was not stopped, as far as this command knows.`,
        run: async ({ client, io, output }) => {
          const { name, target } = await findStopTarget(client, text, options);
          const stopped = await revoke(client, { target, reason: options.reason, io });
          const lines = formatStopped(`${name} (${target.kind} ${target.id})`, stopped);
          output.show({ target: { ...target }, name, ...stoppedJson(stopped) }, lines);
        },
      }),
    );
}

interface StopOptions {
  readonly reason: string;
  readonly job?: string;
  readonly key?: string;
  readonly policy?: string;
  readonly everything?: true;
}

/** @throws TrustWardenError `usage` unless exactly one thing is named, `not_found`. */
async function findStopTarget(
  client: Client,
  text: string | undefined,
  { job, key, policy, everything }: StopOptions,
): Promise<{ readonly name: string; readonly target: RevocationTarget }> {
  const others = [
    ...(job === undefined ? [] : [{ kind: "job", id: job } as const]),
    ...(key === undefined ? [] : [{ kind: "key", id: key } as const]),
    ...(policy === undefined ? [] : [{ kind: "policy", id: policy } as const]),
    ...(everything === undefined ? [] : [{ kind: "everything", id: "*" } as const]),
  ];
  const [target] = others;
  if (others.length + (text === undefined ? 0 : 1) !== 1)
    throw new TrustWardenError("usage", { why: "exactly one thing to stop is expected" });
  if (target !== undefined) return { name: target.kind, target };
  if (text?.startsWith("own_")) return { name: "owner", target: { kind: "owner", id: text } };
  const { agent, instance } = await findAgent(client, text ?? "");
  const { name } = agent;
  return instance === undefined
    ? { name, target: { kind: "agent", id: agent.agent_id } }
    : { name, target: { kind: "instance", id: instance.instance_id } };
}

async function answerWho({ client, output, paths }: Session, eventId: string): Promise<void> {
  const { evidence } = await (await createEventProver(client, readWitnessPolicy(paths))).prove(eventId);
  const doer = describeDoer(evidence);
  output.show({ event_id: eventId, ...doer.facts, proof: proofJson(evidence.proof) }, [
    ...doer.lines,
    formatProof(evidence.proof),
  ]);
}

async function answerWhy({ client, output, paths }: Session, eventId: string): Promise<void> {
  const prover = await createEventProver(client, readWitnessPolicy(paths));
  const { evidence } = await prover.prove(eventId);
  const links = await proveAuthority({ client, prover }, evidence);
  const authority = describeAuthority(evidence, links);
  output.show({ event_id: eventId, ...authority.facts, proof: proofJson(evidence.proof) }, [
    ...authority.lines,
    formatProof(evidence.proof),
  ]);
}

function proofJson({ origin, size, indexes, witnessed }: ProofStatus) {
  return { verified: true, witnessed: witnessed.kind === "proven", origin, size, indexes: [...indexes] };
}
