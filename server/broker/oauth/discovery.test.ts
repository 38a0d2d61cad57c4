/** Where a client's secret goes: to the server that the operator named, when upstream and server say the same. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { expectCode } from "../../../test/support/expect-code.ts";
import { createSafeFetch } from "../../attest/safe-fetch.ts";
import { createPrivateKeyPkcs8, createSoftwareSigner } from "../../signer/software.ts";
import { discoverTokenEndpoint } from "./discovery.ts";
import { parseTokenSource } from "./token-source.ts";
import { UpstreamTokens } from "./tokens.ts";

const PRM = "/.well-known/oauth-protected-resource/mcp";
const METADATA = "/.well-known/oauth-authorization-server/tenant";
let origin: string;
let answers: Record<string, object | undefined>;
let asked: { readonly url: string; readonly body: string }[];
const program = createServer((request, response) => {
  const parts: Buffer[] = [];
  request.on("data", (part: Buffer) => parts.push(part));
  request.on("end", () => {
    asked.push({ url: request.url ?? "", body: Buffer.concat(parts).toString() });
    const answer = answers[request.url ?? ""];
    response.writeHead(answer === undefined ? 404 : 200).end(JSON.stringify(answer ?? {}));
  });
});

beforeAll(async () => {
  await new Promise<void>((resolve) => program.listen(0, "127.0.0.1", resolve));
  const { port } = program.address() as AddressInfo; // cast: a TCP server that listens has a port
  origin = `http://127.0.0.1:${port}`;
});
afterAll(() => program.close());
beforeEach(() => {
  asked = [];
  answers = {
    [PRM]: { resource: `${origin}/mcp`, authorization_servers: ["https://other.test", `${origin}/tenant`] },
    [METADATA]: { issuer: `${origin}/tenant`, token_endpoint: `${origin}/token` },
    "/token": { access_token: "a-token-of-the-server", token_type: "Bearer", expires_in: 60 },
  };
});

const sourceOf = (changes: JsonObject = {}) =>
  parseTokenSource({
    issuer: `${origin}/tenant`,
    resource: `${origin}/mcp`,
    grant: "client_credentials",
    client_id: "gateway",
    client_auth: "secret_post",
    allow_private: true,
    ...changes,
  });
const tokens = () =>
  new UpstreamTokens({
    nowMs: () => Date.now(),
    openFetch: createSafeFetch,
    createKey: () => createSoftwareSigner(createPrivateKeyPkcs8("ES256")),
    issueJwt: async () => "none",
    monoMs: () => 0,
  });
const get = (source = sourceOf()) =>
  tokens().get({ secretId: "s", revision: 1, source, clientSecret: "s3cret-of-us", instanceId: "inst-1" });

describe("a token endpoint that is found", () => {
  it("is that of the issuer whom the upstream names, and hears what the token is for", async () => {
    expect((await get()).token).toBe("a-token-of-the-server");
    expect(asked.map(({ url }) => url)).toEqual([PRM, METADATA, "/token"]);
    expect(new URLSearchParams(asked[2]?.body).get("resource")).toBe(`${origin}/mcp`);
  });

  it.each([
    ["another resource's metadata", () => ({ [PRM]: { ...answers[PRM], resource: `${origin}/other` } })],
    [
      "no word of the issuer",
      () => ({ [PRM]: { ...answers[PRM], authorization_servers: ["https://other.test"] } }),
    ],
    ["no list of servers", () => ({ [PRM]: { resource: `${origin}/mcp` } })],
    [
      "another issuer's metadata",
      () => ({ [METADATA]: { ...answers[METADATA], issuer: "https://evil.test" } }),
    ],
    [
      "an endpoint elsewhere",
      () => ({ [METADATA]: { ...answers[METADATA], token_endpoint: "https://evil.test/t" } }),
    ],
    ["no endpoint", () => ({ [METADATA]: { issuer: `${origin}/tenant` } })],
    ["no metadata of the upstream", () => ({ [PRM]: undefined })],
    ["no metadata of the server", () => ({ [METADATA]: undefined })],
  ])("is none with %s, and no secret leaves", async (_, changes) => {
    answers = { ...answers, ...changes() };
    await expect(get()).rejects.toMatchObject({ code: "secret_unavailable", details: { from: "metadata" } });
    expect(asked.map(({ body }) => body).join("")).not.toContain("s3cret");
  });

  it("is looked for at the two places that were named, in their one spelling", async () => {
    const fetch = async ({ url }: { readonly url: string }) => {
      asked.push({ url, body: "" });
      return { status: 404, body: new Uint8Array() };
    };
    const found = discoverTokenEndpoint({ issuer: "https://a.test", resource: "https://m.test/" }, fetch);
    await expect(found).rejects.toMatchObject({ code: "secret_unavailable" });
    expect(asked.map(({ url }) => url)).toEqual(["https://m.test/.well-known/oauth-protected-resource"]);
  });

  it("is not named twice, and its resource is not said otherwise", () => {
    expect(sourceOf().audience).toBe(`${origin}/tenant`);
    for (const wrong of [
      { token_endpoint: `${origin}/token` },
      { parameters: { resource: "https://other.test" } },
      { issuer: "nowhere" },
      { issuer: "https://u@a.test" },
      { resource: "https://a.test/#x" },
    ]) {
      expectCode(() => sourceOf(wrong), "secret_malformed");
    }
    expect(sourceOf({ issuer: "https://a.test" }).discovery?.issuer).toBe("https://a.test");
  });
});
