/** D17: a web page as the client. */
import type { RawRequest } from "../../test/support/http.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { call, expectRefusal, MALFORMED, sendRaw, statusOfRaw } from "../support/client.ts";
import { callAsAgent } from "../support/visits.ts";

const FORMS = ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"];
const PREFLIGHT = "access-control-request-method: POST\r\naccess-control-request-private-network: true\r\n";

/** Played by the runner. */
export const scenario = defineScenario({
  id: "D17",
  title: "a web page on evil.test opens a WebSocket, fetches over a rebound name, and posts forms",
  expected:
    "refused by Origin, Host and content type; no answer permits a page to read it; no ambient credential exists",
  weakening: "any-host",
  prepare: async (world) => ({ agent: await world.enrol(["read:transactions"]), from: world.source() }),
  control: async (world, { agent }) => {
    expectSame(
      (await call(world.server.url, { target: "/healthz" })).status,
      200,
      "a program on this machine",
    );
    expectSame(
      (await callAsAgent(world, agent, { target: "/v1/events", action: "read:ledger" })).status,
      200,
      "an agent",
    );
  },
  attack: async (world, { agent, from }) => {
    const { url, stopUrl } = world.server;
    for (const host of [
      "evil.test",
      "127.0.0.1.evil.test",
      "localhost.evil.test:7443",
      "evil.test:443",
      "localhost@evil.test",
    ]) {
      for (const base of [url, stopUrl]) {
        const answer = await call(base, { target: "/healthz", headers: { host } }, { from, tls: agent.tls });
        expectSame(answer.status, 400, `the host ${JSON.stringify(host)}`);
      }
    }
    for (const origin of ["https://evil.test", "null", "https://localhost", "http://127.0.0.1"]) {
      const answer = await call(url, { target: "/v1/bundle", headers: { origin } }, { from, tls: agent.tls });
      expectRefusal(answer, MALFORMED, `the origin ${origin}`);
      const isReadable = Object.keys(answer.headers).some((name) => name.startsWith("access-control-"));
      expect(!isReadable, "no answer permits another origin to read it");
    }
    for (const type of FORMS) {
      const body = 'target={"kind":"owner"}';
      const form: RawRequest = {
        method: "POST",
        target: "/v1/revocations",
        body,
        headers: { "content-type": type },
      };
      expectRefusal(await call(url, form, { from, tls: agent.tls }), MALFORMED, `a form of ${type}`);
    }
    const socket =
      "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: x\r\n";
    for (const [base, target] of [
      [url, "/"],
      [url, "/v1/lease"],
      [stopUrl, "/v1/lease"],
      [stopUrl, "/"],
    ] as const) {
      const answer = await sendRaw(base, `GET ${target} HTTP/1.1\r\nhost: 127.0.0.1\r\n${socket}\r\n`, {
        from,
      });
      expect(
        [400, 401, 404].includes(statusOfRaw(answer)),
        `a WebSocket to ${target} is refused: ${answer.slice(0, 60)}`,
      );
    }
    const preflight = await sendRaw(
      url,
      `OPTIONS /v1/revocations HTTP/1.1\r\nhost: 127.0.0.1\r\norigin: https://evil.test\r\n${PREFLIGHT}connection: close\r\n\r\n`,
      { from },
    );
    expect(
      statusOfRaw(preflight) >= 400 && !/access-control-allow/i.test(preflight),
      `a preflight is refused: ${preflight.slice(0, 60)}`,
    );
    const plain = await fetch(url.replace("https", "http")).then(
      ({ status }) => status,
      () => 0,
    );
    expect(plain === 0 || plain === 400, "no plain HTTP");
  },
  evidence: async (ledger) => {
    // A page is nobody in particular: what it was refused at the door leaves nothing.
    await ledger.expect({ kind: "revoke" }, 0);
    await ledger.expect({ kind: "read" }, 0);
  },
});
