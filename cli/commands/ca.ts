/**
 * `warden ca`: the keys of the authority, for its operator. Every step is one event in the ledger, and every verifier
 * has heard of it when the command returns.
 */
import {
  type AuthorityAnswer,
  type AuthorityStepAnswer,
  authorityAnswer,
  authorityStepAnswer,
} from "@trustwarden/core/api/authority.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { type Command, Option } from "commander";
import { examples, type Runtime, runCommand, type Session } from "../command.ts";
import { formatTable } from "../output.ts";

type Kind = AuthorityAnswer["keys"][number]["kind"];

interface StepOptions {
  readonly kind: Kind;
  readonly force?: boolean;
  readonly reason: string;
}

const KINDS: readonly Kind[] = ["root", "intermediate", "jwt", "wit"];
/** Shown in a table; the whole id is in `--json`, and any unambiguous beginning of it names the key. */
const SHORT_ID_CHARS = 12;

export function addCaCommands(program: Command, runtime: Runtime): void {
  const ca = program
    .command("ca")
    .description("the authority's keys: see them, rotate them, take them back")
    .addHelpText(
      "after",
      examples(
        "warden ca status",
        "warden ca rotate",
        "warden ca rotate --force",
        'warden ca revoke 3f2a91 --reason "leaked"',
      ),
    );
  ca.command("status")
    .description("every key with its state, and what can be done next")
    .addHelpText("after", examples("warden ca status", "warden ca status --json"))
    .action((_options: unknown, command: Command) =>
      runCommand({ runtime, command, refusal: "The authority could not be read.", run: showStatus }),
    );
  addKindStep(ca, runtime, {
    step: "prepare",
    description: "make a key and publish it; it signs nothing yet",
  });
  addKindStep(ca, runtime, {
    step: "activate",
    description: "sign with the prepared key",
    force: "do not wait for consumers of the bundle to have it",
  });
  addKindStep(ca, runtime, {
    step: "rotate",
    description: "prepare and activate",
    force: "at once, and have every SVID of the old key renewed now",
  });
  addKeyStep(ca, runtime, {
    step: "retire",
    description: "take a superseded key out of the bundle and destroy it",
    force: "although SVIDs of it may still be valid",
  });
  addKeyStep(ca, runtime, {
    step: "taint",
    description: "have every SVID that a superseded key signed renewed now",
  });
  addKeyStep(ca, runtime, {
    step: "revoke",
    description: "refuse everything that a superseded key signed, everywhere within one second",
  });
}

function addKindStep(
  ca: Command,
  runtime: Runtime,
  {
    step,
    description,
    force,
  }: { readonly step: string; readonly description: string; readonly force?: string },
): void {
  // Another kind must be published for a while before it signs, which no single step waits for.
  const other = step === "rotate" ? "--force" : "--kind jwt";
  const command = ca
    .command(step)
    .description(description)
    .addOption(new Option("--kind <kind>", "which key").choices(KINDS).default("intermediate"))
    .option("--reason <text>", "kept in the ledger", "")
    .addHelpText("after", examples(`warden ca ${step}`, `warden ca ${step} ${other} --reason yearly`));
  if (force !== undefined) command.option("--force", force);
  command.action(({ kind, force: isForced = false, reason }: StepOptions, self: Command) =>
    runStep({
      runtime,
      command: self,
      subject: `the ${kind} key`,
      bodyOf: async () => ({ step, kind, reason, ...(force === undefined ? {} : { force: isForced }) }),
    }),
  );
}

function addKeyStep(
  ca: Command,
  runtime: Runtime,
  {
    step,
    description,
    force,
  }: { readonly step: string; readonly description: string; readonly force?: string },
): void {
  const command = ca
    .command(step)
    .description(description)
    .argument("<key>", "id of the key, or its beginning; see `warden ca status`")
    .option("--reason <text>", "kept in the ledger", "")
    .addHelpText("after", examples(`warden ca ${step} 3f2a91`, `warden ca ${step} 3f2a91 --reason leaked`));
  if (force !== undefined) command.option("--force", force);
  command.action((key: string, { force: isForced = false, reason }: StepOptions, self: Command) =>
    runStep({
      runtime,
      command: self,
      subject: `key ${key}`,
      bodyOf: async (session) => ({
        step,
        id: await findKey(session, key),
        reason,
        ...(force === undefined ? {} : { force: isForced }),
      }),
    }),
  );
}

function runStep(options: {
  readonly runtime: Runtime;
  readonly command: Command;
  readonly subject: string;
  readonly bodyOf: (session: Session) => Promise<JsonObject>;
}): Promise<void> {
  const { runtime, command, subject, bodyOf } = options;
  return runCommand({
    runtime,
    command,
    refusal: `Nothing was done to ${subject}, as far as this command knows.`,
    run: async (session) => {
      const body = await bodyOf(session);
      const answer = await session.client.post({
        target: "/v1/authority/steps",
        body,
        schema: authorityStepAnswer,
      });
      session.output.show(answer, [...formatDone(answer), "", ...formatKeys(answer)]);
    },
  });
}

async function showStatus({ client, output }: Session): Promise<void> {
  const answer = await client.get("/v1/authority", authorityAnswer);
  output.show(answer, formatKeys(answer));
}

async function findKey({ client }: Session, beginning: string): Promise<string> {
  const { keys } = await client.get("/v1/authority", authorityAnswer);
  const [found, ...others] = keys.filter(({ id }) => beginning !== "" && id.startsWith(beginning));
  if (found === undefined || others.length > 0) {
    throw new TrustWardenError("usage", {
      why: `${found === undefined ? "no key" : "more than one key"} begins with ${beginning}`,
      next: "See `warden ca status --json` for whole ids.",
    });
  }
  return found.id;
}

function formatDone(answer: AuthorityStepAnswer): readonly string[] {
  const { epoch, acked, expired, elapsed_ms, event_ids, renew, recorded } = answer;
  return [
    `Done: epoch ${epoch}, ${Math.round(elapsed_ms)} ms until every verifier and node had heard of it.`,
    `${acked} acknowledged; ${expired} had no live connection, and their leases have run out.`,
    ...(renew.length === 0
      ? []
      : ["Agents renew now, within a minute; then `warden ca revoke` the old key if it leaked."]),
    recorded
      ? `Recorded as ${event_ids.join(", ")}.`
      : "It is in force; the ledger could not record it yet and will with the next start.",
  ];
}

function formatKeys({ keys, sequence, trust_domain }: AuthorityAnswer): readonly string[] {
  const rows = keys
    .filter(({ state }) => state !== "retired")
    .map(({ id, kind, state, custody, expires_at, usable_at, retirable_at }) => [
      kind,
      id.slice(0, SHORT_ID_CHARS),
      state,
      custody,
      formatAt(expires_at),
      usable_at !== null
        ? `activate from ${formatAt(usable_at)}`
        : retirable_at !== null
          ? `retire from ${formatAt(retirable_at)}`
          : "",
    ]);
  return [
    `Authority of ${trust_domain}, sequence ${sequence}.`,
    ...formatTable(["KIND", "KEY", "STATE", "CUSTODY", "ENDS", "NEXT"], rows, "No keys."),
  ];
}

function formatAt(seconds: number | null): string {
  return seconds === null ? "-" : new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ");
}
