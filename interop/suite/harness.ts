/**
 * The SDK's client side as the program that spiffe-conformance-test-suite talks to: TLS on one port, HTTP on another.
 *
 * It decides nothing: finding the endpoint, streams, choosing identities and bundles, and every check are the SDK's, by its
 * public names alone. Any proven peer is accepted, since the suite tests authentication.
 *
 * @see the suite's harness contract, version 1 (README of `interop/`)
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { parseSpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import {
  connectMutualTls,
  createJwtSource,
  createMutualTlsServer,
  createX509Source,
  type JwtSource,
  type MutualTls,
  TrustWardenError,
} from "trustwarden";
import { z } from "zod";
import { listenLocally } from "../listen.ts";

/** A first answer may come late: cases let the endpoint fail a few times first. */
const TIMEOUT_MS = 60_000;
const MAX_BODY_BYTES = 65_536;
/** What says nothing about the input: the endpoint was away, or the harness asked it wrongly. */
const NOT_A_VERDICT: readonly string[] = ["server_unreachable", "endpoint_malformed", "request_malformed"];

const validation = z.object({ token: z.string(), audience: z.string() });
const request = z.object({ audience: z.array(z.string()).min(1), spiffe_id: z.string().default("") });
const dialling = z.object({ address: z.string().regex(/^127\.0\.0\.1:[0-9]{1,5}$/) });

type Answer = Readonly<Record<string, unknown>>;

async function main(): Promise<void> {
  process.once("SIGTERM", () => process.exit(0));
  const source = await createX509Source({ timeoutMs: TIMEOUT_MS, onError: tell });
  const tls: MutualTls = { source, accept: () => true, onRefusal: tell };
  const x509 = createMutualTlsServer(tls, ({ socket, peer }) => {
    socket.on("error", tell);
    socket.end(`${peer}\n`);
  });
  const tokens = createTokens();
  const control = createServer((incoming, response) => void respond(incoming, response, { tls, tokens }));
  const ports = await Promise.all([x509, control].map(listenLocally));
  process.stdout.write(
    `SPIFFE_HARNESS_VERSION=1\nSPIFFE_X509_PORT=${ports[0]}\nSPIFFE_CONTROL_PORT=${ports[1]}\nREADY\n`,
  );
}

interface Sides {
  readonly tls: MutualTls;
  readonly tokens: () => Promise<JwtSource>;
}

/** The source of tokens, opened by the first call that needs it, and again by the next one when that failed. */
function createTokens(): Sides["tokens"] {
  let opened: Promise<JwtSource> | undefined;
  return () => {
    opened ??= createJwtSource({ timeoutMs: TIMEOUT_MS, onError: tell }).catch((error: unknown) => {
      opened = undefined;
      throw error;
    });
    return opened;
  };
}

async function respond(incoming: IncomingMessage, response: ServerResponse, sides: Sides): Promise<void> {
  const { status, body } = await perform(incoming, sides).then(
    (found) =>
      found === null ? { status: 501, body: { status: "unsupported" } } : { status: 200, body: found },
    failureOf,
  );
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
}

/** Null for what is not supported. */
async function perform(incoming: IncomingMessage, { tls, tokens }: Sides): Promise<Answer | null> {
  switch (`${incoming.method} ${incoming.url}`) {
    case "GET /v1/info":
      return { status: "ok", sdk: "trustwarden", language: "typescript" };
    case "POST /v1/jwt/validate": {
      const { token, audience } = validation.parse(await readJson(incoming));
      const { id, claims } = (await tokens()).verify({ svid: token, audience });
      return { status: "ok", spiffe_id: id, claims };
    }
    case "POST /v1/jwt/fetch": {
      const { audience, spiffe_id } = request.parse(await readJson(incoming));
      const [first = "", ...others] = audience;
      const named = spiffe_id === "" ? {} : { spiffeId: parseSpiffeId(spiffe_id) };
      const svids = await (await tokens()).fetch({ audience: [first, ...others], ...named });
      const shown = svids.map(({ spiffeId, svid, hint }) => ({ spiffe_id: spiffeId, token: svid, hint }));
      return { status: "ok", svids: shown };
    }
    case "POST /v1/x509/dial": {
      const [host = "", port = ""] = dialling.parse(await readJson(incoming)).address.split(":");
      const { socket, peer } = await connectMutualTls(tls, { host, port: Number(port) });
      socket.on("error", tell);
      socket.end();
      return { status: "ok", spiffe_id: peer };
    }
    default:
      return null;
  }
}

/** A refusal of the SDK's is a verdict; anything else says nothing about the input. */
function failureOf(error: unknown): { readonly status: number; readonly body: Answer } {
  const message = error instanceof TrustWardenError ? error.code : String(error);
  return error instanceof TrustWardenError && !NOT_A_VERDICT.includes(error.code)
    ? { status: 422, body: { status: "rejected", message } }
    : { status: 500, body: { status: "error", message } };
}

async function readJson(incoming: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of incoming) {
    chunks.push(Buffer.from(chunk));
    size += chunk.length;
    if (size > MAX_BODY_BYTES) throw new Error("too large");
  }
  return JSON.parse(Buffer.concat(chunks).toString("utf8"));
}

/** To standard error, which the suite shows beside what it could not run. */
function tell(error: unknown): void {
  const said =
    error instanceof TrustWardenError ? `${error.code} ${JSON.stringify(error.details)}` : String(error);
  process.stderr.write(`${said}\n`);
}

await main();
