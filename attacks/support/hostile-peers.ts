/**
 * The hostile peers of P30 to P33 as a program of its own, for the tests of other SDKs:
 *
 *   node attacks/support/hostile-peers.ts <server> <admin socket> <honest service>
 *
 * It says in one line of JSON where each is and which code an agent has to answer it with. What each heard, and what the lying
 * service and the moving name do next, goes over a port of loopback.
 */
import { createServer } from "node:http";
import { createOwner, enrolAgent, enrolVerifier } from "../../test/support/actors.ts";
import { jsonOf } from "../../test/support/http.ts";
import type { TestServer } from "../../test/support/server.ts";
import { call } from "./client.ts";
import { PUBLIC_QUESTIONS, startImpostors } from "./impostors.ts";
import { forgeries, startLiar } from "./liar.ts";
import {
  type Ground,
  type HostilePeer,
  openMovingName,
  type Stranger,
  startHostilePeer,
  startHostileService,
} from "./sdk.ts";
import { startStrangers } from "./strangers.ts";

const [url = "", adminSocket = "", financeUrl = ""] = process.argv.slice(2);
const server: TestServer = {
  url,
  adminSocket,
  stopUrl: url,
  webUrl: null,
  policyUrl: null,
  envoyPort: null,
  metricsUrl: null,
  consoleUrl: null,
  gatewayUrl: null,
  failed: new Promise<void>(() => undefined),
  close: async () => undefined,
  home: { dataDir: "", configDir: "", remove: () => undefined },
};
let names = 0;
const nextName = (): string => {
  names += 1;
  return `hostile-${names}`;
};
const owner = await createOwner(server, "mallory");
const ground: Ground = {
  server,
  enrol: (scope, options = {}) => enrolAgent(server, owner, { name: nextName(), ...options, scope }),
  enrolVerifier: () => enrolVerifier(server, nextName()),
  finance: async () => {
    const routes = jsonOf(await call(financeUrl, { target: "/.well-known/trustwarden-routes" }));
    return { url: financeUrl, id: String(routes.verifier) };
  },
};

const impostors = await startImpostors(ground);
const strangers = await startStrangers(ground);
const liar = await startLiar(ground);
const silent = await startHostileService(await ground.enrolVerifier(), () => undefined);
const sink = await startHostilePeer((await ground.enrolVerifier()).tls, (_request, response) =>
  response.end(),
);
const mover = await startHostileService(await ground.enrolVerifier(), (_request, response) =>
  response.writeHead(302, { location: `${sink.url}/rows` }).end(),
);
const name = await openMovingName(financeUrl);

/** All requests that a peer heard, and which of them said more than is public. */
function hearing(peer: HostilePeer | undefined): object {
  const { heard = [] } = peer ?? {};
  const told = heard.filter(({ target, hasBody }) => hasBody || !PUBLIC_QUESTIONS.includes(target));
  return {
    heard: heard.length,
    told: told.map(({ target }) => target),
    intents: peer?.intents().length ?? 0,
  };
}

const all = [...[...impostors, ...strangers].map(([, peer]) => peer), liar.peer, silent, sink, mover];
const control = createServer((request, response) => {
  const asked = new URL(request.url ?? "/", "http://control");
  const what = asked.searchParams.get("what") ?? "";
  if (asked.pathname === "/lie") {
    const forgery = forgeries(liar.loot)[what];
    if (forgery !== undefined) liar.mischief.forge = forgery.forge;
  }
  if (asked.pathname === "/move") name.leadTo(liar.peer.url);
  response.end(JSON.stringify(hearing(all.find((peer) => peer.url === what))));
});

const described = (list: readonly Stranger[]) =>
  list.map(([what, peer, code]) => ({ what, url: peer.url, code }));
control.listen(0, "127.0.0.1", () => {
  const address = control.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const ready = {
    ready: true,
    control: `http://127.0.0.1:${port}`,
    impostors: described(impostors),
    strangers: described(strangers),
    lies: Object.entries(forgeries({})).map(([what, { path }]) => ({ what, path })),
    liar: liar.peer.url,
    silent: silent.url,
    sink: sink.url,
    mover: mover.url,
    name: name.url,
  };
  process.stdout.write(`${JSON.stringify(ready)}\n`);
});
process.once("SIGTERM", () => process.exit(0));
