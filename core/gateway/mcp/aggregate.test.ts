/** Several MCP servers behind one endpoint: every name has one reading, and what it means is what it means at its member. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { expectCode } from "../../../test/support/expect-code.ts";
import { encodeUtf8 } from "../../bytes.ts";
import type { JsonObject } from "../../json.ts";
import { parseRequestTarget } from "../../request-target.ts";
import type { PlanRequest } from "../plan.ts";
import { planMcp } from "../plan-mcp.ts";
import { parseUpstreamName } from "../upstream.ts";
import {
  formatMemberDefinition,
  formatMemberName,
  formatMemberResult,
  formatMemberUri,
  parseMemberNames,
  routeToMember,
} from "./aggregate.ts";
import { MODERN_VERSION } from "./methods.ts";

const MEMBERS = { search: { tools: { look: { read_only: true } } }, "search-2": {}, files: {} } as const;
const SETTINGS: JsonObject = { members: MEMBERS };
const META = {
  "io.modelcontextprotocol/protocolVersion": MODERN_VERSION,
  "io.modelcontextprotocol/clientCapabilities": {},
} as const;

function requestOf(method: string, params: JsonObject, name?: string): PlanRequest {
  const message = { jsonrpc: "2.0", id: 1, method, params: { ...params, _meta: META } };
  return {
    method: "POST",
    target: parseRequestTarget("/mcp"),
    headers: {
      "mcp-protocol-version": MODERN_VERSION,
      "mcp-method": method,
      ...(name === undefined ? {} : { "mcp-name": name }),
    },
    body: encodeUtf8(JSON.stringify(message)),
  };
}

const upstreamOf = (name: string, settings: JsonObject) =>
  ({ name: parseUpstreamName(name), kind: "mcp", resource: "", settings }) as const;

const member = fc.constantFrom("search", "search-2", "files");
/** With the marks of our own among the characters. */
const name = fc
  .stringMatching(/^[a-z_.-]{0,5}(?:__|\.)?[a-z_-]{1,8}$/)
  .filter((text) => !/^\.{1,2}$/.test(text));
const uri = fc.stringMatching(/^[a-z]{1,6}:(?:\/\/)?[a-z0-9_:-]{1,12}$/);

describe("an endpoint that stands for several servers", () => {
  it("plans a call of a member's tool, prompt or resource as that member's own, and no other's", () => {
    fc.assert(
      fc.property(member, name, uri, (of, plain, place) => {
        const settings = MEMBERS[of];
        const cases = [
          ["tools/call", "name", plain, formatMemberName(of, plain)],
          ["prompts/get", "name", plain, formatMemberName(of, plain)],
          ["resources/read", "uri", place, formatMemberUri(of, place)],
        ] as const;
        for (const [method, key, inner, outer] of cases) {
          const own = planMcp(upstreamOf(of, settings), requestOf(method, { [key]: inner }, inner));
          const through = planMcp(upstreamOf("all", SETTINGS), requestOf(method, { [key]: outer }, outer));
          expect(through).toEqual(own);
          const routed = routeToMember(SETTINGS, requestOf(method, { [key]: outer }, outer));
          expect([routed?.member, routed?.request.headers["mcp-name"]]).toEqual([of, inner]);
        }
      }),
      { numRuns: 200 },
    );
  });

  it("answers for itself what is about itself", () => {
    const plan = planMcp(upstreamOf("all", SETTINGS), requestOf("tools/list", {}));
    expect(plan.action).toBe("list:mcp:all/tools");
    expect(routeToMember(SETTINGS, requestOf("server/discover", {}))).toBeNull();
  });

  it("refuses names of nobody, and news that it does not have", () => {
    for (const wrong of ["find", "__find", "other__find", "constructor__find"])
      expectCode(
        () => routeToMember(SETTINGS, requestOf("tools/call", { name: wrong }, wrong)),
        "mcp_not_approved",
      );
    const other = "other:note://x";
    expectCode(
      () => routeToMember(SETTINGS, requestOf("resources/read", { uri: other }, other)),
      "mcp_not_approved",
    );
    expectCode(() => routeToMember(SETTINGS, requestOf("subscriptions/listen", {})), "mcp_method_unknown");
  });

  it("names in lists and results what its clients can ask for", () => {
    expect(formatMemberDefinition("files", "tool", { name: "find", title: "Find" })).toEqual({
      name: "files__find",
      title: "Find",
    });
    expect(formatMemberDefinition("files", "template", { name: "t", uriTemplate: "a://{id}" })).toEqual({
      name: "files__t",
      uriTemplate: "files:a://{id}",
    });
    const link = { type: "resource_link", uri: "note://a" };
    const whole = { type: "resource", resource: { uri: "note://b", text: "b" } };
    expect(
      formatMemberResult("files", {
        content: [link, whole, { type: "text", text: "note://c" }],
        contents: [{ uri: "note://d" }],
        messages: [{ role: "user", content: whole }],
      }),
    ).toEqual({
      content: [
        { ...link, uri: "files:note://a" },
        { ...whole, resource: { uri: "files:note://b", text: "b" } },
        { type: "text", text: "note://c" },
      ],
      contents: [{ uri: "files:note://d" }],
      messages: [{ role: "user", content: { ...whole, resource: { uri: "files:note://b", text: "b" } } }],
    });
  });

  it("is registered with names that have one reading, each once, and nothing else", () => {
    expect(parseMemberNames({ members: "*" })).toBe("*");
    expect(parseMemberNames({ members: ["a", "b-2"] })).toEqual(["a", "b-2"]);
    for (const members of [[], ["a", "a"], ["A"], ["a_b"], ["a".repeat(32)], "a", null])
      expectCode(() => parseMemberNames({ members }), "upstream_malformed");
    expect(parseMemberNames({ members: ["a".repeat(31)] })).toHaveLength(1);
    const many = Array.from({ length: 65 }, (_, index) => `m${index}`);
    expectCode(() => parseMemberNames({ members: many }), "upstream_malformed");
    expect(parseMemberNames({ members: many.slice(1) })).toHaveLength(64);
    expectCode(() => parseMemberNames({ members: "*", tools: {} }), "upstream_malformed");
  });
});
