/** D20: small requests that cost much. */
import { gzipSync } from "node:zlib";
import { encodeBase64url, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { call, expectRefusal, MALFORMED, sendRaw, statusOfRaw, UNPROVEN } from "../support/client.ts";
import { cpuMsOf, memoryOf } from "../support/usage.ts";
import { visit } from "../support/visits.ts";

const TIMES = 10;
const MAX_GROWTH_BYTES = 96_000_000;
/** Beyond what a plain request costs over a connection of its own, which each attempt has too. */
const MAX_CPU_MS = 10;
const BOMB_BYTES = 50_000_000;
const HEADERS_TOO_LARGE = 431;

/** Played by the runner. */
export const scenario = defineScenario({
  id: "D20",
  title: "a compression bomb, a token whose key takes 2^31 rounds to derive, and headers of 1 MB",
  expected: "refused at once, before anything is inflated, derived or kept; memory stays flat",
  weakening: "any-head-size",
  world: {},
  prepare: async (world) => {
    await world.finance();
    return { agent: await world.enrol(["read:transactions"]), from: world.source() };
  },
  control: async (world, { agent }) => {
    expectSame((await visit(world, { agent })).status, 200, "an honest visit");
  },
  attack: async (world, { agent, from }) => {
    const bomb = gzipSync(Buffer.alloc(BOMB_BYTES, 0x20));
    const header = encodeBase64url(
      encodeUtf8(JSON.stringify({ alg: "PBES2-HS256+A128KW", enc: "A128GCM", p2c: 2 ** 31, p2s: "AAAA" })),
    );
    const { url } = world.server;
    const { url: finance } = await world.finance();
    const isCutOff = (answer: string): boolean => [HEADERS_TOO_LARGE, 400, 0].includes(statusOfRaw(answer));
    const attempts = {
      "a bomb": async () => {
        const request = {
          method: "POST",
          target: "/v1/instances",
          headers: { "content-encoding": "gzip" },
          body: bomb,
        };
        expectRefusal(await call(url, request, { from }), MALFORMED, "a bomb");
      },
      "a costly key": async () => {
        const headers = { authorization: `Bearer ${header}.AAAA.AAAA.AAAA.AAAA` };
        expectRefusal(await call(url, { target: "/v1/events", headers }, { from }), UNPROVEN, "a costly key");
      },
      "a header of 1 MB": async () => {
        const answer = await sendRaw(
          url,
          `GET /v1/events HTTP/1.1\r\nhost: 127.0.0.1\r\nx: ${"a".repeat(1_000_000)}\r\n\r\n`,
          { from },
        );
        expect(isCutOff(answer), `a header of 1 MB is cut off: ${answer.slice(0, 40)}`);
      },
      "100,000 headers": async () => {
        const answer = await sendRaw(
          url,
          `GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n${"x: y\r\n".repeat(100_000)}\r\n`,
          { from },
        );
        expect(isCutOff(answer), `100,000 headers are cut off: ${answer.slice(0, 40)}`);
      },
    };
    const costOf = async (attempt: () => Promise<void>): Promise<number> => {
      const cpuMs = cpuMsOf(world.child.pid);
      for (let time = 0; time < TIMES; time += 1) await attempt();
      return (cpuMsOf(world.child.pid) - cpuMs) / TIMES;
    };
    const plainMs = await costOf(async () => void (await call(url, { target: "/healthz" }, { from })));
    const before = memoryOf(world.child.pid);
    for (const [what, attempt] of Object.entries(attempts)) {
      const costMs = (await costOf(attempt)) - plainMs;
      expect(
        costMs <= MAX_CPU_MS,
        `${what} costs at most ${MAX_CPU_MS} ms of processor time more than a plain request, and not ${costMs}`,
      );
    }
    const growth = memoryOf(world.child.pid) - before;
    expect(
      growth < MAX_GROWTH_BYTES,
      `memory grows by less than ${MAX_GROWTH_BYTES} bytes, and not by ${growth}`,
    );
    const answer = await call(
      finance,
      { target: "/transactions", headers: { "content-encoding": "gzip" } },
      { tls: agent.tls },
    );
    expectSame(answer.status, UNPROVEN.status, "a service does not inflate either");
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "issue" }, 0);
    await ledger.expect({ kind: "read" }, 0);
  },
});
