/** Servers that share a store start with nothing that one of them would remember alone, and with what the guide says. */
import { parseConfig, type ServerSettings } from "@trustwarden/server/config.ts";
import { expect, test } from "vitest";
import { readGuide } from "../../test/support/guide.ts";
import { remoteStateOf } from "../state-config.ts";

const login = { host: "127.0.0.1", database: "warden", user: "warden" };
const objects = { endpoint: "http://127.0.0.1:9000", region: "eu-1", bucket: "warden" };
const SHARED = {
  trustDomain: "acme.test",
  dataDir: "/nowhere/data",
  configDir: "/nowhere/config",
  state: JSON.parse(readGuide("replicas.md").find(({ file }) => file === "state.json")?.text ?? "{}"),
  ledger: { storage: "postgres", postgres: login, objects },
} satisfies ServerSettings;

test("the guide's settings have several servers write at once, and none of them go on alone", () => {
  expect(remoteStateOf(parseConfig(SHARED).state)).toMatchObject({ isShared: true, goesOn: false });
  const alone = parseConfig({ ...SHARED, state: { ...SHARED.state, servers: "one" } });
  expect(remoteStateOf(alone.state)).toMatchObject({ isShared: false, goesOn: true });
});

const CERTIFIED = { certFile: "/nowhere/web.crt", keyFile: "/nowhere/web.key" };

test("a ledger of one server's disk is refused at the start, and is none of a server's alone", () => {
  const alone = { ...SHARED.state, servers: "one" };
  const ledger = { storage: "posix" } as const;
  expect(() => parseConfig({ ...SHARED, state: alone, ledger })).not.toThrow();
  expectRefused("ledger.storage", { ...SHARED, ledger });
});

test.each([
  ["console", { console: {} }],
  ["witnesses", { witnesses: { policyFile: "policy" } }],
  ["sinks", { sinks: [{ kind: "syslog", name: "siem", host: "127.0.0.1", port: 6514 }] }],
  ["federation.web", { federation: { web: CERTIFIED } }],
  ["policy.envoy", { policy: { envoy: { services: {} } } }],
  ["policy.listener", { policy: { listener: CERTIFIED } }],
  ["gateway", { gateway: {} }],
])("%s is of all of them", (_, change) => {
  expect(() => parseConfig({ ...SHARED, ...change })).not.toThrow();
});

test("turns are refused to those that write at once", () => {
  expectRefused("state.standby", { ...SHARED, state: { ...SHARED.state, standby: true } });
});

function expectRefused(setting: string, settings: unknown): void {
  expect(() => parseConfig(settings)).toThrow(
    expect.objectContaining({ code: "config_invalid", details: expect.objectContaining({ setting }) }),
  );
}
