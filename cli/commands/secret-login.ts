/**
 * `warden secret login`: a person logs in at the authorization server of a service, once, and the broker keeps what comes
 * of it. Agents get the service; nobody gets the token.
 */
import { type SecretAnswer, secretAnswer, secretList } from "@trustwarden/core/api/secrets.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { isJsonObject, type JsonObject } from "@trustwarden/core/json.ts";
import type { Command } from "commander";
import type { AuthorizationServer } from "oauth4webapi";
import { examples, type Runtime, repeatable, runCommand, type Session, wholeNumber } from "../command.ts";
import { openCallback } from "../login/callback.ts";
import { type LoginClient, openClient } from "../login/client.ts";
import { discoverIssuer, discoverService, type Service } from "../login/discover.ts";
import { type Login, logIn } from "../login/log-in.ts";
import { formatSeconds, printable } from "../output.ts";
import { findUpstreams, readValue } from "../secret-input.ts";

const MAX_PORT = 65_535;

interface LoginOptions {
  readonly resource?: string;
  readonly issuer?: string;
  readonly clientId?: string;
  readonly clientSecretFile?: string;
  readonly scope?: string;
  readonly port?: number;
  readonly allowPrivate?: true;
  readonly upstream?: readonly string[];
  readonly agent?: readonly string[];
  readonly reason?: string;
}

export function addLogin(secret: Command, runtime: Runtime): void {
  secret
    .command("login")
    .description("log in at the authorization server of a service; the broker keeps the login, and renews it")
    .argument("<name>", "of the secret; an existing one gets the new login")
    .option("--resource <url>", "of the service, such as an MCP server's; says where people log in")
    .option("--issuer <url>", "the authorization server, as you know it; the service has to name the same")
    .option("--client-id <id>", "a client that is registered there; without it one is registered")
    .option("--client-secret-file <file>", "of that client")
    .option("--scope <scopes>", "what to ask for, instead of what the service says")
    .option(
      "--port <port>",
      "where the browser comes back to; any free one unless given",
      wholeNumber(1, MAX_PORT),
    )
    .option("--allow-private", "the authorization server may be on this machine or the private network")
    .addOption(repeatable("--upstream <name[=origin]>", "an upstream that tokens may go to; repeat for more"))
    .addOption(
      repeatable("--agent <pattern>", "agent:<path>/<name> or owner:<id>, with * and **; repeat for more"),
    )
    .option("--reason <text>", "for the ledger")
    .addHelpText(
      "after",
      examples(
        "warden secret login tracker --resource https://mcp.tracker.example/mcp --issuer https://login.tracker.example \\",
        "    --upstream tracker --agent 'agent:team/**'",
        "warden secret login tracker --port 8765   # with `ssh -L 8765:127.0.0.1:8765` when the browser is elsewhere",
      ),
    )
    .action((name: string, options: LoginOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: `The secret ${printable(name)} has no new login.`,
        run: (session) => login(session, name, options),
      }),
    );
}

async function login(session: Session, name: string, options: LoginOptions): Promise<void> {
  const known = await findLogin(session, name);
  requireNoBinding(options, known);
  const service = await findService(options, known);
  const issuer = requireIssuer(options, service, known);
  const server = await discoverIssuer(issuer);
  if (known !== undefined) requireSameSource(known, { server, service, scope: options.scope });
  const callback = await openCallback(options.port ?? 0);
  try {
    const client = await openClient(server, clientOf(options, known), callback.redirectUri);
    const left = await logIn({
      ...{ server, client, callback },
      resource: service?.resource ?? null,
      scope: options.scope ?? parameterOf(known, "scope") ?? service?.scope ?? null,
      show: (url) => session.output.note(`Open this address in a browser, and log in:\n\n  ${url}\n`),
    });
    noteEnd(session, left);
    const kept = {
      server,
      client,
      value: loginValue(client, left, session.io.nowMs()),
      resource: service?.resource ?? null,
    };
    const answer = await (known === undefined
      ? put(session, { name, ...kept }, options)
      : replace(session, { known, ...kept }, options));
    session.output.show(answer, describe(answer));
  } finally {
    callback.close();
  }
}

/** The login that is there. @throws TrustWardenError `secret_exists` for a secret of another kind. */
async function findLogin({ client }: Session, name: string): Promise<SecretAnswer | undefined> {
  const { secrets } = await client.get("/v1/secrets", secretList);
  const known = secrets.find((one) => one.name === name);
  if (known !== undefined && known.source.grant !== "login")
    throw new TrustWardenError("secret_exists", { name });
  return known;
}

async function findService(
  { resource, issuer }: LoginOptions,
  known: SecretAnswer | undefined,
): Promise<Service | null> {
  const place = resource ?? parameterOf(known, "resource");
  if (place !== undefined) return discoverService(place);
  if (issuer === undefined) throw new TrustWardenError("usage", { reason: "--resource, --issuer, or both" });
  return null;
}

function parameterOf(known: SecretAnswer | undefined, name: "resource" | "scope"): string | undefined {
  const { parameters } = known?.source ?? {};
  const value = isJsonObject(parameters) ? parameters[name] : undefined;
  return typeof value === "string" ? value : undefined;
}

/** A new login changes nothing else. @throws TrustWardenError `usage`. */
function requireNoBinding({ upstream, agent }: LoginOptions, known: SecretAnswer | undefined): void {
  if (known === undefined || (upstream ?? agent) === undefined) return;
  throw new TrustWardenError("usage", {
    reason: "the secret is there: `warden secret scope` says where it goes and who may use it",
  });
}

/**
 * The secret says where its refresh token goes and what is asked for with it: a login of elsewhere would go there.
 *
 * @throws TrustWardenError `login_failed`.
 */
function requireSameSource(
  known: SecretAnswer,
  {
    server,
    service,
    scope,
  }: {
    readonly server: AuthorizationServer;
    readonly service: Service | null;
    readonly scope: string | undefined;
  },
): void {
  const { audience, token_endpoint: endpoint } = known.source;
  const isSame =
    server.issuer === audience &&
    server.token_endpoint === endpoint &&
    service?.resource === parameterOf(known, "resource") &&
    // Where the secret names no scope its tokens have that of the login, whichever it was.
    (scope === undefined || [undefined, scope].includes(parameterOf(known, "scope")));
  if (!isSame)
    throw new TrustWardenError("login_failed", {
      reason: "the secret is of another issuer, endpoint, service or scope: delete it first",
    });
}

/** A service's word alone sends nobody anywhere. @throws TrustWardenError `usage`, `login_failed`. */
function requireIssuer(
  { issuer }: LoginOptions,
  service: Service | null,
  known: SecretAnswer | undefined,
): string {
  const named = service?.issuers ?? [];
  const before = known?.source.audience;
  const wanted = issuer ?? (typeof before === "string" ? before : undefined);
  if (wanted === undefined)
    throw new TrustWardenError("usage", {
      reason: `the service sends you to ${named.map(printable).join(", ") || "nobody"}; say it yourself with --issuer`,
    });
  if (service !== null && !named.includes(wanted))
    throw new TrustWardenError("login_failed", {
      reason: "the service names another issuer",
      named: [...named],
    });
  return wanted;
}

function clientOf(
  { clientId, clientSecretFile }: LoginOptions,
  known: SecretAnswer | undefined,
): { readonly id: string; readonly secret: string | null } | null {
  const before = known?.source.client_id;
  const id = clientId ?? (typeof before === "string" ? before : undefined);
  if (id === undefined) {
    if (clientSecretFile === undefined) return null;
    throw new TrustWardenError("usage", { reason: "--client-secret-file is of a --client-id" });
  }
  const isOpen = known === undefined || known.source.client_auth === "none";
  if (clientSecretFile === undefined && !isOpen)
    throw new TrustWardenError("usage", { reason: "this client has a secret: say --client-secret-file" });
  return { id, secret: clientSecretFile === undefined ? null : readValue(clientSecretFile) };
}

interface Kept {
  readonly server: AuthorizationServer;
  readonly client: LoginClient;
  readonly value: string;
  readonly resource: string | null;
}

async function put(
  { client: api }: Session,
  { name, server, client, resource, value }: Kept & { readonly name: string },
  { upstream, agent, scope, reason, allowPrivate }: LoginOptions,
): Promise<SecretAnswer> {
  const parameters = {
    ...(resource === null ? {} : { resource }),
    ...(scope === undefined ? {} : { scope }),
  };
  const body: JsonObject = {
    ...{ name, kind: "oauth", value },
    source: {
      token_endpoint: server.token_endpoint ?? "",
      grant: "login",
      client_auth: client.auth,
      client_id: client.id,
      audience: server.issuer,
      parameters,
      allow_private: allowPrivate === true,
    },
    upstreams: await findUpstreams(api, upstream ?? []),
    agents: [...(agent ?? [])],
    injection: { as: "header", name: "authorization", template: "Bearer {secret}" },
    ...(reason === undefined ? {} : { reason }),
  };
  return api.post({ target: "/v1/secrets", body, schema: secretAnswer });
}

/** @throws TrustWardenError `login_failed` when the login is not of the client that the secret names. */
async function replace(
  { client: api }: Session,
  { known, client, value }: Kept & { readonly known: SecretAnswer },
  { reason }: LoginOptions,
): Promise<SecretAnswer> {
  const { client_id: id, client_auth: auth } = known.source;
  if (id !== client.id || auth !== client.auth)
    throw new TrustWardenError("login_failed", {
      reason: "the secret is of another client: delete it first",
    });
  const body = {
    value,
    grace_seconds: 0,
    ...(reason === undefined ? {} : { reason }),
  };
  const target = `/v1/secrets/${encodeURIComponent(known.name)}/versions`;
  return api.post({ target, body, schema: secretAnswer });
}

/** The access token is kept where nothing gets better ones. */
function loginValue(
  { secret }: LoginClient,
  { refreshToken, accessToken, expiresIn }: Login,
  nowMs: number,
): string {
  const token =
    refreshToken === undefined
      ? {
          access_token: accessToken,
          ...(expiresIn === undefined ? {} : { expires_at: Math.floor(nowMs / 1000) + expiresIn }),
        }
      : { refresh_token: refreshToken };
  return JSON.stringify({ ...token, ...(secret === null ? {} : { client_secret: secret }) });
}

/** What whoever logged in has to know of a login that nothing renews. */
function noteEnd({ output, io }: Session, { refreshToken, expiresIn }: Login): void {
  if (refreshToken !== undefined) return;
  const end =
    expiresIn === undefined
      ? "until the service ends it"
      : `until ${formatSeconds(Math.floor(io.nowMs() / 1000) + expiresIn)}`;
  output.note(
    `No refresh token came: this login lasts ${end}. Some issuers give one for --scope offline_access.`,
  );
}

function describe({ name, upstreams, agents, source }: SecretAnswer): readonly string[] {
  const places = upstreams.map((upstream) => `${upstream.name} (${upstream.origin})`).join(", ");
  return [
    `${name} is a login at ${typeof source.audience === "string" ? source.audience : "its issuer"}.`,
    `Its tokens go to: ${places || "no upstream"}. They are for: ${agents.join(", ") || "nobody"}.`,
  ];
}
