/**
 * A service and its authorization server on loopback, for logins: metadata, registration, codes by PKCE, and refresh tokens
 * that are replaced with each use and end the login when an old one is shown. Whoever opens the page is logged in.
 */
import { createHash, randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** What a test turns. */
export interface LoginWorld {
  /** Members that replace those of the documents. */
  service: object;
  metadata: object;
  /** Parameters that replace those of the answer to the browser. */
  answer: Readonly<Record<string, string>>;
  /** Members that replace those of the answer with tokens. */
  tokens: object;
}

/** Owns the logins of one person. */
export class LoginServer {
  readonly world: LoginWorld = { service: {}, metadata: {}, answer: {}, tokens: {} };
  /** Parameters of every call of the token endpoint. */
  readonly asked: URLSearchParams[] = [];
  origin = "";
  readonly #server = createServer((request, response) => void this.#answer(request, response));
  readonly #challenges = new Map<string, string>();
  #refreshToken = "";
  #accessToken = "";

  static async open(): Promise<LoginServer> {
    const made = new LoginServer();
    await new Promise<void>((resolve) => made.#server.listen(0, "127.0.0.1", resolve));
    made.#server.unref();
    const { port } = made.#server.address() as AddressInfo; // cast: a TCP server that listens has a port
    made.origin = `http://127.0.0.1:${port}`;
    return made;
  }

  /** The service that takes its tokens. */
  get resource(): string {
    return `${this.origin}/mcp`;
  }

  /** As a person does in the settings of an account. */
  endLogins(): void {
    this.#refreshToken = "";
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  #documents(): Readonly<Record<string, object>> {
    const { origin, resource, world } = this;
    return {
      "/.well-known/oauth-protected-resource/mcp": {
        ...{ resource, authorization_servers: [origin], scopes_supported: ["issues.read"] },
        ...world.service,
      },
      "/.well-known/oauth-authorization-server": {
        issuer: origin,
        authorization_endpoint: `${origin}/authorize`,
        token_endpoint: `${origin}/token`,
        registration_endpoint: `${origin}/register`,
        code_challenge_methods_supported: ["S256"],
        token_endpoint_auth_methods_supported: ["none"],
        scopes_supported: ["issues.read", "offline_access"],
        authorization_response_iss_parameter_supported: true,
        ...world.metadata,
      },
    };
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "", this.origin);
    const body = await readBody(request);
    const document = this.#documents()[url.pathname];
    if (document !== undefined) return sendJson(response, 200, document);
    switch (url.pathname) {
      case "/mcp":
        return sendJson(response, this.#isKnown(request) ? 200 : 401, {});
      case "/register":
        return sendJson(response, 201, { client_id: randomUUID(), ...JSON.parse(body) });
      case "/authorize":
        return this.#authorize(url.searchParams, response);
      case "/token":
        return this.#giveTokens(new URLSearchParams(body), response);
      default:
        return sendJson(response, 404, {});
    }
  }

  #isKnown({ headers }: IncomingMessage): boolean {
    return headers.authorization === `Bearer ${this.#accessToken}`;
  }

  #authorize(params: URLSearchParams, response: ServerResponse): void {
    const code = randomUUID();
    this.#challenges.set(code, params.get("code_challenge") ?? "");
    const back = new URL(params.get("redirect_uri") ?? "");
    const said = { code, state: params.get("state") ?? "", iss: this.origin, ...this.world.answer };
    for (const [name, value] of Object.entries(said)) if (value !== "") back.searchParams.set(name, value);
    response.writeHead(302, { location: back.href }).end();
  }

  #giveTokens(params: URLSearchParams, response: ServerResponse): void {
    this.asked.push(params);
    const isGood =
      params.get("grant_type") === "refresh_token" ? this.#isFresh(params) : this.#isCode(params);
    this.#refreshToken = isGood ? `refresh-${randomUUID()}` : "";
    this.#accessToken = isGood ? `access-${randomUUID()}` : "";
    const tokens = {
      ...{ access_token: this.#accessToken, refresh_token: this.#refreshToken, token_type: "Bearer" },
      ...{ expires_in: 300, ...this.world.tokens },
    };
    sendJson(response, isGood ? 200 : 400, isGood ? tokens : { error: "invalid_grant" });
  }

  #isFresh(params: URLSearchParams): boolean {
    return this.#refreshToken !== "" && params.get("refresh_token") === this.#refreshToken;
  }

  #isCode(params: URLSearchParams): boolean {
    const code = params.get("code") ?? "";
    const verifier = params.get("code_verifier") ?? "";
    const challenge = this.#challenges.get(code);
    this.#challenges.delete(code);
    return challenge === createHash("sha256").update(verifier).digest("base64url");
  }
}

function sendJson(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { "content-type": "application/json", "cache-control": "no-store" });
  response.end(JSON.stringify(body));
}

async function readBody(request: IncomingMessage): Promise<string> {
  let body = "";
  for await (const part of request) body += String(part);
  return body;
}
