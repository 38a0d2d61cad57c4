/** `warden upstream`: what is behind the gateway. */
import {
  type UpstreamAnswer,
  upstreamAnswer,
  upstreamList,
  upstreamRemoval,
} from "@trustwarden/core/api/gateway.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { UPSTREAM_KINDS } from "@trustwarden/core/gateway/upstream.ts";
import { type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import { type Command, Option } from "commander";
import { examples, type Runtime, runCommand, type Session } from "../command.ts";
import { readRoutes } from "../openapi-file.ts";
import { formatTable, printable } from "../output.ts";
import { readTextFile } from "../text-file.ts";

interface SetOptions {
  readonly kind: string;
  readonly url: string;
  readonly settings?: string;
  readonly openapi?: string;
  readonly caFile?: string;
  readonly secret?: string;
  readonly allowPrivate?: true;
}

export function addUpstreamCommands(program: Command, runtime: Runtime): void {
  const upstream = program
    .command("upstream")
    .description("what agents may call through the gateway")
    .addHelpText("after", examples("warden upstream list", "warden upstream set --help"));
  addSet(upstream, runtime);
  upstream
    .command("list")
    .description("every upstream")
    .addHelpText("after", examples("warden upstream list", "warden upstream list --json"))
    .action((_options: unknown, command: Command) =>
      runCommand({ runtime, command, refusal: "The upstreams could not be listed.", run: listAll }),
    );
  upstream
    .command("show")
    .description("one upstream with its settings")
    .argument("<name>", "as it was registered")
    .addHelpText("after", examples("warden upstream show shop"))
    .action((name: string, _options: unknown, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: `${printable(name)} could not be shown.`,
        run: (session) => showOne(session, name),
      }),
    );
  upstream
    .command("remove")
    .description("take an upstream away; calls to it that are running are cut")
    .argument("<name>", "as it was registered")
    .addHelpText("after", examples("warden upstream remove shop"))
    .action((name: string, _options: unknown, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: `${printable(name)} was not taken away.`,
        run: (session) => removeOne(session, name),
      }),
    );
}

function addSet(upstream: Command, runtime: Runtime): void {
  upstream
    .command("set")
    .description("register an upstream, or replace its registration")
    .argument("<name>", "first part of its path at the gateway: [a-z][a-z0-9-]*")
    .addOption(new Option("--kind <kind>", "its protocol").choices(UPSTREAM_KINDS).makeOptionMandatory())
    .requiredOption("--url <url>", "https origin and base path")
    .option("--settings <file>", "JSON of the kind, such as the route table of an http upstream")
    .option("--openapi <file>", "for http: the route table from an OpenAPI document, JSON or YAML")
    .option("--secret <name>", "the broker's secret that goes along; agents never see it")
    .option("--ca-file <file>", "PEM of the authorities to believe instead of the system's")
    .option("--allow-private", "its name may lead to this machine or the private network")
    .addHelpText(
      "after",
      examples(
        "warden upstream set models --kind openai --url https://api.model.example --secret model-key",
        "warden upstream set shop --kind http --url https://shop.internal:8443 --allow-private --settings shop.json",
      ),
    )
    .action((name: string, options: SetOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: `${printable(name)} was not registered.`,
        run: (session) => setOne(session, name, options),
      }),
    );
}

async function setOne({ client, output }: Session, name: string, options: SetOptions): Promise<void> {
  const answer = await client.post({
    target: "/v1/upstreams",
    body: {
      name,
      kind: options.kind,
      url: options.url,
      ca: options.caFile === undefined ? null : readTextFile(options.caFile),
      allow_private: options.allowPrivate ?? false,
      secret: options.secret ?? null,
      settings: settingsOf(options),
    },
    schema: upstreamAnswer,
  });
  output.show(answer, describe(answer));
}

async function listAll({ client, output }: Session): Promise<void> {
  const list = await client.get("/v1/upstreams", upstreamList);
  const rows = list.upstreams.map(({ name, kind, url, secret }) => [name, kind, url, secret ?? "none"]);
  const none = "No upstreams yet: see `warden upstream set --help`.";
  output.show(list, formatTable(["NAME", "KIND", "URL", "SECRET"], rows, none));
}

async function showOne({ client, output }: Session, name: string): Promise<void> {
  const { upstreams } = await client.get("/v1/upstreams", upstreamList);
  const found = upstreams.find((upstream) => upstream.name === name);
  if (found === undefined) throw new TrustWardenError("upstream_unknown", { name });
  output.show(found, [...describe(found), JSON.stringify(found.settings, null, 2)]);
}

async function removeOne({ client, output }: Session, name: string): Promise<void> {
  if (!/^[a-z][a-z0-9-]{0,62}$/.test(name)) throw new TrustWardenError("usage", { argument: "name" });
  const target = `/v1/upstreams/${name}/removal`;
  const answer = await client.post({ target, body: {}, schema: upstreamRemoval });
  output.show(answer, [`${answer.name} is gone; ${answer.calls_cut} running calls to it were cut.`]);
}

function describe({ name, kind, url, secret }: UpstreamAnswer): readonly string[] {
  const along = secret === null ? "no secret goes along" : `the secret ${secret} goes along`;
  return [`/${name} at the gateway leads to ${url} (${kind}); ${along}.`];
}

function settingsOf({ settings, openapi, url }: SetOptions): JsonObject {
  if (settings !== undefined && openapi !== undefined)
    throw new TrustWardenError("usage", { why: "give either --settings or --openapi" });
  if (openapi !== undefined) return { routes: readRoutes({ openapi }, url).map((route) => ({ ...route })) };
  return settings === undefined ? {} : readSettings(settings);
}

function readSettings(path: string): JsonObject {
  return parseJsonObject(readTextFile(path));
}
