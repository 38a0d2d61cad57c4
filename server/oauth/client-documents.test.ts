/** Fetching client documents: from where, how often, and what a failure leaves behind. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ClientHost, startClientHost } from "../../test/support/client-host.ts";
import { expectRejection } from "../../test/support/expect-code.ts";
import { createOpenFetch } from "../attest/token-source.ts";
import { ClientDocuments } from "./client-documents.ts";

const NOW = 1_800_000_000;
let host: ClientHost;

beforeAll(async () => {
  host = await startClientHost();
});
afterAll(() => host.close());

const documents = (options: { readonly anyPublic?: boolean; readonly address?: string } = {}) => {
  const { anyPublic = false, address } = options;
  const lookup = address === undefined ? undefined : async () => [address];
  const origins = [{ url: host.origin, allowPrivate: true }];
  return new ClientDocuments({ origins, anyPublic }, createOpenFetch("test", lookup));
};
const document = (url: string) => ({ client_id: url, spiffe_id: "spiffe://acme.test/*" });

describe("client documents", () => {
  it("CIMD-6 are read once in five minutes, and never kept when they were bad", async () => {
    const own = documents();
    const url = host.put("/kept", document(`${host.origin}/kept`));
    expect((await own.find(url, NOW)).clientId).toBe(url);
    expect((await own.find(url, NOW + 299)).clientId).toBe(url);
    expect(host.asked.filter((path) => path === "/kept").length).toBe(1);
    await own.find(url, NOW + 300);
    expect(host.asked.filter((path) => path === "/kept").length).toBe(2);
    const bad = host.put("/bad", { client_id: "another" });
    await expectRejection(own.find(bad, NOW), "client_document_refused");
    host.put("/bad", document(bad));
    expect((await own.find(bad, NOW)).clientId).toBe(bad);
  });

  it("CIMD-7 are no redirect, no error, no more than 8 KiB and nothing but JSON", async () => {
    const own = documents();
    const elsewhere = host.put("/elsewhere", document(`${host.origin}/redirect`));
    const url = host.put("/redirect", "", { status: 302, location: elsewhere });
    await expectRejection(own.find(url, NOW), "client_document_refused");
    const late = host.put("/status", document(`${host.origin}/status`), { status: 201 });
    await expectRejection(own.find(late, NOW), "client_document_refused");
    const padding = "x".repeat(8192);
    const large = host.put("/large", { ...document(`${host.origin}/large`), padding });
    await expectRejection(own.find(large, NOW), "client_document_refused");
    const text = host.put("/text", "<html>");
    await expectRejection(own.find(text, NOW), "client_document_refused");
  });

  it("CIMD-8 lie at configured origins, or at public addresses where that is said", async () => {
    await expectRejection(documents().find("https://other.example/c", NOW), "client_document_refused");
    for (const address of [
      "169.254.169.254",
      "127.0.0.1",
      "10.0.0.1",
      "::1",
      "fd00::1",
      "64:ff9b::a9fe:a9fe",
    ]) {
      const open = documents({ anyPublic: true, address });
      await expectRejection(open.find("https://other.example/c", NOW), "client_document_refused");
    }
    const direct = documents({ anyPublic: true });
    for (const url of [
      "https://169.254.169.254/latest/meta-data",
      "https://[::1]/c",
      "http://127.0.0.1:1/c",
    ]) {
      await expectRejection(direct.find(url, NOW), "client_document_refused");
    }
  });

  it("are asked for sixty times a minute at most, whoever chooses the addresses", async () => {
    const own = documents();
    for (let count = 0; count < 60; count += 1) {
      await own.find(`${host.origin}/none-${count}`, NOW).catch(() => undefined);
    }
    await expectRejection(own.find(`${host.origin}/none`, NOW + 59), "rate_limited");
    await expectRejection(own.find(`${host.origin}/none`, NOW + 60), "client_document_refused");
  });
});
