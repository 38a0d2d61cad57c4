/** Calls through the gateway by clients that know only OAuth, and the shop behind it. */
import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { issueDpopProof } from "@trustwarden/core/dpop.ts";
import { issueMessageSignature } from "@trustwarden/core/http-signature.ts";
import { type RawAnswer, send, sendAdmin } from "./http.ts";
import type { TestKey } from "./oauth.ts";
import type { TestServer } from "./server.ts";

const ROUTES = [
  { method: "GET", path: "/items/{id}", action: "read:items:{id}", resource: "shop://items/{id}" },
  { method: "POST", path: "/items", action: "write:items", resource: "shop://items" },
];

/** The one item whose answer has no end. */
const STREAM = "/items/stream";

/** A request as the shop got it. */
export interface Received {
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

/** An upstream that notes what reaches it. */
export interface Shop {
  readonly received: Received[];
  close(): void;
}

/** One program behind two upstreams of the gateway: `shop` and `mill`. */
export async function startShop(server: TestServer): Promise<Shop> {
  const received: Received[] = [];
  const program: Server = createServer(async (request, response) => {
    let body = "";
    for await (const part of request) body += String(part);
    received.push({ url: request.url ?? "", headers: request.headers, body });
    if (request.url !== STREAM) return void response.end("done");
    // Until somebody breaks it off.
    const timer = setInterval(() => response.write("tick"), 20);
    response.once("close", () => clearInterval(timer));
  });
  await new Promise<void>((resolve) => program.listen(0, "127.0.0.1", resolve));
  // Whoever forgets to close it must not wait for it.
  program.unref();
  const address = program.address();
  const url = `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`;
  for (const name of ["shop", "mill"]) {
    const body = JSON.stringify({
      name,
      kind: "http",
      url,
      allow_private: true,
      settings: { routes: ROUTES },
    });
    const answer = await sendAdmin(server.adminSocket, { method: "POST", target: "/v1/upstreams", body });
    if (answer.status !== 200) throw new Error(answer.text);
  }
  const close = (): void => {
    program.closeAllConnections();
    program.close();
  };
  return { received, close };
}

/** What a client without our SDK sends. */
export interface Shown {
  readonly token: string;
  /** Signs the proof. */
  readonly signer: TestKey;
  readonly method?: string;
  readonly target?: string;
  readonly body?: string;
  readonly proof?: Partial<Parameters<typeof issueDpopProof>[0]>;
  /** Signs the message with this key. */
  readonly message?: TestKey;
  readonly headers?: Readonly<Record<string, string>>;
}

export const SHOP_ITEM = "/shop/items/1";
export const WRITE = { method: "POST", target: "/shop/items", body: '{"n":1}' } as const;

/** A nonce of the gateway. */
export async function gatewayNonceOf(gateway: string): Promise<string> {
  const metadata = await send(gateway, { target: "/.well-known/oauth-protected-resource/shop" });
  return String(metadata.headers["dpop-nonce"]);
}

/** Sends a call that presents a token. */
export async function show(gateway: string, shown: Shown): Promise<RawAnswer> {
  const { method = "GET", target = SHOP_ITEM, body = "", token, signer, message } = shown;
  const now = Math.floor(Date.now() / 1000);
  const [path = ""] = target.split("?");
  const nonce = await gatewayNonceOf(gateway);
  const url = `${gateway}${path}`;
  const made = { method, url, jti: randomUUID(), now, signer, nonce, accessToken: token, ...shown.proof };
  const authorization = `DPoP ${token}`;
  const bytes = new TextEncoder().encode(body);
  const plain = { method, url: `${gateway}${target}`, headers: { authorization }, body: bytes };
  const signed =
    message === undefined ? {} : issueMessageSignature(plain, { signer: message, now, nonce: randomUUID() });
  const headers = { authorization, dpop: issueDpopProof(made), ...signed, ...shown.headers };
  return send(gateway, { method, target, headers, ...(body === "" ? {} : { body }) });
}
