/**
 * `warden entry`: which workloads become which agent. The owner's key signs an entry on this machine, as it signs a
 * ticket; entries that admit nodes are the operator's and are signed by nobody.
 */

import { entryIdOf, issueRegistrationEntry } from "@trustwarden/core/agentid/registration-entry.ts";
import { formatSelectors, parseSelectors } from "@trustwarden/core/agentid/selector.ts";
import { type EntryView, entryAnswer, entryList } from "@trustwarden/core/api/registration.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { formatUlid } from "@trustwarden/core/id.ts";
import { hasWildcardVerbOrType, parseScope } from "@trustwarden/core/scope.ts";
import { parseTtl } from "@trustwarden/core/ttl.ts";
import type { Command } from "commander";
import { type Client, readPages } from "../client.ts";
import { examples, type Runtime, repeatable, runCommand, type Session, wholeNumber } from "../command.ts";
import { formatSeconds, formatTable } from "../output.ts";
import { openOwner } from "../owner-keys.ts";
import { asOwner } from "../owner-transport.ts";

const DEFAULT_VALID_FOR = "90d";
const PAGE = 500;
const MAX_INTEGER = 1_000_000_000;

interface CreateOptions {
  readonly owner?: string;
  readonly admitNode?: string;
  readonly path: string;
  readonly name?: string;
  readonly scope?: readonly string[];
  readonly selector: readonly string[];
  readonly node?: readonly string[];
  readonly hint: string;
  readonly ttl: string;
  readonly validFor: string;
  readonly depth: number;
  readonly fanOut: number;
}

export function addEntryCommands(program: Command, runtime: Runtime): void {
  const entry = program
    .command("entry")
    .description("which workloads become which agent, without a ticket")
    .addHelpText(
      "after",
      examples(
        "warden entry create --owner alice --path team/web --name crawler --scope fetch:web --selector unix:uid:1000",
        "warden entry list",
      ),
    );
  addCreate(entry, runtime);
  entry
    .command("list")
    .description("every entry, or with --as the owner's own")
    .addHelpText("after", examples("warden entry list", "warden entry list --as alice --json"))
    .action((_options: unknown, command: Command) =>
      runCommand({ runtime, command, refusal: "The entries could not be listed.", run: listEntries }),
    );
  entry
    .command("show")
    .description("one entry, with its selectors")
    .argument("<id>", "ent_…")
    .addHelpText("after", examples("warden entry show ent_01J…"))
    .action((id: string, _options: unknown, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: `The entry ${id} could not be shown.`,
        run: (session) => showEntry(session, id),
      }),
    );
  entry
    .command("remove")
    .description("end an entry: nothing more is issued or renewed by it; `warden stop` ends what lives")
    .argument("<id>", "ent_…")
    .addHelpText("after", examples("warden entry remove ent_01J…", "warden entry remove ent_01J… --as alice"))
    .action((id: string, _options: unknown, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: `The entry ${id} was not removed.`,
        run: async ({ client, output }) => {
          const target = `/v1/entries/${encodeURIComponent(id)}/removal`;
          const answer = await client.post({ target, body: {}, schema: entryAnswer });
          output.show(answer, [
            `Entry ${answer.entry_id} is removed. What it issued lives until its SVID ends.`,
          ]);
        },
      }),
    );
}

function addCreate(entry: Command, runtime: Runtime): void {
  entry
    .command("create")
    .description("register which workloads become which agent, signed by the owner's key; or admit a node")
    .option("--owner <name>", "whose key signs; see `warden owner create`")
    .option("--name <name>", "of the agent, such as crawler")
    .addOption(repeatable("--scope <atom>", "what it may do, verb:type[:path]; repeat for each"))
    .addOption(
      repeatable(
        "--selector <type:value>",
        "what a workload must have, all of them; repeat for each",
      ).makeOptionMandatory(),
    )
    .addOption(repeatable("--node <name>", "host that may ask for it; repeat for each; any unless given"))
    .option("--path <path>", "its place, such as team/web", "")
    .option("--hint <text>", "told to the workload beside its identity", "")
    .option("--ttl <time>", "lifetime of each instance", "8h")
    .option("--valid-for <time>", "how long the entry stands, up to 366d", DEFAULT_VALID_FOR)
    .option("--depth <n>", "generations below it", wholeNumber(0, 32), 0)
    .option("--fan-out <n>", "live direct children", wholeNumber(0, MAX_INTEGER), 0)
    .option(
      "--admit-node <name>",
      "instead: admit hosts with these selectors as nodes of this name (operator)",
    )
    .addHelpText(
      "after",
      examples(
        "warden entry create --owner alice --path team/web --name crawler --scope fetch:web \\",
        "    --selector unix:uid:1000 --selector unix:path:/usr/bin/crawler --node host-1",
        "warden entry create --admit-node runner --selector aws:account:123456789012",
      ),
    )
    .action((options: CreateOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "No entry was registered.",
        run: (session) =>
          options.admitNode === undefined
            ? createEntry(session, options)
            : admitNode(session, options, options.admitNode),
      }),
    );
}

async function createEntry({ io, paths, output }: Session, options: CreateOptions): Promise<void> {
  const { owner: ownerName, name, scope: atoms } = options;
  if (ownerName === undefined || name === undefined || atoms === undefined) {
    throw new TrustWardenError("usage", {
      why: "an agent's entry needs --owner, --name and --scope",
      next: "See `warden entry create --help`; --admit-node <name> admits a host instead.",
    });
  }
  const owner = openOwner(paths, ownerName);
  const scope = parseScope(atoms);
  const nowMs = io.nowMs();
  const iat = Math.floor(nowMs / 1000);
  const document = {
    v: 1,
    kind: "agent",
    jti: formatUlid(nowMs, io.random),
    aud: `spiffe://${owner.profile.trustDomain}`,
    iat,
    exp: iat + parseTtl(options.validFor),
    owner: owner.profile.ownerId,
    path: options.path,
    name,
    scope,
    ttl_seconds: parseTtl(options.ttl),
    limits: { depth: options.depth, fan_out: options.fanOut, budget: null },
    selectors: formatSelectors(parseSelectors(options.selector)),
    nodes: options.node === undefined ? ["*"] : [...new Set(options.node)].toSorted(),
    hint: options.hint,
  } as const;
  const entry = issueRegistrationEntry(document, owner.signer, owner.keyid);
  // The owner registers its entry itself, also where the operator's socket is at hand.
  await asOwner(owner, io, async (client) => {
    const answer = await client.post({ target: "/v1/entries", body: { entry }, schema: entryAnswer });
    if (hasWildcardVerbOrType(scope))
      output.note("warden: a wildcard verb or type reaches far; it is limited to one hour.");
    output.show({ ...answer, expires_at: formatSeconds(document.exp) }, [
      `Entry ${entryIdOf(document)} stands until ${formatSeconds(document.exp)}.`,
      `Workloads with ${document.selectors.join(" and ")} become ${name}.`,
    ]);
  });
}

async function admitNode({ client, output }: Session, options: CreateOptions, name: string): Promise<void> {
  const selectors = [...formatSelectors(parseSelectors(options.selector))];
  const body = { node_entry: { name, selectors } };
  const answer = await client.post({ target: "/v1/entries", body, schema: entryAnswer });
  output.show(answer, [`Entry ${answer.entry_id}: hosts with ${selectors.join(" and ")} join as ${name}.`]);
}

async function listEntries({ client, output }: Session): Promise<void> {
  const entries = await fetchEntries(client);
  const rows = entries.map((entry) => [
    entry.entry_id,
    entry.kind,
    placeOf(entry),
    entry.status,
    entry.selectors.join(" "),
    entry.nodes.join(" "),
  ]);
  output.show(
    { entries },
    formatTable(
      ["ID", "KIND", "NAME", "STATUS", "SELECTORS", "NODES"],
      rows,
      "No entries yet: make one with `warden entry create`.",
    ),
  );
}

async function showEntry({ client, output }: Session, id: string): Promise<void> {
  const entry = (await fetchEntries(client)).find(({ entry_id }) => entry_id === id);
  if (entry === undefined) throw new TrustWardenError("not_found", { why: `there is no entry ${id}` });
  output.show(entry, [
    `${entry.entry_id}  ${placeOf(entry)}  (${entry.kind}, ${entry.status})`,
    `  selectors  ${entry.selectors.join("\n             ")}`,
    `  nodes      ${entry.nodes.join(" ")}`,
    `  scope      ${entry.scope.join(" ")}`,
    `  until      ${entry.expires_at === null ? "it is removed" : formatSeconds(entry.expires_at)}`,
  ]);
}

function placeOf({ path, name }: EntryView): string {
  return path === "" ? name : `${path}/${name}`;
}

async function fetchEntries(client: Client): Promise<readonly EntryView[]> {
  const entries: EntryView[] = [];
  const list = { path: "/v1/entries", query: { limit: PAGE }, schema: entryList };
  for await (const page of readPages(client, list)) entries.push(...page.entries);
  return entries;
}
