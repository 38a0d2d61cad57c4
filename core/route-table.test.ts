/** What a request means by a service's route table, and which tables and targets are refused. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseRequestTarget } from "./request-target.ts";
import {
  createRouteTable,
  formatRoutesDocument,
  matchRoute,
  parseRoutesDocument,
  type Route,
} from "./route-table.ts";

const route = (changes: Partial<Route> = {}): Route => ({
  method: "GET",
  path: "/transactions/{id}",
  action: "read:transactions",
  resource: "postgres://finance-db/transactions/{id}",
  ...changes,
});
const meaningOf = (routes: readonly Route[], method: string, target: string) =>
  matchRoute(createRouteTable(routes), method, parseRequestTarget(target));
const withCode = (code: string) => expect.objectContaining({ code });

describe("a route table", () => {
  it("gives action, resource and parameters of a request", () => {
    expect(meaningOf([route()], "GET", "/transactions/42?x=1")).toEqual({
      action: "read:transactions",
      resource: "postgres://finance-db/transactions/42",
      params: { id: "42" },
    });
  });

  it("knows only what it lists: another method, more or fewer segments, a trailing slash are unknown", () => {
    const unknown = withCode("route_unknown");
    expect(() => meaningOf([route()], "DELETE", "/transactions/42")).toThrow(unknown);
    expect(() => meaningOf([route()], "get", "/transactions/42")).toThrow(unknown);
    expect(() => meaningOf([route()], "GET", "/transactions")).toThrow(unknown);
    expect(() => meaningOf([route()], "GET", "/transactions/42/lines")).toThrow(unknown);
    expect(() => meaningOf([route()], "GET", "/Transactions/42")).toThrow(unknown);
  });

  it("prefers the literal segment, whatever the order of the rows", () => {
    const rows = [
      route(),
      route({ path: "/transactions/latest", action: "list:transactions", resource: "db://l" }),
    ];
    for (const routes of [rows, rows.toReversed()]) {
      expect(meaningOf(routes, "GET", "/transactions/latest").action).toBe("list:transactions");
      expect(meaningOf(routes, "GET", "/transactions/other").action).toBe("read:transactions");
    }
  });

  it("refuses a parameter that would not be one segment of the action", () => {
    const rows = [route({ action: "read:transactions:{id}" })];
    expect(meaningOf(rows, "GET", "/transactions/42").action).toBe("read:transactions:42");
    expect(() => meaningOf(rows, "GET", "/transactions/a~b")).toThrow(withCode("action_malformed"));
  });

  it("refuses rows that could never be decided", () => {
    const bad: readonly Partial<Route>[] = [
      { method: "get" },
      { method: "CONNECT" },
      { path: "transactions" },
      { path: "/a//b" },
      { path: "/a/../b" },
      { path: "/a%2fb" },
      { path: "/{id}/{id}" },
      { path: "/{Id}" },
      { path: "/.well-known/trustwarden-routes" },
      { action: "read" },
      { action: "read:*" },
      { action: "read:transactions:{other}" },
      { resource: "finance" },
      { resource: "postgres://db/{other}" },
      { resource: "postgres://db/a b" },
    ];
    for (const changes of bad) {
      expect(() => createRouteTable([route(changes)]), JSON.stringify(changes)).toThrow(
        withCode("config_invalid"),
      );
    }
  });

  it("refuses two rows of one shape", () => {
    expect(() =>
      createRouteTable([route(), route({ path: "/transactions/{other}", resource: "db://x" })]),
    ).toThrow(withCode("config_invalid"));
    expect(() => createRouteTable([route(), route({ method: "POST" })])).not.toThrow();
  });

  it("is published and read back the same", () => {
    const table = createRouteTable([route(), route({ method: "DELETE", action: "delete:transactions" })]);
    const verifier = "spiffe://acme.test/trustwarden/verifier/finance/inst-1";
    expect(parseRoutesDocument(formatRoutesDocument(verifier, table))).toEqual({ verifier, table });
  });

  it("never crashes on any document", () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        expect(() => parseRoutesDocument(text)).toThrow(
          expect.objectContaining({ code: expect.any(String) }),
        );
      }),
    );
  });
});

describe("a request target", () => {
  it("is read in one way only", () => {
    expect(parseRequestTarget("/a/b.c/~d?e=%2f").segments).toEqual(["a", "b.c", "~d"]);
    expect(parseRequestTarget("/").segments).toEqual([]);
  });

  it("is refused when two readers could see two paths (E2)", () => {
    const ambiguous = [
      "",
      "a",
      "*",
      "//admin",
      "/a//b",
      "/a/",
      "/a/../b",
      "/./a",
      "/a%2fb",
      "/%61",
      "/a;x",
      "/a\\b",
      "/a.",
      "/a/...",
      "/a b",
      "/a#b",
      "/a?b#c",
      "/a?b c",
      "/\u00e4",
      "https://other.test/a",
      `/${"a".repeat(4096)}`,
      `/${"a/".repeat(32)}a`,
    ];
    for (const target of ambiguous) {
      expect(() => parseRequestTarget(target), target).toThrow(withCode("request_malformed"));
    }
  });

  it("keeps the text that was sent, for any text it accepts", () => {
    fc.assert(
      fc.property(fc.array(fc.stringMatching(/^[A-Za-z0-9_.~%;/-]{1,8}$/)), (parts) => {
        const text = `/${parts.join("/")}`;
        try {
          const { path, segments } = parseRequestTarget(text);
          expect(`/${segments.join("/")}`).toBe(path);
          expect(new URL(text, "https://x.test").pathname).toBe(path);
        } catch (error) {
          expect(error).toEqual(withCode("request_malformed"));
        }
      }),
    );
  });
});
