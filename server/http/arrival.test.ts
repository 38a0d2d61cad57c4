/** What an arrival's head must be before anything of it is read. */
import { IncomingMessage } from "node:http";
import { Socket } from "node:net";
import { describe, expect, it } from "vitest";
import { expectCode } from "../../test/support/expect-code.ts";
import { pathOfTarget, requireCleanHead } from "./arrival.ts";

const rules = { hosts: new Set(["localhost", "127.0.0.1", "[::1]", "acme.test"]), allowsUpgrade: false };

function head(
  overrides: {
    readonly method?: string;
    readonly url?: string;
    readonly headers?: Record<string, string>;
  } = {},
): IncomingMessage {
  const message = new IncomingMessage(new Socket());
  message.method = overrides.method ?? "GET";
  message.url = overrides.url ?? "/v1/agents?limit=5";
  message.headers = { host: "localhost:7443", ...overrides.headers };
  return message;
}

describe("the head of a request", () => {
  it("is fine when it is plain", () => {
    requireCleanHead(head(), rules);
    requireCleanHead(head({ url: "/ledger/tile/0/x001/234.p/5" }), rules);
    requireCleanHead(head({ url: "/.well-known/trustwarden" }), rules);
    requireCleanHead(head({ method: "POST", headers: { "content-length": "5" } }), rules);
  });

  it("has no method but GET and POST", () => {
    for (const method of ["HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "get"]) {
      expectCode(() => requireCleanHead(head({ method }), rules), "method_not_allowed");
    }
  });

  it("has a target with one reading (E2)", () => {
    const ambiguous = [
      "//v1/agents",
      "/v1//agents",
      "/v1/../agents",
      "/v1/./agents",
      "/v1/%61gents",
      "/v1%2fagents",
      "/v1/agents;x=1",
      "/v1\\agents",
      "/v1/agents/",
      "/v1/agents/..",
      "http://localhost/v1/agents",
      "*",
      "",
      "/",
      "/v1/agénts",
      "/v1/agents#x",
    ];
    for (const url of ambiguous)
      expectCode(() => requireCleanHead(head({ url }), rules), "request_malformed");
  });

  it("has a target of bounded length", () => {
    requireCleanHead(head({ url: `/${"a".repeat(2047)}` }), rules);
    expectCode(() => requireCleanHead(head({ url: `/${"a".repeat(2048)}` }), rules), "request_too_large");
  });

  it("names a host that is ours, which a rebound name is not (D17)", () => {
    for (const host of ["localhost", "LOCALHOST:1", "127.0.0.1:7443", "[::1]:7443", "acme.test"]) {
      requireCleanHead(head({ headers: { host } }), rules);
    }
    for (const host of [
      "evil.test",
      "127.0.0.1.evil.test",
      "localhost@evil.test",
      "",
      "localhost:x",
      "::1",
    ]) {
      expectCode(() => requireCleanHead(head({ headers: { host } }), rules), "request_malformed");
    }
  });

  it("does not come from a web page, compressed, or with a body where none belongs", () => {
    const refused: Record<string, string>[] = [
      { origin: "https://evil.test" },
      { origin: "null" },
      { "content-encoding": "gzip" },
      { expect: "100-continue" },
      { upgrade: "websocket" },
      { "content-length": "1" },
      { "transfer-encoding": "chunked" },
    ];
    for (const headers of refused)
      expectCode(() => requireCleanHead(head({ headers }), rules), "request_malformed");
  });

  it("may ask for an upgrade only where one is served", () => {
    requireCleanHead(head({ headers: { upgrade: "x" } }), { ...rules, allowsUpgrade: true });
  });
});

describe("the path of a target", () => {
  it("ends before the query", () => {
    expect(pathOfTarget("/v1/agents?limit=5?")).toBe("/v1/agents");
    expect(pathOfTarget("/v1/agents")).toBe("/v1/agents");
  });
});
