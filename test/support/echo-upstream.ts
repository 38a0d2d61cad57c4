/** An upstream that gives back the credential that it gets, in every way in which upstreams have been seen to. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** The routes of such an upstream, for its registration. */
export const ECHO_ROUTES = [
  { method: "GET", path: "/echo/{how}", action: "read:echo:{how}", resource: "echo://{how}" },
  { method: "POST", path: "/notes", action: "write:notes", resource: "echo://notes" },
];

/** What it got, and how to reach it. */
export interface EchoUpstream {
  readonly origin: string;
  readonly seen: {
    readonly url: string;
    readonly headers: IncomingMessage["headers"];
    readonly body: string;
  }[];
  close(): void;
}

/** Ways of giving back, by the last word of the path. */
const WAYS: Readonly<Record<string, (response: ServerResponse, credential: string) => void>> = {
  body: (response, credential) => response.end(`you sent ${credential}`),
  json: (response, credential) =>
    response.end(JSON.stringify({ error: `bad key ${encodeURIComponent(credential)}` })),
  base64: (response, credential) => response.end(Buffer.from(`:${credential}`).toString("base64")),
  hex: (response, credential) => response.end(Buffer.from(credential).toString("hex")),
  header: (response, credential) => response.writeHead(200, { "x-debug": credential }).end("see the header"),
  redirect: (response, credential) =>
    response.writeHead(302, { location: `https://login.test/?k=${encodeURIComponent(credential)}` }).end(),
  error: (response, credential) => response.writeHead(401).end(`Incorrect API key provided: ${credential}`),
  stream: (response, credential) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    const half = Math.floor(credential.length / 2);
    response.write(`data: ${credential.slice(0, half)}`);
    setTimeout(() => response.end(`${credential.slice(half)}\n\n`), 30);
  },
  events: (response, credential) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (const character of credential) response.write(`data: ${JSON.stringify({ word: character })}\n\n`);
    response.end();
  },
  gzip: (response) => response.writeHead(200, { "content-encoding": "gzip" }).end("\u001f\u008b"),
  endless: (response) => {
    const timer = setInterval(() => response.write("data: tick\n\n"), 20);
    response.once("close", () => clearInterval(timer));
  },
};

/** @param text - of the answer to anything that is no echo. */
export async function openEchoUpstream(text: () => string = () => "ok"): Promise<EchoUpstream> {
  const seen: EchoUpstream["seen"] = [];
  const server = createServer((request, response) => void answer({ seen, text }, request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  server.unref();
  const { port } = server.address() as AddressInfo; // cast: a TCP server that listens has a port
  return {
    origin: `http://127.0.0.1:${port}`,
    seen,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

async function answer(
  { seen, text }: { readonly seen: EchoUpstream["seen"]; readonly text: () => string },
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  let body = "";
  for await (const part of request) body += String(part);
  const url = request.url ?? "";
  seen.push({ url, headers: request.headers, body });
  const way = WAYS[/^\/echo\/(\w+)/.exec(url)?.[1] ?? ""];
  const credential = (request.headers.authorization ?? "").replace("Bearer ", "");
  if (way === undefined) response.end(text());
  else way(response, credential);
}

/** Ways in which an echo comes back in one piece, in an answer that ends. */
export const ECHO_WAYS: readonly string[] = Object.keys(WAYS).filter(
  (way) => !["events", "gzip", "endless"].includes(way),
);
