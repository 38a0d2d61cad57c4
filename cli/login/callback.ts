/**
 * Where a browser comes back to after a login: a listener on this machine, for one answer.
 *
 * Anybody on the machine can ask it for something. Only what carries the state of this login counts, and it counts once.
 *
 * @see RFC 8252 §7.3, §8.9
 */
import { createServer, type Server } from "node:http";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { isEqualSecret } from "@trustwarden/core/crypto.ts";
import { listenOn } from "../listen.ts";
import { failed } from "./web.ts";

const PATH = "/callback";
const PAGE_HEADERS = {
  "content-type": "text/html; charset=utf-8",
  "content-security-policy": "default-src 'none'",
  "cache-control": "no-store",
  "referrer-policy": "no-referrer",
} as const;

/** A listener that waits. */
export interface Callback {
  readonly redirectUri: string;
  /** The answer that carries the state. @throws TrustWardenError `login_failed` when none comes in time. */
  wait(state: string, timeoutMs: number): Promise<URL>;
  close(): void;
}

/** @throws TrustWardenError `bind_refused`. */
export async function openCallback(port: number): Promise<Callback> {
  const server = createServer();
  const place = await listenOn(server, { host: "127.0.0.1", port });
  const redirectUri = `http://127.0.0.1:${place.port}${PATH}`;
  return {
    redirectUri,
    wait: (state, timeoutMs) => waitFor(server, { redirectUri, state, timeoutMs }),
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

function waitFor(
  server: Server,
  {
    redirectUri,
    state,
    timeoutMs,
  }: { readonly redirectUri: string; readonly state: string; readonly timeoutMs: number },
): Promise<URL> {
  const { promise, resolve, reject } = Promise.withResolvers<URL>();
  const timer = setTimeout(() => reject(failed("nobody came back from the login in time")), timeoutMs);
  server.on("request", (request, response) => {
    const url = URL.parse(request.url ?? "", redirectUri);
    const isOurs =
      request.method === "GET" &&
      url?.pathname === PATH &&
      isEqualSecret(encodeUtf8(url.searchParams.get("state") ?? ""), encodeUtf8(state));
    if (!isOurs || url === null) {
      response.writeHead(404, PAGE_HEADERS).end("This is not the login that is waited for.");
      return;
    }
    const said = url.searchParams.has("code") ? "You are logged in." : "The login was refused.";
    response.writeHead(200, PAGE_HEADERS).end(`${said} You may close this window, and look at the terminal.`);
    resolve(url);
  });
  return promise.finally(() => clearTimeout(timer));
}
