/** OpenAPI operations as actions: what each becomes, and which documents are refused whole. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TrustWardenError } from "../error.ts";
import type { JsonObject } from "../json.ts";
import { routesOfOpenapi } from "./openapi.ts";

const documentOf = (paths: JsonObject, more: JsonObject = {}): JsonObject => ({
  openapi: "3.1.0",
  paths,
  ...more,
});
const actionsOf = (paths: JsonObject, more?: JsonObject) =>
  routesOfOpenapi(documentOf(paths, more), "https://shop.test").map(
    ({ method, path, action }) => `${method} ${path} ${action}`,
  );

describe("an operation", () => {
  it("is a verb by its method, a type by its first fixed segment, and the rest as path", () => {
    expect(
      actionsOf({
        "/orders": { get: {}, post: {} },
        "/orders/{orderId}/items": { get: {}, parameters: [] },
        "/orders/{orderId}": {
          get: {},
          put: {},
          patch: {},
          delete: {},
          head: {},
          options: {},
          summary: "one",
        },
        "/{tenant}/reports/latest": { get: {} },
      }),
    ).toEqual([
      "GET /orders read:orders",
      "POST /orders create:orders",
      "GET /orders/{order_id}/items read:orders:{order_id}/items",
      "GET /orders/{order_id} read:orders:{order_id}",
      "PUT /orders/{order_id} update:orders:{order_id}",
      "PATCH /orders/{order_id} update:orders:{order_id}",
      "DELETE /orders/{order_id} delete:orders:{order_id}",
      "HEAD /orders/{order_id} read:orders:{order_id}",
      "GET /{tenant}/reports/latest read:reports:{tenant}/latest",
    ]);
  });

  it("may say its action and resource outright", () => {
    const operation = {
      "x-trustwarden-action": "pay:invoice:{id}",
      "x-trustwarden-resource": "bank://invoices/{id}",
    };
    expect(routesOfOpenapi(documentOf({ "/pay/{id}": { post: operation } }), "https://b.test")).toEqual([
      { method: "POST", path: "/pay/{id}", action: "pay:invoice:{id}", resource: "bank://invoices/{id}" },
    ]);
  });

  it("lies below the path of the first server, which is no part of the action", () => {
    const servers = [{ url: "https://shop.test/api/v2/" }];
    expect(actionsOf({ "/orders": { get: {} } }, { servers })).toEqual(["GET /api/v2/orders read:orders"]);
  });
});

describe("a document", () => {
  it.each([
    ["of another version", { openapi: "2.0", paths: { "/a": { get: {} } } }],
    ["without paths", { openapi: "3.0.3" }],
    ["with no path at all", documentOf({})],
    ["with a path item by reference", documentOf({ "/a": { $ref: "#/x" } })],
    ["with an unknown method", documentOf({ "/a": { fetch: {} } })],
    ["with a segment that is half a parameter", documentOf({ "/a/{b}.json": { get: {} } })],
    ["with an empty segment", documentOf({ "/a//b": { get: {} } })],
    ["with a trailing slash", documentOf({ "/a/": { get: {} } })],
    ["with nothing that could be a type", documentOf({ "/{a}": { get: {} } })],
    ["with two routes of one shape", documentOf({ "/a/{b}": { get: {} }, "/a/{c}": { get: {} } })],
    [
      "with a server of variables",
      documentOf({ "/a": { get: {} } }, { servers: [{ url: "https://{x}.test" }] }),
    ],
    ["with an action that is none", documentOf({ "/a": { get: { "x-trustwarden-action": "READ" } } })],
  ])("%s is refused", (_, document) => {
    expect(() => routesOfOpenapi(document, "https://x.test")).toThrow(
      expect.objectContaining({ code: "config_invalid" }),
    );
  });

  it("never crashes the mapping, whatever it says", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (paths) => {
        try {
          routesOfOpenapi(JSON.parse(JSON.stringify({ openapi: "3.1.0", paths })), "https://x.test");
        } catch (error) {
          expect(error).toBeInstanceOf(TrustWardenError);
        }
      }),
    );
  });
});
