/** People in front of browsers: the console's listener as a page of ours, or of somebody else, would ask it. */
import { type AuthenticatorOptions, SoftwareAuthenticator } from "./authenticator.ts";
import { jsonOf, type RawAnswer, type RawRequest, sendAdmin, sendClear } from "./http.ts";
import type { TestServer } from "./server.ts";

/** A server with a console on any free port. */
export const CONSOLE = { console: { port: 0 } } as const;

/** Somebody who is logged in. */
export interface TestPerson {
  readonly personId: string;
  readonly ownerId: string | null;
  readonly authenticator: SoftwareAuthenticator;
  /** `name=value` of the session's cookie. */
  readonly cookie: string;
}

/** The console's origin. */
export function originOf(server: Pick<TestServer, "consoleUrl">): string {
  if (server.consoleUrl === null) throw new Error("the test's server has a console");
  return server.consoleUrl;
}

/** Sends what a page of the console sends; headers of the request go over those of a browser. */
export function sendConsole(
  server: Pick<TestServer, "consoleUrl">,
  request: RawRequest,
  cookie?: string,
): Promise<RawAnswer> {
  const origin = originOf(server);
  const own = { "sec-fetch-site": "same-origin", ...(cookie === undefined ? {} : { cookie }) };
  const changing = { origin, "trustwarden-console": "1" };
  const headers = { ...own, ...(request.method === "POST" ? changing : {}), ...request.headers };
  return sendPlain(server, { ...request, headers });
}

/** Sends exactly what is given to the console's listener. */
export function sendPlain(server: Pick<TestServer, "consoleUrl">, request: RawRequest): Promise<RawAnswer> {
  const { port, host } = new URL(originOf(server));
  return sendClear({ host: "127.0.0.1", port }, { ...request, headers: { host, ...request.headers } });
}

/** A one-time link, made by the operator. */
export async function createLink(server: TestServer, body: object = {}): Promise<string> {
  const answer = await sendAdmin(server.adminSocket, {
    method: "POST",
    target: "/v1/people/links",
    body: JSON.stringify(body),
  });
  const { link } = jsonOf(answer);
  if (typeof link !== "string") throw new Error(`no link: ${answer.text}`);
  return link;
}

/** A fresh challenge. */
export async function challengeFor(
  server: TestServer,
  purpose: "register" | "log-in" | "add-passkey" | "remove-passkey" | `add-identity:${string}`,
): Promise<string> {
  const { challenge } = jsonOf(await sendConsole(server, { target: `/v1/passkeys/options/${purpose}` }));
  return String(challenge);
}

/** Uses a link with a new passkey. */
export async function useLink(
  server: TestServer,
  {
    link,
    authenticator,
    ...more
  }: {
    readonly link: string;
    readonly authenticator: SoftwareAuthenticator;
    readonly name?: string;
    readonly address?: string;
  },
): Promise<RawAnswer> {
  const credential = authenticator.create(await challengeFor(server, "register"));
  const body = JSON.stringify({ link, name: "Ada", ...more, credential });
  return sendConsole(server, { method: "POST", target: "/v1/people", body });
}

/** Logs in with a passkey. */
export async function logIn(server: TestServer, authenticator: SoftwareAuthenticator): Promise<RawAnswer> {
  const credential = authenticator.get(await challengeFor(server, "log-in"));
  return sendConsole(server, {
    method: "POST",
    target: "/v1/session",
    body: JSON.stringify({ credential }),
  });
}

/** A person, come in and logged in. @param link - one that was made, or as `POST /v1/people/links` takes it. */
export async function createPerson(
  server: TestServer,
  link: object | string = {},
  options: Partial<AuthenticatorOptions> & { readonly address?: string } = {},
): Promise<TestPerson> {
  const { address, ...device } = options;
  const authenticator = new SoftwareAuthenticator({ origin: originOf(server), ...device });
  const made = typeof link === "string" ? link : await createLink(server, link);
  const coming = { link: made, authenticator };
  const answer = await useLink(server, { ...coming, ...(address === undefined ? {} : { address }) });
  return personOf(answer, authenticator);
}

/** Logs somebody in anew. */
export async function refresh(server: TestServer, person: TestPerson): Promise<TestPerson> {
  return personOf(await logIn(server, person.authenticator), person.authenticator);
}

/** Asks a second admin to confirm a request. @returns the confirmation's id. */
export async function askConfirmation(
  server: TestServer,
  { cookie }: Pick<TestPerson, "cookie">,
  { method = "GET", target, body = "" }: RawRequest,
): Promise<string> {
  const asked = JSON.stringify({ method, target, body, reason: "as the test wants" });
  const request = { method: "POST", target: "/v1/confirmations", body: asked } as const;
  const answer = await sendConsole(server, request, cookie);
  const { id } = jsonOf(answer);
  if (typeof id !== "string") throw new Error(`nothing was asked: ${answer.text}`);
  return id;
}

/** Confirms with a passkey. @param signed - another confirmation, whose challenge is signed instead. */
export async function confirm(
  server: TestServer,
  { cookie, authenticator }: Pick<TestPerson, "cookie" | "authenticator">,
  id: string,
  signed: string = id,
): Promise<RawAnswer> {
  const shown = await sendAdmin(server.adminSocket, { target: `/v1/confirmations/${signed}` });
  const credential = authenticator.get(String(jsonOf(shown).challenge));
  const target = `/v1/confirmations/${id}/answer`;
  const body = JSON.stringify({ answer: "confirm", credential });
  return sendConsole(server, { method: "POST", target, body }, cookie);
}

/** Sends a request with the confirmation that it waits for. */
export function confirmed(
  server: TestServer,
  { cookie }: Pick<TestPerson, "cookie">,
  request: RawRequest,
  id: string,
): Promise<RawAnswer> {
  const headers = { "trustwarden-confirmation": id };
  return sendConsole(server, { ...request, headers }, cookie);
}

/** The person that an answer opened a session for. */
function personOf(answer: RawAnswer, authenticator: SoftwareAuthenticator): TestPerson {
  const { person_id, owner_id } = jsonOf(answer);
  if (answer.status !== 200) throw new Error(`nobody was let in: ${answer.text}`);
  return {
    personId: String(person_id),
    ownerId: typeof owner_id === "string" ? owner_id : null,
    authenticator,
    cookie: cookieOf(answer),
  };
}

/** `name=value` of the cookie that an answer sets. */
export function cookieOf({ headers }: RawAnswer): string {
  const [cookie = ""] = [headers["set-cookie"] ?? []].flat();
  return cookie.split(";")[0] ?? "";
}
