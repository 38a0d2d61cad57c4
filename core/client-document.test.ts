/** Client documents: whose they are, and what they may not say. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseSpiffeId } from "./agentid/spiffe-id.ts";
import { parseClientDocument, parseClientDocumentUrl, requireClientOf } from "./client-document.ts";
import { TrustWardenError } from "./error.ts";
import type { JsonObject } from "./json.ts";

const URL_OF_CLIENT = "https://id.acme.example/clients/reporter";
const SPIFFE = "spiffe://acme.test/team/reporter/inst-1";

function codeOf(run: () => unknown): string {
  try {
    run();
    return "none";
  } catch (error) {
    if (error instanceof TrustWardenError) return error.code;
    throw error;
  }
}

const documentOf = (changes: JsonObject = {}): JsonObject => ({
  client_id: URL_OF_CLIENT,
  client_name: "Reporter",
  spiffe_id: "spiffe://acme.test/team/*",
  ...changes,
});
const parse = (changes?: JsonObject) => codeOf(() => parseClientDocument(documentOf(changes), URL_OF_CLIENT));

describe("the URL of a client", () => {
  it("CIMD-1 is https with a path, in one spelling, without user, query, fragment and dots", () => {
    for (const url of [URL_OF_CLIENT, "https://a.example:8443/c", "http://127.0.0.1:1234/c"]) {
      expect([url, codeOf(() => parseClientDocumentUrl(url))]).toEqual([url, "none"]);
    }
    for (const url of [
      "http://a.example/c",
      "https://a.example/",
      "https://a.example",
      "https://u@a.example/c",
      "https://a.example/c?x=1",
      "https://a.example/c?",
      "https://a.example/c#x",
      "https://a.example/c#",
      "https://a.example/b/../c",
      "https://a.example/./c",
      "https://a.example/%63",
      "https://A.example/c",
      "https://a.example:443/c",
      "file:///etc/passwd",
      "spiffe://acme.test/a",
      `https://a.example/${"c".repeat(512)}`,
    ]) {
      expect([url, codeOf(() => parseClientDocumentUrl(url))]).toEqual([url, "client_document_refused"]);
    }
  });

  it("is refused or taken, whatever the text", () => {
    fc.assert(
      fc.property(fc.webUrl({ withQueryParameters: true, withFragments: true }), (url) => {
        expect(["none", "client_document_refused"]).toContain(codeOf(() => parseClientDocumentUrl(url)));
      }),
    );
  });
});

describe("a client document", () => {
  it("CIMD-2 names the very URL that it was read at", () => {
    expect(parse()).toBe("none");
    expect(parse({ client_id: `${URL_OF_CLIENT}/` })).toBe("client_document_refused");
    expect(parse({ client_id: "https://ID.acme.example/clients/reporter" })).toBe("client_document_refused");
    expect(parse({ client_id: [URL_OF_CLIENT] })).toBe("client_document_refused");
  });

  it("CIMD-3 tells no secret: none that is shared, and no private key", () => {
    for (const method of ["client_secret_basic", "client_secret_post", "client_secret_jwt"]) {
      expect(parse({ token_endpoint_auth_method: method })).toBe("client_document_refused");
    }
    expect(parse({ token_endpoint_auth_method: "spiffe_jwt" })).toBe("none");
    expect(parse({ client_secret: "x" })).toBe("client_document_refused");
    expect(parse({ client_secret_expires_at: 0 })).toBe("client_document_refused");
    const key = { kty: "EC", crv: "P-256", x: "a", y: "b" };
    expect(parse({ jwks: { keys: [key] } })).toBe("none");
    expect(parse({ jwks: { keys: [{ ...key, d: "c" }] } })).toBe("client_document_refused");
    expect(parse({ jwks: { keys: [{ kty: "oct", k: "c" }] } })).toBe("client_document_refused");
    expect(parse({ jwks: [] })).toBe("client_document_refused");
  });

  it("has members of the right form, also those that no flow of ours uses", () => {
    expect(parse({ redirect_uris: ["https://a.example/callback"] })).toBe("none");
    expect(parse({ redirect_uris: ["nowhere"] })).toBe("client_document_refused");
    expect(parse({ redirect_uris: "https://a.example/callback" })).toBe("client_document_refused");
    expect(parse({ grant_types: Array.from({ length: 65 }, () => "x") })).toBe("client_document_refused");
    expect(parse({ spiffe_id: undefined as never })).toBe("client_document_refused");
    expect(parse({ spiffe_id: "spiffe://*" })).toBe("client_document_refused");
  });

  it("CIMD-4 is of the clients whose SPIFFE ID it names, by whole segments", () => {
    const used = { spiffeId: parseSpiffeId(SPIFFE), method: "spiffe_jwt", grantType: "client_credentials" };
    const isOf = (spiffe_id: string, changes: Partial<typeof used> = {}) =>
      codeOf(() =>
        requireClientOf(parseClientDocument(documentOf({ spiffe_id }), URL_OF_CLIENT), {
          ...used,
          ...changes,
        }),
      );
    expect(isOf("spiffe://acme.test/*")).toBe("none");
    expect(isOf("spiffe://acme.test/team/*")).toBe("none");
    expect(isOf(SPIFFE)).toBe("none");
    expect(isOf("spiffe://acme.test/te/*")).toBe("client_document_refused");
    expect(isOf("spiffe://acme.test/team/reporter")).toBe("client_document_refused");
    expect(isOf("spiffe://acme.tes/*")).toBe("client_document_refused");
  });

  it("CIMD-5 may say how its client proves itself, and what it asks for", () => {
    const with_ = { token_endpoint_auth_method: "spiffe_jwt", grant_types: ["client_credentials"] };
    const document = parseClientDocument(documentOf(with_), URL_OF_CLIENT);
    const used = { spiffeId: parseSpiffeId(SPIFFE), method: "spiffe_jwt", grantType: "client_credentials" };
    expect(codeOf(() => requireClientOf(document, used))).toBe("none");
    expect(codeOf(() => requireClientOf(document, { ...used, grantType: undefined }))).toBe("none");
    expect(codeOf(() => requireClientOf(document, { ...used, method: "spiffe_x509" }))).toBe(
      "client_document_refused",
    );
    expect(codeOf(() => requireClientOf(document, { ...used, grantType: "password" }))).toBe(
      "client_document_refused",
    );
  });
});
