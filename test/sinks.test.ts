/** Sinks of a real server at real listeners: nothing lost, in order, signed, whatever the endpoint does. */
import { createHmac, randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { createServer as createTlsServer, TLSSocket } from "node:tls";
import type { ServerSettings } from "@trustwarden/server/config.ts";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { sinkSettings } from "../server/sinks/config.ts";
import { sendDelivery } from "../server/sinks/syslog.ts";
import { postDelivery } from "../server/sinks/webhook.ts";
import { createOwner } from "./support/actors.ts";
import { expectRejection } from "./support/expect-code.ts";
import { send } from "./support/http.ts";
import { createHome, startTestServer, type TestHome, type TestServer } from "./support/server.ts";
import { createWebCertificate, type WebCertificate } from "./support/web-certificate.ts";

let web: WebCertificate;
let home: TestHome;
let server: TestServer | undefined;
const listeners: Server[] = [];
const sockets = new Set<Socket>();

beforeAll(() => {
  web = createWebCertificate();
});
afterAll(() => web.remove());
afterEach(async () => {
  await server?.close();
  server = undefined;
  for (const socket of sockets) socket.destroy();
  for (const listener of listeners.splice(0)) listener.close();
  home.remove();
});

/** A condition that comes true, however slow the machine is. */
const eventually = <T>(read: () => T) => expect.poll(read, { timeout: 25_000 });

interface Post {
  readonly id: string;
  readonly body: string;
  readonly headers: IncomingMessage["headers"];
  readonly peer: string | undefined;
}

/** An endpoint that answers as it is told; what it took is kept. */
async function openEndpoint(answer: (response: ServerResponse, count: number) => void): Promise<{
  readonly url: string;
  readonly posts: readonly Post[];
}> {
  const posts: Post[] = [];
  const files = { key: readFileSync(web.keyFile), cert: readFileSync(web.certFile) };
  const listener = createHttpsServer(
    { ...files, requestCert: true, rejectUnauthorized: false },
    (request, response) => {
      const parts: Buffer[] = [];
      request.on("data", (part: Buffer) => parts.push(part));
      request.on("end", () => {
        const { headers, socket } = request;
        const peer =
          socket instanceof TLSSocket ? socket.getPeerX509Certificate()?.subjectAltName : undefined;
        posts.push({
          id: String(headers["webhook-id"]),
          body: Buffer.concat(parts).toString(),
          headers,
          peer,
        });
        answer(response, posts.length);
      });
    },
  );
  return { url: `https://127.0.0.1:${await listen(listener)}/hook`, posts };
}

async function listen(listener: Server): Promise<number> {
  listeners.push(listener);
  listener.on("connection", (socket: Socket) => {
    sockets.add(socket);
    // A peer that is told to hang is cut at the end of its test.
    socket.on("error", () => undefined);
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  return (listener.address() as AddressInfo).port;
}

type Sinks = NonNullable<ServerSettings["sinks"]>;

async function start(sinks: Sinks, more: ServerSettings = {}): Promise<TestServer> {
  home ??= createHome();
  server = await startTestServer({ sinks, ...more }, home);
  return server;
}

function caFile(): string {
  const path = join(home.configDir, "..", "web-ca.pem");
  writeFileSync(path, web.ca);
  return path;
}

const ok = (response: ServerResponse) => void response.writeHead(204).end();
const eventsOf = (posts: readonly Post[]) =>
  posts.flatMap(({ body }) =>
    body
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line)),
  );
const isIn = (posts: readonly Post[], kind: string) => () =>
  eventsOf(posts).some((event) => event.kind === kind);

describe("a webhook", () => {
  it("gets every event once, in the order of the log, signed as Standard Webhooks says", async () => {
    home = createHome();
    const key = randomBytes(32);
    const secretFile = join(home.configDir, "..", "hook.secret");
    writeFileSync(secretFile, `whsec_${key.toString("base64")}\n`, { mode: 0o600 });
    const { url, posts } = await openEndpoint(ok);
    const running = await start([
      { kind: "webhook", name: "siem", url, caFile: caFile(), secretFile, svid: true },
    ]);
    await createOwner(running, "alice");
    await eventually(isIn(posts, "owner")).toBe(true);
    const places = eventsOf(posts).map(({ indexes }) => indexes.at(-1));
    expect(places).toEqual(places.toSorted((left, right) => left - right));
    expect(new Set(places).size).toBe(places.length);
    for (const { id, body, headers, peer } of posts) {
      const signed = `${id}.${headers["webhook-timestamp"]}.${body}`;
      const signature = createHmac("sha256", key).update(signed).digest("base64");
      expect(headers["webhook-signature"]).toBe(`v1,${signature}`);
      expect(peer).toMatch(/^URI:spiffe:\/\/acme\.test\/trustwarden\/server\//);
    }
  });

  it("that answers 500 loses nothing: the same events come again until it takes them", async () => {
    home = createHome();
    const { url, posts } = await openEndpoint(
      (response, count) => void response.writeHead(count < 3 ? 500 : 200).end(),
    );
    const running = await start([{ kind: "webhook", name: "siem", url, caFile: caFile() }]);
    await createOwner(running, "alice");
    await eventually(() => posts.length).toBeGreaterThanOrEqual(3);
    const [first, second, third] = posts;
    expect([second?.id, third?.id, third?.body]).toEqual([first?.id, first?.id, first?.body]);
  });

  it("that hangs holds nobody up, and after a restart the events that it never took are there", async () => {
    home = createHome();
    const hung = await openEndpoint(() => undefined);
    const sinks = (url: string): Sinks => [{ kind: "webhook", name: "siem", url, caFile: caFile() }];
    const running = await start(sinks(hung.url));
    await createOwner(running, "alice");
    await eventually(() => hung.posts.length).toBe(1);
    for (const name of ["bob", "carol"]) await createOwner(running, name);
    expect((await send(running.url, { target: "/healthz" })).status).toBe(200);
    await running.close();
    const good = await openEndpoint(ok);
    await start(sinks(good.url));
    await eventually(() => eventsOf(good.posts).filter(({ kind }) => kind === "owner").length).toBe(3);
    await eventually(isIn(good.posts, "start")).toBe(true);
  });

  it("goes on where it ended after a restart", async () => {
    home = createHome();
    const { url, posts } = await openEndpoint(ok);
    const sinks: Sinks = [{ kind: "webhook", name: "siem", url, caFile: caFile() }];
    const running = await start(sinks);
    await createOwner(running, "alice");
    await eventually(isIn(posts, "owner")).toBe(true);
    const cursor = join(home.dataDir, "sinks", "siem.cursor");
    await eventually(() => Number.parseInt(readFileSync(cursor, "utf8"), 10)).toBeGreaterThan(1);
    await running.close();
    const before = posts.length;
    const again = await start(sinks);
    await createOwner(again, "bob");
    await eventually(() => eventsOf(posts.slice(before)).some(({ kind }) => kind === "owner")).toBe(true);
    expect(eventsOf(posts).filter(({ kind }) => kind === "owner")).toHaveLength(2);
  });

  it("that took what this ledger never held is not sent to, until the operator says from where", async () => {
    home = createHome();
    const { url, posts } = await openEndpoint(ok);
    const sinks: Sinks = [{ kind: "webhook", name: "siem", url, caFile: caFile() }];
    const running = await start(sinks);
    await eventually(isIn(posts, "start")).toBe(true);
    await running.close();
    const cursor = join(home.dataDir, "sinks", "siem.cursor");
    // As a restored ledger has it that went on another way: the place is there, and another entry before it.
    const [next] = readFileSync(cursor, "utf8").split("\n");
    writeFileSync(cursor, `${next}\n${"A".repeat(43)}\n`);
    const count = posts.length;
    const again = await start(sinks);
    await createOwner(again, "alice");
    await again.close();
    expect(posts.length).toBe(count);
    await expectRejection(start(sinks, { sinkFrom: { other: 0 } }), "config_invalid");
    await expectRejection(start(sinks, { sinkFrom: { siem: 1_000_000 } }), "config_invalid");
    await start(sinks, { sinkFrom: { siem: 0 } });
    await eventually(() => posts[count]?.id).toMatch(/^siem\/0-/);
    await eventually(() => isIn(posts.slice(count), "owner")()).toBe(true);
  });

  it("follows no redirect and believes no certificate but its authority's", async () => {
    home = createHome();
    const elsewhere = await openEndpoint(ok);
    const { url, posts } = await openEndpoint(
      (response) => void response.writeHead(307, { location: elsewhere.url }).end(),
    );
    await start([
      { kind: "webhook", name: "siem", url, caFile: caFile() },
      { kind: "webhook", name: "unknown", url: elsewhere.url },
    ]);
    await eventually(() => posts.length).toBeGreaterThanOrEqual(2);
    expect(elsewhere.posts).toEqual([]);
  });

  it("speaks CloudEvents in batches and OTLP, as their receivers expect it", async () => {
    home = createHome();
    const { url, posts } = await openEndpoint(ok);
    const common = { kind: "webhook", url, caFile: caFile() } as const;
    await start([
      { ...common, name: "ce", format: "cloudevents" },
      { ...common, name: "otel", format: "otel" },
    ]);
    const typed = (type: string) => posts.find(({ headers }) => headers["content-type"] === type);
    await eventually(() => typed("application/cloudevents-batch+json")).toBeDefined();
    await eventually(() => typed("application/json")).toBeDefined();
    expect(JSON.parse(typed("application/cloudevents-batch+json")?.body ?? "")[0].specversion).toBe("1.0");
    expect(JSON.parse(typed("application/json")?.body ?? "").resourceLogs).toHaveLength(1);
  });
});

describe("syslog", () => {
  /** Messages of a stream in octet counting, and nothing beside them. */
  function messagesOf(text: string): readonly string[] {
    const messages: string[] = [];
    for (let at = 0; at < text.length; ) {
      const [head = "", length = ""] = /^(\d+) /.exec(text.slice(at)) ?? [];
      messages.push(text.slice(at + head.length, at + head.length + Number(length)));
      at += head.length + Number(length);
    }
    return messages;
  }

  async function openCollector(kind: "tcp" | "tls") {
    const received: string[] = [];
    const take = (socket: Socket) => {
      let text = "";
      socket.on("data", (part: Buffer) => {
        text += part.toString("latin1");
      });
      socket.on("end", () => {
        received.push(text);
        socket.end();
      });
    };
    const files = { key: readFileSync(web.keyFile), cert: readFileSync(web.certFile) };
    const listener =
      kind === "tcp"
        ? createTcpServer({ allowHalfOpen: true }, take)
        : createTlsServer({ ...files, allowHalfOpen: true }, take);
    return { port: await listen(listener), received };
  }

  it.each(["tcp", "tls"] as const)("over %s sends RFC 5424 messages behind their lengths", async (kind) => {
    home = createHome();
    const { port, received } = await openCollector(kind);
    const host = "127.0.0.1";
    await start([
      {
        kind: "syslog",
        name: "log",
        host,
        port,
        tls: kind === "tls",
        ...(kind === "tls" ? { caFile: caFile() } : {}),
      },
    ]);
    const running = server;
    if (running !== undefined) await createOwner(running, "ana");
    await eventually(() =>
      received.flatMap(messagesOf).some((message) => message.includes('"kind":"owner"')),
    ).toBe(true);
    for (const message of received.flatMap(messagesOf))
      expect(message).toMatch(/^<110>1 \d{4}-\d\d-\d\dT[\d:.]+Z \S+ trustwarden \d+ \w+ - \{[\x20-\x7e]*\}$/);
  });
});

describe("what an endpoint refuses", () => {
  const source = { origin: "ledger.acme.test", version: "1" };
  const delivery = { id: "siem/0-1", events: [] };

  it("is a failure by its code: another status than 2xx, and a collector that never ends its side", async () => {
    home = createHome();
    const { url } = await openEndpoint((response) => void response.writeHead(302).end());
    const [hook] = sinkSettings.parse([{ kind: "webhook", name: "siem", url }]);
    if (hook?.kind !== "webhook") throw new Error("a webhook");
    const options = { settings: hook, source, secret: null, tls: { ca: web.ca }, nowMs: () => 0 };
    await expectRejection(postDelivery(options, delivery, new AbortController().signal), "sink_refused");
    const port = await listen(createTcpServer({ allowHalfOpen: true }, () => undefined));
    const collector = { kind: "syslog", name: "log", host: "127.0.0.1", port, tls: false, timeoutMs: 500 };
    const [settings] = sinkSettings.parse([collector]);
    if (settings?.kind !== "syslog") throw new Error("a collector");
    const sent = sendDelivery({ settings, source, tls: {} }, delivery, new AbortController().signal);
    await expectRejection(sent, "sink_refused");
  });
});

describe("the settings of sinks", () => {
  it("refuse addresses without TLS or with a password, two sinks of one name, and a secret that is too short", async () => {
    home = createHome();
    const url = "https://siem.example/hook";
    const bad: readonly Sinks[] = [
      [{ kind: "webhook", name: "a", url: "http://siem.example/hook" }],
      [{ kind: "webhook", name: "a", url: "https://user:word@siem.example/hook" }],
      [{ kind: "webhook", name: "../a", url }],
      [
        { kind: "webhook", name: "a", url },
        { kind: "webhook", name: "a", url },
      ],
    ];
    for (const sinks of bad) await expectRejection(startTestServer({ sinks }, home), "config_invalid");
    const secretFile = join(home.configDir, "..", "short.secret");
    writeFileSync(secretFile, "whsec_c2hvcnQ=\n", { mode: 0o600 });
    const short: Sinks = [{ kind: "webhook", name: "a", url, secretFile }];
    await expectRejection(startTestServer({ sinks: short }, home), "config_invalid");
  });
});
