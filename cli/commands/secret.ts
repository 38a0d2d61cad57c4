/**
 * `warden secret`: upstream credentials, which the broker keeps and puts on requests, so that no agent holds one.
 *
 * Values go in from a file or standard input and never come out; nothing here prints one, but a canary that it has
 * just made, which has to be planted somewhere.
 */
import {
  type SecretAnswer,
  type SecretKeyAnswer,
  secretAnswer,
  secretKeyAnswer,
  secretList,
  secretRemoval,
} from "@trustwarden/core/api/secrets.ts";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { parseTtl } from "@trustwarden/core/ttl.ts";
import type { Command } from "commander";
import { examples, type Runtime, repeatable, runCommand, type Session } from "../command.ts";
import { formatSeconds, formatTable, printable } from "../output.ts";
import {
  findUpstreams,
  hasClientSecret,
  type InjectionOptions,
  parseInjection,
  readSource,
  readValue,
} from "../secret-input.ts";
import { addImport } from "./secret-import.ts";
import { addLogin } from "./secret-login.ts";

const CANARY_BYTES = 18;
/** How tokens go out unless somebody says otherwise (RFC 6750 §2.1). */
const BEARER = { as: "header", name: "authorization", template: "Bearer {secret}" } as const;

interface ScopeOptions extends InjectionOptions {
  readonly upstream?: readonly string[];
  readonly agent?: readonly string[];
  readonly reason?: string;
}

interface PutOptions extends ScopeOptions {
  readonly valueFile: string;
  readonly source?: string;
}

interface RotateOptions {
  readonly valueFile: string;
  readonly grace: string;
  readonly reason?: string;
}

/** Runs a command about one secret. */
type Run<Options> = (session: Session, name: string, options: Options) => Promise<void>;

export function addSecretCommands(program: Command, runtime: Runtime): void {
  const secret = program
    .command("secret")
    .description("upstream credentials, which the broker puts on requests; they are never read back")
    .addHelpText("after", examples("warden secret list", "warden secret put --help"));
  addPut(secret, runtime);
  addRotations(secret, runtime);
  addScope(secret, runtime);
  addStates(secret, runtime);
  addCanary(secret, runtime);
  addLists(secret, runtime);
  addImport(secret, runtime);
  addLogin(secret, runtime);
}

function addPut(secret: Command, runtime: Runtime): void {
  const put = secret
    .command("put")
    .description("keep a secret, for the upstreams and agents that are named and nobody else")
    .argument("<name>", "[a-z0-9][a-z0-9._-]*")
    .option("--value-file <file>", "file with the value; - for standard input", "-")
    .option("--source <file>", "JSON: the authorization server that gives tokens for the upstream");
  withScope(put).addHelpText(
    "after",
    examples(
      "warden secret put model-key --upstream models --agent 'agent:team/**' --header 'Authorization: Bearer {secret}' < key.txt",
      "warden secret put crm-token --upstream crm --agent 'agent:team/**' --source crm.json < client-secret.txt",
      "warden secret put shop-key --upstream shop=https://shop.example --agent owner:own_01J... --header 'x-api-key: {secret}'",
    ),
  );
  act(put, runtime, "was not kept", putOne);
}

const putOne: Run<PutOptions> = async (session, name, options) => {
  const source = options.source === undefined ? undefined : readSource(options.source);
  const injection = parseInjection(options) ?? (source === undefined ? undefined : BEARER);
  if (injection === undefined)
    throw new TrustWardenError("usage", { reason: "say how it goes out: --header, --basic or --query" });
  warnOfQuery(session, options);
  const body: JsonObject = {
    name,
    ...(source === undefined ? {} : { kind: "oauth", source }),
    // A source that shows a JWT-SVID of the agent has no secret of its own.
    ...(source === undefined || hasClientSecret(source) ? { value: readValue(options.valueFile) } : {}),
    upstreams: await findUpstreams(session.client, options.upstream ?? []),
    agents: [...(options.agent ?? [])],
    injection,
    ...reasonOf(options),
  };
  const answer = await session.client.post({ target: "/v1/secrets", body, schema: secretAnswer });
  session.output.show(answer, describe(answer));
};

function addRotations(secret: Command, runtime: Runtime): void {
  const rotate = secret
    .command("rotate")
    .description("replace the value; the one before may stay for a while, for rolling back")
    .argument("<name>", "of the secret")
    .option("--value-file <file>", "file with the new value; - for standard input", "-")
    .option("--grace <duration>", "how long the version before stays; 0s destroys it at once", "0s")
    .option("--reason <text>", "for the ledger")
    .addHelpText("after", examples("warden secret rotate model-key --grace 1h < next.txt"));
  act(rotate, runtime, "was not replaced", async ({ client, output }, name, options: RotateOptions) => {
    const body = {
      value: readValue(options.valueFile),
      grace_seconds: parseGrace(options.grace),
      ...reasonOf(options),
    };
    const answer = await client.post({ target: targetOf(name, "versions"), body, schema: secretAnswer });
    output.show(answer, describe(answer));
  });
  const rollback = secret
    .command("rollback")
    .description("bring back the version before, within its grace")
    .argument("<name>", "of the secret")
    .option("--grace <duration>", "how long the version that did not work stays", "0s")
    .option("--reason <text>", "for the ledger")
    .addHelpText("after", examples("warden secret rollback model-key"));
  act(rollback, runtime, "was not rolled back", async ({ client, output }, name, options: RotateOptions) => {
    const body = { grace_seconds: parseGrace(options.grace), ...reasonOf(options) };
    const answer = await client.post({ target: targetOf(name, "rollback"), body, schema: secretAnswer });
    output.show(answer, describe(answer));
  });
  secret
    .command("rotate-key")
    .description("make the next key-encryption key, and bring every secret under it")
    .option("--continue", "make no new one: go on with what is not under the latest yet")
    .option("--reason <text>", "for the ledger")
    .addHelpText("after", examples("warden secret rotate-key", "warden secret rotate-key --continue"))
    .action((options: { readonly continue?: true; readonly reason?: string }, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The key-encryption key was not rotated to the end.",
        run: (session) => rotateKey(session, options),
      }),
    );
}

function addScope(secret: Command, runtime: Runtime): void {
  const scope = withScope(
    secret
      .command("scope")
      .description(
        "say anew where a secret may go, who may use it, or how it goes out; what is not named stays",
      )
      .argument("<name>", "of the secret"),
  ).addHelpText("after", examples("warden secret scope model-key --agent agent:team/finance/payer"));
  act(scope, runtime, "keeps its scope", async (session: Session, name, options: ScopeOptions) => {
    const { upstream, agent } = options;
    const injection = parseInjection(options);
    warnOfQuery(session, options);
    const body: JsonObject = {
      ...(upstream === undefined ? {} : { upstreams: await findUpstreams(session.client, upstream) }),
      ...(agent === undefined ? {} : { agents: [...agent] }),
      ...(injection === undefined ? {} : { injection }),
      ...reasonOf(options),
    };
    const answer = await session.client.post({ target: targetOf(name, "scope"), body, schema: secretAnswer });
    session.output.show(answer, describe(answer));
  });
}

function addStates(secret: Command, runtime: Runtime): void {
  const states = [
    { name: "disable", rest: "disabling", what: "take it out of use at once; calls under way are cut" },
    { name: "enable", rest: "enabling", what: "put it back into use" },
    { name: "delete", rest: "removal", what: "destroy it at once; calls under way are cut" },
  ] as const;
  for (const { name: verb, rest, what } of states) {
    const command = secret
      .command(verb)
      .description(what)
      .argument("<name>", "of the secret")
      .option("--reason <text>", "for the ledger")
      .addHelpText("after", examples(`warden secret ${verb} model-key`));
    act(
      command,
      runtime,
      `was not changed`,
      async ({ client, output }, name, options: { readonly reason?: string }) => {
        const call = { target: targetOf(name, rest), body: reasonOf(options) };
        if (verb === "delete") {
          const answer = await client.post({ ...call, schema: secretRemoval });
          output.show(answer, [`${answer.name} is destroyed.`]);
          return;
        }
        const answer = await client.post({ ...call, schema: secretAnswer });
        output.show(answer, describe(answer));
      },
    );
  }
}

function addCanary(secret: Command, runtime: Runtime): void {
  const canary = secret
    .command("canary")
    .description(
      "a string to plant where nobody should read: a call that carries it is blocked, with an alarm",
    )
    .argument("<name>", "of where it is planted")
    .option("--value-file <file>", "a value of your own; without it, one is made and shown this once")
    .option("--reason <text>", "for the ledger")
    .addHelpText(
      "after",
      examples("warden secret canary crm-row-17", "warden secret canary env-file --value-file bait.txt"),
    );
  act(
    canary,
    runtime,
    "was not made a canary",
    async ({ client, output, io }, name, options: Partial<PutOptions>) => {
      const { valueFile } = options;
      const made = `cnry_${encodeBase64url(io.random(CANARY_BYTES))}`;
      const value = valueFile === undefined ? made : readValue(valueFile);
      const body = { name, kind: "canary", value, ...reasonOf(options) };
      const answer = await client.post({ target: "/v1/secrets", body, schema: secretAnswer });
      const shown = valueFile === undefined ? { ...answer, value } : answer;
      output.show(shown, [
        `${answer.name} is watched for in every call.`,
        ...(valueFile === undefined ? [`Plant it; it is shown this once: ${value}`] : []),
      ]);
    },
  );
}

function addLists(secret: Command, runtime: Runtime): void {
  secret
    .command("list")
    .description("every secret, without its value")
    .addHelpText("after", examples("warden secret list", "warden secret list --json"))
    .action((_options: unknown, command: Command) =>
      runCommand({ runtime, command, refusal: "The secrets could not be listed.", run: listAll }),
    );
  const show = secret
    .command("show")
    .description("one secret, without its value")
    .argument("<name>", "of the secret")
    .addHelpText("after", examples("warden secret show model-key"));
  act(show, runtime, "could not be shown", async ({ client, output }, name) => {
    const { secrets } = await client.get("/v1/secrets", secretList);
    const found = secrets.find((one) => one.name === name);
    if (found === undefined) throw new TrustWardenError("not_found", { name });
    output.show(found, describe(found));
  });
}

function act<Options>(command: Command, runtime: Runtime, refusal: string, run: Run<Options>): void {
  command.action((name: string, options: Options, own: Command) =>
    runCommand({
      runtime,
      command: own,
      refusal: `The secret ${printable(name)} ${refusal}.`,
      run: (session) => run(session, name, options),
    }),
  );
}

function withScope(command: Command): Command {
  return command
    .addOption(repeatable("--upstream <name[=origin]>", "an upstream that it may go to; repeat for more"))
    .addOption(
      repeatable("--agent <pattern>", "agent:<path>/<name> or owner:<id>, with * and **; repeat for more"),
    )
    .option("--header <name: template>", "goes out as a header, such as 'Authorization: Bearer {secret}'")
    .option("--basic <user>", "goes out as the password of basic authentication")
    .option("--query <name>", "goes out in the query; servers and proxies write queries into their logs")
    .option("--reason <text>", "for the ledger");
}

async function rotateKey(
  { client, output }: Session,
  options: { readonly continue?: true; readonly reason?: string },
): Promise<void> {
  const ask = (begin: boolean): Promise<SecretKeyAnswer> =>
    client.post({
      target: "/v1/secret-keys/rotation",
      body: { begin, ...reasonOf(options) },
      schema: secretKeyAnswer,
    });
  let progress = await ask(options.continue !== true);
  while (progress.remaining > 0) {
    output.note(`${progress.remaining} versions are not under ${progress.key_id} yet.`);
    progress = await ask(false);
  }
  const versions = progress.keys.reduce((sum, key) => sum + key.versions, 0);
  output.show(progress, [`${versions} versions are under ${progress.key_id}; older keys are destroyed.`]);
}

async function listAll({ client, output }: Session): Promise<void> {
  const list = await client.get("/v1/secrets", secretList);
  const rows = list.secrets.map(({ name, kind, is_disabled, upstreams, agents, versions }) => [
    name,
    kind,
    is_disabled ? "disabled" : "in use",
    String(versions[0]?.version ?? ""),
    upstreams.map((upstream) => upstream.name).join(",") || "none",
    agents.join(",") || "nobody",
  ]);
  const header = ["NAME", "KIND", "STATE", "VERSION", "UPSTREAMS", "AGENTS"];
  output.show(list, formatTable(header, rows, "No secrets yet: see `warden secret put --help`."));
}

function describe({ name, kind, is_disabled, upstreams, agents, versions }: SecretAnswer): readonly string[] {
  const [current, ...before] = versions;
  const state = is_disabled ? "is disabled" : "is in use";
  const places = upstreams.map((upstream) => `${upstream.name} (${upstream.origin})`).join(", ");
  return [
    `${name} (${kind}) ${state}, version ${current?.version ?? "none"}.`,
    ...(kind === "canary"
      ? []
      : [`It goes to: ${places || "no upstream"}.`, `It is for: ${agents.join(", ") || "nobody"}.`]),
    ...before.map(({ version, ends_at }) => `Version ${version} stays until ${formatSeconds(ends_at ?? 0)}.`),
  ];
}

function warnOfQuery({ output }: Session, { query }: InjectionOptions): void {
  if (query !== undefined)
    output.note("Warning: what is in a query stands in the logs of servers and proxies; prefer --header.");
}

function targetOf(name: string, rest: string): string {
  if (!/^[a-z0-9][a-z0-9._-]{0,62}$/.test(name)) throw new TrustWardenError("usage", { argument: "name" });
  return `/v1/secrets/${name}/${rest}`;
}

function parseGrace(text: string): number {
  return text === "0s" ? 0 : parseTtl(text);
}

function reasonOf({ reason }: { readonly reason?: string }): JsonObject {
  return reason === undefined ? {} : { reason };
}
