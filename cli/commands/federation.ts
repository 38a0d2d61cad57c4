/**
 * `warden federation` and `warden bundle`: other trust domains whose identities are believed here, and the bundles
 * that they are believed by.
 */
import {
  type FederationAnswer,
  federationAnswer,
  federationList,
  federationRemoval,
} from "@trustwarden/core/api/federation.ts";
import { parseBase64 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { isJsonObject, type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import { formatPem } from "@trustwarden/core/pem.ts";
import { type Command, Option } from "commander";
import { examples, type Runtime, runCommand, type Session } from "../command.ts";
import { formatTable, printable } from "../output.ts";
import { readTextFile } from "../text-file.ts";

interface CreateOptions {
  readonly profile: "https_web" | "https_spiffe";
  readonly url: string;
  readonly endpointSpiffeId?: string;
  readonly caFile?: string;
  readonly bundle?: string;
}

/** Runs one of the commands below; each is about at most one trust domain. */
type Run<Options> = (session: Session, trustDomain: string, options: Options) => Promise<void>;

export function addFederationCommands(program: Command, runtime: Runtime): void {
  const federation = program
    .command("federation")
    .description("other trust domains whose identities are believed here")
    .addHelpText("after", examples("warden federation list", "warden federation refresh partner.test"));
  addCreate(federation, runtime);
  federation
    .command("list")
    .description("every relationship, with its last bundle and its last fetch")
    .addHelpText("after", examples("warden federation list", "warden federation list --json"))
    .action((_options: unknown, command: Command) =>
      runCommand({ runtime, command, refusal: "The relationships could not be listed.", run: listAll }),
    );
  addOne(federation, runtime, { name: "show", what: "one relationship", run: showOne });
  addOne(federation, runtime, { name: "refresh", what: "fetch the bundle now", run: refreshOne });
  addOne(federation, runtime, {
    name: "remove",
    what: "end the relationship: nothing of that trust domain is believed any more",
    run: removeOne,
  });
}

export function addBundleCommands(program: Command, runtime: Runtime): void {
  const bundle = program
    .command("bundle")
    .description("the trust bundles: our own, and those of federated trust domains")
    .addHelpText("after", examples("warden bundle show", "warden bundle list"));
  bundle
    .command("show")
    .description("the SPIFFE bundle document of a trust domain, ours when none is named")
    .argument("[trust-domain]", "a federated one")
    .option("--pem", "its root certificates alone, for programs that take a file of them")
    .addHelpText("after", examples("warden bundle show", "warden bundle show --pem"))
    .action(
      (trustDomain: string | undefined, { pem = false }: { readonly pem?: boolean }, command: Command) =>
        runCommand({
          runtime,
          command,
          refusal: "The bundle could not be shown.",
          run: (session) => showBundle(session, { trustDomain, isPem: pem }),
        }),
    );
  bundle
    .command("list")
    .description("every trust domain that is believed here")
    .addHelpText("after", examples("warden bundle list"))
    .action((_options: unknown, command: Command) =>
      runCommand({ runtime, command, refusal: "The bundles could not be listed.", run: listBundles }),
    );
  bundle
    .command("set")
    .description("set the bundle of another trust domain by hand, with or without an endpoint")
    .argument("<trust-domain>", "such as partner.test")
    .requiredOption("--file <file>", "SPIFFE bundle document, JSON")
    .addHelpText("after", examples("warden bundle set partner.test --file partner.json"))
    .action((trustDomain: string, options: { readonly file: string }, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: `The bundle of ${printable(trustDomain)} was not set.`,
        run: (session) => setBundle(session, trustDomain, options.file),
      }),
    );
}

function addCreate(federation: Command, runtime: Runtime): void {
  federation
    .command("create")
    .description("federate with a trust domain, whose bundle is then fetched from its endpoint")
    .argument("<trust-domain>", "such as partner.test")
    .requiredOption("--url <url>", "https URL of its bundle endpoint")
    .addOption(
      new Option("--profile <profile>", "how the endpoint proves itself")
        .choices(["https_web", "https_spiffe"])
        .makeOptionMandatory(),
    )
    .option("--endpoint-spiffe-id <id>", "for https_spiffe: the endpoint's SPIFFE ID")
    .option("--ca-file <file>", "for https_web: PEM of the authorities to believe instead of the web's")
    .option("--bundle <file>", "the first bundle, JSON; required for https_spiffe")
    .addHelpText(
      "after",
      examples(
        "warden federation create partner.test --profile https_web --url https://spire.partner.test/bundle",
        "warden federation create partner.test --profile https_spiffe --url https://10.0.0.7:8443 \\",
        "  --endpoint-spiffe-id spiffe://partner.test/spire/server --bundle partner.json",
      ),
    )
    .action((trustDomain: string, options: CreateOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: `There is no relationship with ${printable(trustDomain)}.`,
        run: (session) => createOne(session, trustDomain, options),
      }),
    );
}

function addOne(
  federation: Command,
  runtime: Runtime,
  { name, what, run }: { readonly name: string; readonly what: string; readonly run: Run<unknown> },
): void {
  federation
    .command(name)
    .description(what)
    .argument("<trust-domain>", "such as partner.test")
    .addHelpText("after", examples(`warden federation ${name} partner.test`))
    .action((trustDomain: string, options: unknown, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: `\`federation ${name}\` of ${printable(trustDomain)} was not done.`,
        run: (session) => run(session, trustDomain, options),
      }),
    );
}

const createOne: Run<CreateOptions> = async ({ client, output }, trustDomain, options) => {
  const answer = await client.post({
    target: "/v1/federations",
    body: {
      trust_domain: trustDomain,
      endpoint: {
        profile: options.profile,
        url: options.url,
        endpoint_spiffe_id: options.endpointSpiffeId ?? null,
        web_ca: options.caFile === undefined ? null : readTextFile(options.caFile),
      },
      bundle: options.bundle === undefined ? null : readTextFile(options.bundle),
    },
    schema: federationAnswer,
  });
  output.show(answer, describe(answer));
};

async function listAll({ client, output }: Session): Promise<void> {
  const list = await client.get("/v1/federations", federationList);
  const rows = list.federations.map((one) => [
    one.trust_domain,
    one.profile ?? "by hand",
    one.sequence === null ? "none" : String(one.sequence),
    one.failure ?? "ok",
    one.url ?? "",
  ]);
  const none = "No relationships yet: see `warden federation create --help`.";
  output.show(list, formatTable(["TRUST DOMAIN", "PROFILE", "SEQUENCE", "LAST FETCH", "URL"], rows, none));
}

const showOne: Run<unknown> = async ({ client, output }, trustDomain) => {
  const { federations } = await client.get("/v1/federations", federationList);
  const found = federations.find((one) => one.trust_domain === trustDomain);
  if (found === undefined) throw new TrustWardenError("not_found", { trustDomain });
  output.show(found, describe(found));
};

const refreshOne: Run<unknown> = async ({ client, output }, trustDomain) => {
  const target = `${targetOf(trustDomain)}/refresh`;
  const answer = await client.post({ target, body: {}, schema: federationAnswer });
  output.show(answer, describe(answer));
};

const removeOne: Run<unknown> = async ({ client, output }, trustDomain) => {
  const target = `${targetOf(trustDomain)}/removal`;
  const answer = await client.post({ target, body: {}, schema: federationRemoval });
  output.show(answer, [`Nothing of ${answer.trust_domain} is believed any more (epoch ${answer.epoch}).`]);
};

async function showBundle(
  { client, output }: Session,
  { trustDomain, isPem }: { readonly trustDomain: string | undefined; readonly isPem: boolean },
): Promise<void> {
  const text = trustDomain === undefined ? await client.getText("/v1/bundle") : undefined;
  const document = text === undefined ? (await readMap(client))[trustDomain ?? ""] : parseJsonObject(text);
  if (!isJsonObject(document)) throw new TrustWardenError("not_found", { trustDomain: trustDomain ?? "" });
  output.show(document, isPem ? pemOf(document) : [JSON.stringify(document, null, 2)]);
}

/** The roots of a bundle document, one block each. */
function pemOf({ keys }: JsonObject): readonly string[] {
  const certificates = Array.isArray(keys)
    ? keys.map((key) => (isJsonObject(key) && Array.isArray(key.x5c) ? key.x5c[0] : undefined))
    : [];
  return certificates.flatMap((base64) =>
    typeof base64 === "string" ? [formatPem("CERTIFICATE", parseBase64(base64)).trimEnd()] : [],
  );
}

async function listBundles({ client, output }: Session): Promise<void> {
  const map = await readMap(client);
  const rows = Object.entries(map).map(([name, document]) => {
    const { keys, spiffe_sequence: sequence } = isJsonObject(document) ? document : {};
    return [name, String(sequence ?? "none"), String(Array.isArray(keys) ? keys.length : 0)];
  });
  output.show(map, formatTable(["TRUST DOMAIN", "SEQUENCE", "KEYS"], rows, "No bundles."));
}

async function setBundle({ client, output }: Session, trustDomain: string, file: string): Promise<void> {
  const bundle = readTextFile(file);
  const { federations } = await client.get("/v1/federations", federationList);
  const isKnown = federations.some((one) => one.trust_domain === trustDomain);
  const answer = await client.post({
    target: isKnown ? `${targetOf(trustDomain)}/bundle` : "/v1/federations",
    body: isKnown ? { bundle } : { trust_domain: trustDomain, endpoint: null, bundle },
    schema: federationAnswer,
  });
  output.show(answer, describe(answer));
}

async function readMap(client: Session["client"]): Promise<ReturnType<typeof parseJsonObject>> {
  const { trust_domains: map } = parseJsonObject(await client.getText("/v1/bundles"));
  if (!isJsonObject(map)) throw new TrustWardenError("bundle_malformed", { reason: "trust_domains" });
  return map;
}

function describe(one: FederationAnswer): readonly string[] {
  const from = one.url === null ? "set by hand" : `from ${one.url} (${one.profile})`;
  const bundle =
    one.sequence === null
      ? "No bundle yet."
      : `Bundle ${one.sequence}: ${one.x509_authorities} X.509 and ${one.jwt_authorities} JWT keys, ${from}.`;
  const failure =
    one.failure === null ? [] : [`The last fetch failed: ${one.failure}. The last bundle stays in force.`];
  return [`${one.trust_domain} is federated.`, bundle, ...failure];
}

/** A trust domain goes into a path: only its own alphabet does. */
function targetOf(trustDomain: string): string {
  if (!/^[a-z0-9._-]{1,255}$/.test(trustDomain))
    throw new TrustWardenError("usage", { argument: "trust-domain" });
  return `/v1/federations/${trustDomain}`;
}
