/** `warden mcp`: what MCP servers behind the gateway offer, and what of it agents may see. */
import {
  type CatalogueAnswer,
  catalogueAnswer,
  type McpApprovalRequest,
  type PinAnswer,
} from "@trustwarden/core/api/mcp.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { DEFINITION_KINDS } from "@trustwarden/core/gateway/mcp/definition.ts";
import { isJsonObject, type Json, parseJson } from "@trustwarden/core/json.ts";
import type { Command } from "commander";
import { examples, type Runtime, runCommand, type Session } from "../command.ts";
import { formatTable, printable } from "../output.ts";

/** Enough of a digest to tell two apart by eye. */
const SHOWN_DIGEST_CHARS = 12;

interface ApproveOptions {
  readonly all?: boolean;
  readonly withdraw?: boolean;
}

export function addMcpCommands(program: Command, runtime: Runtime): void {
  const mcp = program
    .command("mcp")
    .description("what MCP servers behind the gateway offer, and what of it is approved")
    .addHelpText("after", examples("warden mcp pin search", "warden mcp diff search"));
  const add = (
    name: string,
    {
      about,
      refusal,
      run,
    }: {
      readonly about: string;
      readonly refusal: string;
      readonly run: (session: Session, upstream: string) => Promise<void>;
    },
  ): void => {
    mcp
      .command(name)
      .description(about)
      .argument("<upstream>", "as it was registered")
      .addHelpText("after", examples(`warden mcp ${name} search`, `warden mcp ${name} search --json`))
      .action((upstream: string, _options: unknown, command: Command) =>
        runCommand({ runtime, command, refusal, run: (session) => run(session, upstream) }),
      );
  };
  add("pin", {
    about: "look at a server now and approve all that it offers",
    refusal: "Nothing was approved.",
    run: pin,
  });
  add("show", {
    about: "what a server offered when it was looked at last",
    refusal: "It could not be shown.",
    run: show,
  });
  add("diff", {
    about: "look at a server now and show what differs from what was approved",
    refusal: "It could not be compared.",
    run: diff,
  });
  mcp
    .command("approve")
    .description("approve single things as they were seen last, or take approvals back")
    .argument("<upstream>", "as it was registered")
    .argument("[what...]", "kind:name, such as tool:find")
    .option("--all", "everything that was seen last")
    .option("--withdraw", "take the approval back instead")
    .addHelpText(
      "after",
      examples("warden mcp approve search tool:find", "warden mcp approve search tool:find --withdraw"),
    )
    .action((upstream: string, what: readonly string[], options: ApproveOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: `Nothing of ${printable(upstream)} was approved.`,
        run: (session) => approve(session, { upstream, what, options }),
      }),
    );
}

async function pin(session: Session, upstream: string): Promise<void> {
  const { pins } = await look(session, upstream);
  const answer = await send(session, upstream, { approve: approvalsOf(pins), withdraw: [] });
  session.output.show(answer, describe(answer));
}

async function show({ client, output }: Session, upstream: string): Promise<void> {
  const answer = await client.get(`${pathOf(upstream)}`, catalogueAnswer);
  output.show(answer, describe(answer));
}

async function diff(session: Session, upstream: string): Promise<void> {
  const answer = await look(session, upstream);
  const changed = answer.pins.filter(({ state }) => state !== "approved");
  const lines = changed.flatMap((one) => [
    `${one.kind}:${printable(one.name)} (${one.state})`,
    ...linesOf(one),
  ]);
  session.output.show({ ...answer, pins: changed }, lines.length === 0 ? ["Nothing differs."] : lines);
}

async function approve(
  session: Session,
  asked: { readonly upstream: string; readonly what: readonly string[]; readonly options: ApproveOptions },
): Promise<void> {
  const { upstream, what, options } = asked;
  const { pins } = await session.client.get(pathOf(upstream), catalogueAnswer);
  if ((what.length === 0) === (options.all !== true))
    throw new TrustWardenError("usage", { argument: "what" });
  const chosen = options.all === true ? pins : what.map((text) => findPin(pins, text));
  const withdraw = chosen.map(({ kind, name }) => ({ kind, name }));
  const body =
    options.withdraw === true ? { approve: [], withdraw } : { approve: approvalsOf(chosen), withdraw: [] };
  const answer = await send(session, upstream, body);
  session.output.show(answer, describe(answer));
}

function findPin(pins: readonly PinAnswer[], text: string): PinAnswer {
  const colon = text.indexOf(":");
  const kind = DEFINITION_KINDS.find((known) => known === text.slice(0, colon));
  const found = pins.find((one) => one.kind === kind && one.name === text.slice(colon + 1));
  if (found === undefined) throw new TrustWardenError("not_found", { what: text.slice(0, 128) });
  return found;
}

/** By the digest that was shown, so that a server that changes in between is not approved. */
function approvalsOf(pins: readonly PinAnswer[]): McpApprovalRequest["approve"] {
  return pins.flatMap(({ kind, name, seen }) => (seen === null ? [] : [{ kind, name, sha256: seen.sha256 }]));
}

function look({ client }: Session, upstream: string): Promise<CatalogueAnswer> {
  return client.post({ target: `${pathOf(upstream)}/look`, body: {}, schema: catalogueAnswer });
}

function send({ client }: Session, upstream: string, body: McpApprovalRequest): Promise<CatalogueAnswer> {
  return client.post({ target: `${pathOf(upstream)}/approvals`, body, schema: catalogueAnswer });
}

function pathOf(upstream: string): string {
  if (!/^[a-z][a-z0-9-]{0,62}$/.test(upstream)) throw new TrustWardenError("usage", { argument: "upstream" });
  return `/v1/upstreams/${upstream}/mcp`;
}

function describe({ pins }: CatalogueAnswer): readonly string[] {
  const rows = pins.map(({ kind, name, state, approved, seen }) => [
    kind,
    printable(name),
    state,
    digestOf(approved),
    digestOf(seen),
  ]);
  return formatTable(
    ["KIND", "NAME", "STATE", "APPROVED", "SEEN"],
    rows,
    "Nothing was seen yet: `warden mcp pin`.",
  );
}

function digestOf(version: PinAnswer["seen"]): string {
  return version === null ? "-" : version.sha256.slice(0, SHOWN_DIGEST_CHARS);
}

/** Member by member, what was approved and what is said now. */
function linesOf({ approved, seen }: PinAnswer): readonly string[] {
  const before = membersOf(approved);
  const after = membersOf(seen);
  const names = [...new Set([...before.keys(), ...after.keys()])].sort();
  return names.flatMap((name) => {
    const was = before.get(name);
    const is = after.get(name);
    if (was === is) return [];
    return [
      ...(was === undefined ? [] : [`  - ${printable(name)}: ${printable(was)}`]),
      ...(is === undefined ? [] : [`  + ${printable(name)}: ${printable(is)}`]),
    ];
  });
}

function membersOf(version: PinAnswer["seen"]): ReadonlyMap<string, string> {
  if (version === null) return new Map();
  const document = parseJson(version.document);
  const members: readonly (readonly [string, Json])[] = isJsonObject(document)
    ? Object.entries(document)
    : [["text", document]];
  return new Map(members.map(([name, value]) => [name, JSON.stringify(value)]));
}
