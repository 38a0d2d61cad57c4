/**
 * The three listeners: `main` and `stop` over TLS 1.3, `admin` on a unix socket in the private data directory.
 *
 * Peers are asked for a certificate but never refused by the TLS library: our own code verifies the chain, so that a
 * refusal is a recorded 401. There is no session resumption, since a resumed session would skip that check (D9).
 * The stop listener has connections and limits of its own, so that a flood on the main one does not shut it; what they
 * share is the event loop, which is why nothing here may hold it for long.
 */
import { constants } from "node:crypto";
import { chmod, rm } from "node:fs/promises";
import {
  createServer as createPlainServer,
  type Server as PlainServer,
  type RequestListener,
} from "node:http";
import { createServer, type Server, type ServerOptions } from "node:https";
import { isIPv6 } from "node:net";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import Fastify, { type FastifyInstance } from "fastify";
import { type HeadRules, MAX_BODY_BYTES, MAX_HEADER_BYTES } from "./arrival.ts";
import { createDoor } from "./door.ts";
import { takeFewAtOnce } from "./few-at-once.ts";
import { takeHandshakesByTurns } from "./handshake-turns.ts";
import { createUpgradeListener } from "./lease-upgrade.ts";
import { registerRoutes, type ServeOptions } from "./register.ts";
import { dialectOf, type Route } from "./route.ts";
import { serve } from "./serve.ts";
import type { Services } from "./services.ts";
import { SilentLinks } from "./silent-links.ts";

/** A head that takes longer is a slow-loris. */
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;
/** Agents keep their connection between actions. */
const KEEP_ALIVE_TIMEOUT_MS = 75_000;
const HANDSHAKE_TIMEOUT_MS = 10_000;
/** Strangers who connect and say nothing must not hold the places of those who come to stop something. */
const STOP_HANDSHAKE_TIMEOUT_MS = 2000;
/** 80 a second, a fifth of the thread: among those who come may be somebody's stop, which does not wait behind a crowd for seconds. */
const LEAST_STOP_HANDSHAKES = 4;
/** A stop is one short request; whoever takes longer for its head or its body waits for something else. */
const STOP_REQUEST_TIMEOUT_MS = 5000;
/** How often links that wait are looked for while the stop listener is full: looking costs time for each link. */
const MAKE_ROOM_MS = 200;
const MAX_CONNECTIONS = 8192;
/** Longest path of a unix socket that every system takes. */
const MAX_SOCKET_PATH_BYTES = 103;
const SOCKET_MODE = 0o600;
/** A route parameter: an agent id, an event id, a tile path, a trust domain. */
const MAX_PARAM_CHARS = 255;
/** How long requests in flight may take when the server stops. */
const CLOSE_GRACE_MS = 5000;

/** Key and certificates of the server, PEM. */
export interface TlsMaterial {
  readonly key: string;
  /** Leaf, then intermediate. */
  readonly cert: string;
  /** The root. */
  readonly ca: string;
}

/** Where to listen. */
interface ListenOptions {
  readonly host: string;
  readonly port: number;
  readonly stopPort: number;
  readonly adminSocket: string;
  /** Names, besides the host itself and the loopback names, by which clients may call. */
  readonly hosts: readonly string[];
}

/** The listeners, listening. */
export interface Listeners {
  readonly port: number;
  readonly stopPort: number;
  /** New connections get the new certificate; open ones keep theirs until they end. */
  renewTls(material: TlsMaterial): void;
  /** Stops accepting and waits for what is in flight, though not for ever. */
  close(): Promise<void>;
}

interface OpenOptions {
  readonly services: Services;
  readonly routes: readonly Route[];
  readonly listen: ListenOptions;
  readonly tls: TlsMaterial;
}

/** One listener. */
export interface Listening {
  readonly app: FastifyInstance;
  readonly server: Server | PlainServer;
}

/** https URL of a host and port. */
export function formatUrl(host: string, port: number): string {
  return `https://${isIPv6(host) ? `[${host}]` : host}:${port}`;
}

/**
 * Opens all three listeners, or none.
 *
 * @throws TrustWardenError `config_invalid` for a socket path that is too long, `bind_refused` for an address in use.
 */
export async function openListeners(options: OpenOptions): Promise<Listeners> {
  const { listen } = options;
  if (Buffer.byteLength(listen.adminSocket) > MAX_SOCKET_PATH_BYTES) {
    throw new TrustWardenError("config_invalid", { setting: "dataDir", reason: "socket path too long" });
  }
  const { main, stop, admin } = createListeners(options);
  const all = [main, stop, admin];
  try {
    await listenOn(main, { host: listen.host, port: listen.port });
    await listenOn(stop, { host: listen.host, port: listen.stopPort });
    await listenOnSocket(admin, listen.adminSocket);
  } catch (error) {
    await Promise.all(all.map(closeListener));
    throw error;
  }
  return {
    port: portOf(main),
    stopPort: portOf(stop),
    renewTls(material) {
      for (const { server } of [main, stop]) {
        if ("setSecureContext" in server) server.setSecureContext(contextOptions(material));
      }
    },
    close: async () => {
      await Promise.all(all.map(closeListener));
    },
  };
}

function createListeners({
  services,
  routes,
  listen,
  tls,
}: OpenOptions): Record<"main" | "stop" | "admin", Listening> {
  const rules: HeadRules = { hosts: knownHosts(listen), allowsUpgrade: false };
  const serveRoute: ServeOptions["serve"] = (route, arrival) => serve(services, route, arrival);
  const headersOf = (route: Route) => headersOfDialect(services, route);
  const options = { routes, rules, serve: serveRoute, headersOf, log: services.log };
  const makeTls = (limits: ServerOptions) => (handler: RequestListener) =>
    createServer({ ...tlsOptions(tls), ...limits }, handler);
  const makePlain = (handler: RequestListener) => createPlainServer(HTTP_OPTIONS, handler);
  const makeStop = makeTls(STOP_LIMITS);
  const stop = createListener({ ...options, listener: "stop" }, (handler) => {
    const server = makeStop(handler);
    const monotonicMs = () => services.clock.monoMs();
    takeHandshakesByTurns(server, {
      monotonicMs,
      maxSilenceMs: STOP_HANDSHAKE_TIMEOUT_MS,
      leastEachStretch: LEAST_STOP_HANDSHAKES,
    });
    makeRoomIn(server, new SilentLinks(server, monotonicMs));
    return server;
  });
  stop.server.on("upgrade", createUpgradeListener({ services, routes, rules }));
  return {
    main: createListener({ ...options, listener: "main" }, (handler) =>
      makeTls({ handshakeTimeout: HANDSHAKE_TIMEOUT_MS })(createDoor(services, routes)(handler)),
    ),
    stop,
    admin: createListener({ ...options, listener: "admin" }, makePlain),
  };
}

const STOP_LIMITS = {
  handshakeTimeout: STOP_HANDSHAKE_TIMEOUT_MS,
  headersTimeout: STOP_REQUEST_TIMEOUT_MS,
  requestTimeout: STOP_REQUEST_TIMEOUT_MS,
} as const;

/** Links that only wait, or have not asked yet, give way when somebody was turned away: who comes to stop something comes again (M2). */
function makeRoomIn(server: Server, silent: SilentLinks): void {
  let hasJustLooked = false;
  server.on("drop", () => {
    if (hasJustLooked) return;
    hasJustLooked = true;
    server.closeIdleConnections();
    silent.makeRoom();
    setTimeout(() => {
      hasJustLooked = false;
    }, MAKE_ROOM_MS).unref();
  });
}

/** Each answer of an OAuth endpoint tells the nonce for the next proof (RFC 9449 §8.2). */
export function headersOfDialect({ oauth, clock }: Services, route: Route): Readonly<Record<string, string>> {
  if (dialectOf(route) !== "oauth") return {};
  return { "dpop-nonce": oauth.nonce(Math.floor(clock.nowMs() / 1000)) };
}

/** Limits of every listener. */
export const HTTP_OPTIONS = {
  maxHeaderSize: MAX_HEADER_BYTES,
  headersTimeout: HEADERS_TIMEOUT_MS,
  requestTimeout: REQUEST_TIMEOUT_MS,
  keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
  connectionsCheckingInterval: 1000,
  insecureHTTPParser: false,
  requireHostHeader: true,
} as const;

function contextOptions({ key, cert, ca }: TlsMaterial) {
  return { key, cert, ca, minVersion: "TLSv1.3", secureOptions: constants.SSL_OP_NO_TICKET } as const;
}

function tlsOptions(material: TlsMaterial) {
  return { ...HTTP_OPTIONS, ...contextOptions(material), ...ASKING };
}

/** Asks for a certificate and lets our own code judge it. */
export const ASKING = {
  requestCert: true,
  rejectUnauthorized: false,
  ALPNProtocols: ["http/1.1"],
};

/** A listener of the table's rows, not yet listening. */
export function createListener(
  options: ServeOptions,
  make: (handler: RequestListener) => Server | PlainServer,
): Listening {
  let server: Server | PlainServer | undefined;
  const app = Fastify({
    serverFactory: (handler) => {
      server = make(takeFewAtOnce(handler));
      server.maxConnections = MAX_CONNECTIONS;
      return server;
    },
    bodyLimit: MAX_BODY_BYTES,
    exposeHeadRoutes: false,
    trustProxy: false,
    logger: false,
    forceCloseConnections: "idle",
    routerOptions: { maxParamLength: MAX_PARAM_CHARS, caseSensitive: true },
  });
  if (server === undefined) throw new Error("Fastify makes its server at once");
  registerRoutes(app, options);
  return { app, server };
}

/** Host names, lower case, that requests may come for. */
export function knownHosts({ host, hosts }: Pick<ListenOptions, "host" | "hosts">): ReadonlySet<string> {
  const names = [host, "localhost", "127.0.0.1", "::1", ...hosts].map((name) => name.toLowerCase());
  return new Set(names.map((name) => (isIPv6(name) ? `[${name}]` : name)));
}

/** @throws TrustWardenError `bind_refused`. */
export async function listenOn(
  { app }: Listening,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<void> {
  try {
    await app.listen({ host, port });
  } catch (cause) {
    throw new TrustWardenError("bind_refused", { host, port }, { cause });
  }
}

/** A socket file left by a crash is removed: the data directory's lock says that nobody else is using it. */
async function listenOnSocket({ app }: Listening, path: string): Promise<void> {
  await rm(path, { force: true });
  await app.listen({ path });
  await chmod(path, SOCKET_MODE);
}

/** The port that a listener got. */
export function portOf({ server }: Listening): number {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("a TCP listener has a port");
  return address.port;
}

/** Stops accepting and waits for what is in flight, though not for ever. */
export async function closeListener({ app, server }: Listening): Promise<void> {
  const deadline = setTimeout(() => server.closeAllConnections(), CLOSE_GRACE_MS);
  try {
    await app.close();
  } finally {
    clearTimeout(deadline);
  }
}
