/**
 * A server of the suite under its address: the suite says `localhost`, which is a name that a resolver may move, and so
 * no place for the broker to send a secret to without TLS. What is said is passed on, with the one spelled as the other.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** Spellings of the suite and ours, of every server that is stood in for; shared by those that speak of one another. */
export type Spellings = Map<string, string>;

/** Opens a way to `http://localhost:<port>`; its own origin is in the spellings from then on. */
export async function openSpelled(
  suiteOrigin: string,
  spellings: Spellings,
): Promise<{ readonly origin: string; readonly close: () => void }> {
  const { port } = new URL(suiteOrigin);
  const server = createServer((request, response) => {
    passOn(request, response, { port, spellings }).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address() as AddressInfo;
  const origin = `http://127.0.0.1:${address.port}`;
  spellings.set(suiteOrigin, origin);
  const close = (): void => {
    server.closeAllConnections();
    server.close();
  };
  return { origin, close };
}

async function passOn(
  request: IncomingMessage,
  response: ServerResponse,
  { port, spellings }: { readonly port: string; readonly spellings: Spellings },
): Promise<void> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  const toSuite = [...spellings].map(([suite, ours]): readonly [string, string] => [ours, suite]);
  const body = respell(Buffer.concat(parts).toString(), toSuite);
  const { host: _, connection: __, "content-length": ___, ...headers } = request.headers;
  const answer = await fetch(`http://127.0.0.1:${port}${respell(request.url ?? "", toSuite)}`, {
    redirect: "manual",
    method: request.method ?? "GET",
    headers: headers as Record<string, string>,
    ...(body === "" ? {} : { body }),
  });
  const text = respell(await answer.text(), [...spellings]);
  const { "content-length": ____, "transfer-encoding": _____, ...kept } = Object.fromEntries(answer.headers);
  const head = Object.entries(kept).map(([name, value]) => [name, respell(value, [...spellings])]);
  response.writeHead(answer.status, Object.fromEntries(head)).end(text);
}

/** In JSON as it is, in a form with its escapes. */
function respell(text: string, pairs: readonly (readonly [string, string])[]): string {
  return pairs.reduce(
    (said, [from, to]) =>
      said.replaceAll(from, to).replaceAll(encodeURIComponent(from), encodeURIComponent(to)),
    text,
  );
}
