/** An identity provider on loopback that says whatever a test wants: other keys, other claims, other places. */
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from "jose";

type Members = Readonly<Record<string, unknown>>;

/** What a test turns; everything is honest at first. */
export interface ProviderWorld {
  /** Members that replace those of the discovery document. */
  metadata: Members;
  claims: Members;
  header: Members;
  /** Instead of the set of its keys. */
  keys: unknown;
  /** Instead of the ID token. */
  token: string | undefined;
  status: number;
  /** Where the token endpoint sends on to. */
  location: string | undefined;
}

/** Owns its keys. */
export class HostileProvider {
  readonly world: ProviderWorld;
  /** Path of every request, and the forms of codes. */
  readonly paths: string[] = [];
  readonly asked: { readonly form: URLSearchParams; readonly authorization: string | undefined }[] = [];
  issuer = "";
  nonce = "";
  #key: { readonly kid: string; readonly privateKey: CryptoKey; readonly jwk: JWK };
  #published: readonly JWK[];
  readonly #server = createServer((request, response) => {
    void this.#answer(request).then(({ status, body, location }) => {
      const headers = { "content-type": "application/json", ...(location === undefined ? {} : { location }) };
      response.writeHead(status, headers).end(JSON.stringify(body));
    });
  });

  private constructor(key: { readonly kid: string; readonly privateKey: CryptoKey; readonly jwk: JWK }) {
    this.world = HostileProvider.honest();
    this.#key = key;
    this.#published = [key.jwk];
  }

  static honest(): ProviderWorld {
    const instead = { keys: undefined, token: undefined, location: undefined };
    return { metadata: {}, claims: {}, header: {}, status: 200, ...instead };
  }

  static async open(): Promise<HostileProvider> {
    const made = new HostileProvider(await makeKey("first"));
    await new Promise<void>((resolve) => made.#server.listen(0, "127.0.0.1", resolve));
    made.#server.unref();
    const { port } = made.#server.address() as AddressInfo; // cast: a TCP server that listens has a port
    made.issuer = `http://127.0.0.1:${port}`;
    return made;
  }

  /** Signs by another key from now on. @param isPublished - whether it says so. */
  async changeKey(kid: string, isPublished: boolean): Promise<void> {
    this.#key = await makeKey(kid);
    if (isPublished) this.#published = [this.#key.jwk];
  }

  /** The modulus that it publishes, for who would take it for a secret. */
  get publicText(): string {
    return JSON.stringify(this.#published[0]);
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  async #answer(request: IncomingMessage): Promise<{ status: number; body: unknown; location?: string }> {
    const { pathname } = new URL(request.url ?? "/", this.issuer);
    this.paths.push(pathname);
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(Buffer.from(part));
    if (pathname === "/.well-known/openid-configuration") return { status: 200, body: this.#metadata() };
    if (pathname === "/keys") return { status: 200, body: this.world.keys ?? { keys: this.#published } };
    const { authorization } = request.headers;
    const form = new URLSearchParams(Buffer.concat(parts).toString());
    this.asked.push({ form, authorization });
    const { status, location, token } = this.world;
    if (location !== undefined) return { status: 307, body: {}, location };
    const idToken = token ?? (await this.#issue(claimsOf(form)));
    return { status, body: { access_token: "unused", token_type: "Bearer", id_token: idToken } };
  }

  #metadata(): object {
    const { issuer } = this;
    return {
      issuer,
      authorization_endpoint: `${issuer}/authorize`,
      token_endpoint: `${issuer}/token`,
      jwks_uri: `${issuer}/keys`,
      ...this.world.metadata,
    };
  }

  #issue(given: Members): Promise<string> {
    const now = Math.floor(Date.now() / 1000);
    const basics = {
      iss: this.issuer,
      aud: "trustwarden",
      sub: "grace",
      nonce: this.nonce,
      iat: now,
      exp: now + 300,
    };
    const claims = Object.entries({ ...basics, ...this.world.claims, ...given }).filter(
      ([, value]) => value !== undefined,
    );
    return new SignJWT(Object.fromEntries(claims))
      .setProtectedHeader({ alg: "RS256", kid: this.#key.kid, ...this.world.header })
      .sign(this.#key.privateKey);
  }
}

/** Claims that a code itself carries, so that several worlds may use one provider at a time. */
function claimsOf(form: URLSearchParams): Members {
  const code = form.get("code") ?? "";
  return code.startsWith("{") ? Object(JSON.parse(code)) : {};
}

async function makeKey(kid: string) {
  const { publicKey, privateKey } = await generateKeyPair("RS256", { extractable: true });
  return { kid, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg: "RS256", use: "sig" } };
}
