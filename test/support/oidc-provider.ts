/** A real identity provider, as a program of its own, and people who walk through its pages without a browser. */
import { fork } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { providerOptions } from "@trustwarden/core/api/identity-providers.ts";
import { parseAnswer } from "./actors.ts";
import { type RawAnswer, sendClear } from "./http.ts";
import { originOf, sendConsole } from "./people.ts";
import type { TestServer } from "./server.ts";

const PROGRAM = fileURLToPath(new URL("./oidc-provider.mjs", import.meta.url));
const MAX_STEPS = 12;

export interface TestProvider {
  readonly issuer: string;
  /** Tells it of its clients; once. */
  serve(clients: readonly object[]): Promise<void>;
  close(): void;
}

/** Starts one. */
export async function startOidcProvider(): Promise<TestProvider> {
  const child = fork(PROGRAM, { stdio: ["ignore", "ignore", "ignore", "ipc"], execArgv: ["--no-warnings"] });
  const [hello] = await once(child, "message");
  return {
    issuer: String(Object(hello).issuer),
    serve: async (clients) => {
      child.send([...clients]);
      await once(child, "message");
    },
    close: () => child.disconnect(),
  };
}

/** The provider in the console's settings. */
export function settingOf({ issuer }: Pick<TestProvider, "issuer">) {
  const discovery = { url: `${issuer}/.well-known/openid-configuration`, allowPrivate: true };
  return { name: "acme", label: "Acme", issuer, clientId: "trustwarden", discovery };
}

/** A public client of the console, as the provider has it. */
export function publicClient(server: Pick<TestServer, "consoleUrl">, name = "acme"): object {
  return {
    client_id: "trustwarden",
    redirect_uris: [`${originOf(server)}/app/signed-in/${name}`],
    post_logout_redirect_uris: [`${originOf(server)}/app`],
    token_endpoint_auth_method: "none",
    response_types: ["code"],
    grant_types: ["authorization_code"],
  };
}

/** What a page of the console posts after somebody came back. */
export interface Returned {
  readonly provider: string;
  readonly code: string;
  readonly code_verifier: string;
  readonly nonce: string;
  readonly iss?: string;
}

/** What a page begins with. */
export async function beginAt(server: TestServer, provider = "acme") {
  const target = `/v1/identity-providers/${provider}/options`;
  const { url, nonce } = parseAnswer(providerOptions, await sendConsole(server, { target }));
  const verifier = randomBytes(32).toString("base64url");
  const place = new URL(url);
  place.searchParams.set("state", randomBytes(16).toString("base64url"));
  place.searchParams.set("code_challenge", createHash("sha256").update(verifier).digest("base64url"));
  return { url: place, nonce, verifier };
}

/** Signs somebody in at a real provider. @returns what the console's page would post. */
export async function signInAt(server: TestServer, login: string): Promise<Returned> {
  const { url, nonce, verifier } = await beginAt(server);
  const back = await walk(url, { login, origin: originOf(server) });
  const iss = back.searchParams.get("iss");
  return {
    provider: "acme",
    code: back.searchParams.get("code") ?? "",
    code_verifier: verifier,
    nonce,
    ...(iss === null ? {} : { iss }),
  };
}

/** Follows the provider's pages, and fills them in, until it sends back to the console. */
async function walk(
  from: URL,
  { login, origin }: { readonly login: string; readonly origin: string },
): Promise<URL> {
  const jar = new Map<string, string>();
  let url = from;
  let form: string | null = null;
  for (let step = 0; step < MAX_STEPS; step += 1) {
    if (url.origin === origin) return url;
    const answer: RawAnswer = await ask(url, { jar, form });
    form = null;
    const { location } = answer.headers;
    if (location !== undefined) url = new URL(String(location), url);
    else
      form = answer.text.includes('value="login"')
        ? `prompt=login&login=${login}&password=x`
        : "prompt=consent";
  }
  throw new Error("the provider does not send back");
}

async function ask(
  { hostname: host, port, pathname, search }: URL,
  { jar, form }: { readonly jar: Map<string, string>; readonly form: string | null },
): Promise<RawAnswer> {
  const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join("; ");
  const headers = { host: `${host}:${port}`, cookie, "content-type": "application/x-www-form-urlencoded" };
  const target = `${pathname}${search}`;
  const posted = { method: "POST", target, headers, body: form ?? "" } as const;
  const answer = await sendClear({ host, port }, form === null ? { target, headers } : posted);
  for (const line of [answer.headers["set-cookie"] ?? []].flat()) {
    const [pair = ""] = line.split(";");
    const [name = "", value = ""] = pair.split("=");
    if (value === "") jar.delete(name);
    else jar.set(name, value);
  }
  return answer;
}
