/** K1: default passwords, and secrets that two fresh installs have in common. */
import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { relative } from "node:path";
import { discovery } from "@trustwarden/core/api/ledger.ts";
import { jsonOf, send } from "../../test/support/http.ts";
import { originOf, sendPlain } from "../../test/support/people.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { filesIn } from "../support/backups.ts";
import { WITH_CONSOLE } from "../support/people-cast.ts";
import type { World } from "../support/world.ts";

const PAIRS = [
  "admin:admin",
  "admin:password",
  "root:root",
  "trustwarden:trustwarden",
  "admin:",
  "operator:changeme",
];
const ROUTES = ["/v1/status", "/v1/owners", "/v1/agents", "/v1/people", "/v1/secrets", "/metrics"];
/** Names under which products of this kind take a password or a key of a vendor. */
const LOGINS = ["/login", "/v1/login", "/v1/session", "/v1/auth/login", "/api/login", "/oauth/token"];
/** What is not a secret: names, numbers and empty files are the same everywhere. */
const MIN_SECRET_BYTES = 16;
/** Settings; and a database of which everything but its tables is still in the log beside it. */
const SAME = /(?:server\.json|\.db)$/;

/** Digests of every file that only its owner may read, by its place. */
function secretsOf({ home }: World): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const root of [home.dataDir, home.configDir])
    for (const file of filesIn(root)) {
      const { size, mode } = statSync(file);
      if (size < MIN_SECRET_BYTES || (mode & 0o077) !== 0 || SAME.test(file)) continue;
      found.set(createHash("sha256").update(readFileSync(file)).digest("hex"), relative(root, file));
    }
  return found;
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "K1",
  title: "tries default passwords everywhere, and compares the secrets of two fresh installs",
  expected: "no password opens anything, and nothing secret is in both",
  weakening: "one-seed-for-all",
  world: WITH_CONSOLE,
  prepare: async (world) => ({ other: await world.another(WITH_CONSOLE) }),
  control: async (world) => {
    const answer = await send(world.server.url, { target: "/.well-known/trustwarden" });
    expectSame(answer.status, 200, "what is public");
    expect(secretsOf(world).size >= 3, "an install has secrets to compare");
  },
  attack: async (world, { other }) => {
    for (const pair of PAIRS) {
      const authorization = `Basic ${Buffer.from(pair).toString("base64")}`;
      const headers = { authorization };
      for (const target of ROUTES) {
        const { status } = await send(world.server.url, { target, headers });
        expect(status === 401 || status === 404, `${pair} at ${target} is answered with ${status}`);
        const onConsole = await sendPlain(world.server, { target, headers });
        expect(
          [400, 401, 404].includes(onConsole.status),
          `${pair} on the console is answered with ${onConsole.status}`,
        );
      }
    }
    const [username = "", password = ""] = (PAIRS[0] ?? "").split(":");
    for (const target of LOGINS) {
      const body = JSON.stringify({ username, password });
      const headers = { "content-type": "application/json", origin: originOf(world.server) };
      const { status } = await sendPlain(world.server, { method: "POST", target, body, headers });
      expect(status >= 400 && status < 500, `a password at ${target} is answered with ${status}`);
    }
    const mine = secretsOf(world);
    const shared = [...secretsOf(other)].filter(([digest]) => mine.has(digest)).map(([, file]) => file);
    expectSame(shared, [], "secret files that two installs share");
    const keys = await Promise.all(
      [world, other].map(async ({ server }) => {
        const found = jsonOf(await send(server.url, { target: "/.well-known/trustwarden" }));
        return discovery.parse(found);
      }),
    );
    expect(keys[0]?.log_vkey !== keys[1]?.log_vkey, "each install has a ledger's key of its own");
    expect(
      keys[0]?.authorities_sha256 !== keys[1]?.authorities_sha256,
      "each install has authorities of its own",
    );
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "session", outcome: "success" }, 0);
    await ledger.expect({ kind: "person", outcome: "success" }, 0);
  },
});
