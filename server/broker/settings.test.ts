/** Settings have one spelling, and what could widen a secret by accident is refused. */
import type { JsonObject } from "@trustwarden/core/json.ts";
import { parseJsonObject } from "@trustwarden/core/json.ts";
import { describe, expect, it } from "vitest";
import { expectCode } from "../../test/support/expect-code.ts";
import { settingsOf } from "./broker.test.support.ts";
import { injectSecret } from "./injection.ts";
import { formatSettings, goesTo, isNamed, parseSecretName, parseSettings } from "./settings.ts";

const parse = (overrides: JsonObject) => parseSettings(settingsOf(overrides), "static");
const header = (name: string, template = "{secret}") => ({ injection: { as: "header", name, template } });

describe("settings", () => {
  it("have one spelling, whatever the order and the repetitions were", () => {
    const upstreams = [
      { name: "b", origin: "https://b.test" },
      { name: "a", origin: "http://127.0.0.1:8080" },
      { name: "b", origin: "https://b.test" },
    ];
    const settings = parse({ upstreams, agents: ["agent:b", "agent:a", "agent:b"] });
    expect(settings.agents).toEqual(["agent:a", "agent:b"]);
    expect(settings.upstreams.map(({ name }) => name)).toEqual(["a", "b"]);
    const text = formatSettings(settings);
    expect(formatSettings(parseSettings(parseJsonObject(text), "static"))).toBe(text);
  });

  it.each([
    ["an origin with a path", { upstreams: [{ name: "a", origin: "https://a.test/v1" }] }],
    ["an origin with credentials", { upstreams: [{ name: "a", origin: "https://u:p@a.test" }] }],
    ["an origin in plain over the network", { upstreams: [{ name: "a", origin: "http://a.test" }] }],
    ["an origin in another spelling", { upstreams: [{ name: "a", origin: "https://A.test" }] }],
    ["an upstream's name", { upstreams: [{ name: "A", origin: "https://a.test" }] }],
    ["a pattern of no kind", { agents: ["team/**"] }],
    ["a pattern outside the grammar", { agents: ["agent:team/*x"] }],
    ["too many patterns", { agents: Array.from({ length: 65 }, (_, index) => `agent:a${index}`) }],
    ["a header of the connection", header("transfer-encoding")],
    ["the host header", header("host")],
    ["a header of ours", header("trustwarden-intent")],
    ["a header name in capitals", header("X-Api-Key")],
    ["a template without the secret", header("x-api-key", "fixed")],
    ["a template with the secret twice", header("x-api-key", "{secret}{secret}")],
    ["a template with a line end", header("x-api-key", "{secret}\r\nx: y")],
    ["a user with a colon", { injection: { as: "basic", user: "a:b" } }],
    ["a query name with an ampersand", { injection: { as: "query", name: "a&b" } }],
    ["no injection", { injection: null }],
    ["a member that nobody asked for", { extra: 1 }],
  ])("are refused with %s", (_, overrides) => {
    expectCode(() => parse(overrides), "secret_malformed");
  });

  it("of a canary name no upstream and no injection", () => {
    expectCode(() => parseSettings(settingsOf(), "canary"), "secret_malformed");
  });
});

describe("a chain", () => {
  const link = (name: string, path = "team/finance") => ({ path, name, ownerId: "own_A" });
  const isAllowed = (agents: readonly string[], ...chain: ReturnType<typeof link>[]) =>
    isNamed(parse({ agents }), chain);

  it.each([
    [["agent:team/finance/payer"], [link("payer")], true],
    [["agent:team/finance/payer"], [link("payer2")], false],
    [["agent:team/*/payer"], [link("payer")], true],
    [["agent:team/*"], [link("payer")], false],
    [["agent:team/**"], [link("payer")], true],
    [["agent:**"], [link("payer", "x")], true],
    [["owner:own_A"], [link("payer")], true],
    [["owner:own_B"], [link("payer")], false],
    [["agent:team/finance/payer"], [link("boss"), link("payer")], false],
    [["agent:team/finance/*"], [link("boss"), link("payer")], true],
    [[], [link("payer")], false],
    [["agent:**"], [], false],
  ] as const)("%j names %j: %s", (agents, chain, expected) => {
    expect(isAllowed(agents, ...chain)).toBe(expected);
  });
});

describe("a place", () => {
  it("is an upstream together with its origin", () => {
    const settings = parse({});
    expect(goesTo(settings, { upstream: "model", origin: "https://api.example.test" })).toBe(true);
    expect(goesTo(settings, { upstream: "model", origin: "https://api.example.test:444" })).toBe(false);
    expect(goesTo(settings, { upstream: "other", origin: "https://api.example.test" })).toBe(false);
  });
});

describe("an injection", () => {
  it("puts the secret where it was asked to, whatever the secret holds", () => {
    const secret = "a$&b$1'\"";
    expect(injectSecret({ as: "header", name: "x-key", template: "K {secret}!" }, secret).headers).toEqual({
      "x-key": `K ${secret}!`,
    });
    expect(injectSecret({ as: "basic", user: "me" }, secret).headers.authorization).toBe(
      `Basic ${Buffer.from(`me:${secret}`).toString("base64")}`,
    );
    expect(injectSecret({ as: "query", name: "key" }, secret)).toEqual({
      headers: {},
      query: { key: secret },
    });
  });
});

describe("a name", () => {
  it("is one of the grammar", () => {
    expect(parseSecretName("a".repeat(63))).toHaveLength(63);
    for (const name of ["", "A", "a".repeat(64), "../a", "-a"])
      expectCode(() => parseSecretName(name), "secret_malformed");
  });
});
