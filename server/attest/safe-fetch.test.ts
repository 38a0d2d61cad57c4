import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { isLoopbackHost, isPrivateAddress, isPublicAddress } from "./addresses.ts";
import { serve, type TestHttp } from "./issuer.test.support.ts";
import { createSafeFetch, type Lookup } from "./safe-fetch.ts";
import { createCertificate } from "./signed-documents.test.support.ts";

const UNAVAILABLE = expect.objectContaining({ code: "attestation_unavailable" });
const SECRET = "SECRET-BODY";

let target: TestHttp;
beforeAll(async () => {
  target = await serve((request, response) => {
    switch (request.url) {
      case "/redirect":
        response.writeHead(302, { location: `${target.url}/stolen` }).end(SECRET);
        return;
      case "/large":
        response.end("x".repeat(2000));
        return;
      case "/compressed":
        response.writeHead(200, { "content-encoding": "gzip" }).end(SECRET);
        return;
      case "/broken":
        response.writeHead(200, { "content-length": "100" });
        response.write(SECRET);
        response.destroy();
        return;
      default:
        response.end(SECRET);
    }
  });
});
afterAll(() => target.close());

const port = () => new URL(target.url).port;
const fetchFrom = (
  url: string,
  { allowPrivate = true, lookup }: { allowPrivate?: boolean; lookup?: Lookup } = {},
) => createSafeFetch([{ url, allowPrivate }], lookup);

/** Nothing may have left, whatever was asked. */
async function expectNothingSent(url: string, fetch: ReturnType<typeof createSafeFetch>): Promise<void> {
  const before = target.requests.length;
  await expect(fetch({ url, maxBytes: 1000 }), url).rejects.toEqual(UNAVAILABLE);
  expect(target.requests.length).toBe(before);
}

describe("the way out", () => {
  it("leads to a configured origin, and passes the answer on", async () => {
    const { status, body } = await fetchFrom(target.url)({ url: `${target.url}/`, maxBytes: 1000 });
    expect([status, Buffer.from(body).toString()]).toEqual([200, SECRET]);
    const { headers } = target.requests.at(-1) ?? {};
    expect(headers).toMatchObject({ host: new URL(target.url).host, "accept-encoding": "identity" });
  });

  it("leads to no other origin: another port, host, scheme or spelling", async () => {
    const fetch = fetchFrom(target.url);
    for (const url of [
      "http://127.0.0.1:1/",
      `http://127.0.0.2:${port()}/`,
      `http://localhost:${port()}/`,
      `https://127.0.0.1:${port()}/`,
      `http://127.0.0.1:${port()}@evil.test/`,
      `http://user:word@127.0.0.1:${port()}/`,
      "http://169.254.169.254/latest/meta-data/",
      "file:///etc/passwd",
      "not a url",
      "",
    ]) {
      await expectNothingSent(url, fetch);
    }
  });

  it("leads to this machine only where the configuration says so (B12)", async () => {
    await expectNothingSent(target.url, fetchFrom(target.url, { allowPrivate: false }));
    for (const host of ["127.1", "2130706433", "0x7f000001", "0177.0.0.1"]) {
      const url = `http://${host}:${port()}/`;
      await expectNothingSent(url, fetchFrom(url, { allowPrivate: false }));
    }
  });

  it("is HTTPS except to a literal loopback address (B12)", async () => {
    const url = `http://issuer.test:${port()}/`;
    await expectNothingSent(url, fetchFrom(url, { lookup: async () => ["127.0.0.1"] }));
  });

  it("leads to no name of which any address is private, link-local or the metadata service's (B12)", async () => {
    const url = `https://issuer.test:${port()}/`;
    for (const addresses of [
      ["127.0.0.1"],
      ["93.184.216.34", "127.0.0.1"],
      ["169.254.169.254"],
      ["10.0.0.1"],
      ["::1"],
      ["::ffff:127.0.0.1"],
      ["fd00:ec2::254"],
      ["fe80::1"],
      ["0.0.0.0"],
      ["not an address"],
      [],
      Array.from({ length: 33 }, () => "93.184.216.34"),
    ]) {
      const lookup = async () => addresses;
      await expectNothingSent(url, fetchFrom(url, { allowPrivate: false, lookup }));
    }
    const metadata = async () => ["169.254.169.254"];
    await expectNothingSent(url, fetchFrom(url, { allowPrivate: true, lookup: metadata }));
  });

  it("asks for a name once and goes where it was checked: a name that rebinds gains nothing (B12)", async () => {
    let asked = 0;
    const rebinding: Lookup = async () => {
      asked += 1;
      return asked === 1 ? ["203.0.113.1", "127.0.0.1"] : ["127.0.0.1"];
    };
    const url = `https://issuer.test:${port()}/`;
    await expectNothingSent(url, fetchFrom(url, { allowPrivate: false, lookup: rebinding }));
    expect(asked).toBe(1);
  });

  it("follows no redirect, and does not fetch what it points to", async () => {
    const before = target.requests.length;
    const { status } = await fetchFrom(target.url)({ url: `${target.url}/redirect`, maxBytes: 1000 });
    expect(status).toBe(302);
    expect(target.requests.slice(before).map(({ url }) => url)).toEqual(["/redirect"]);
  });

  it("is bounded in bytes, and takes no compressed or broken answer", async () => {
    const fetch = fetchFrom(target.url);
    await expect(fetch({ url: `${target.url}/large`, maxBytes: 2000 })).resolves.toBeDefined();
    await expect(fetch({ url: `${target.url}/large`, maxBytes: 1999 })).rejects.toEqual(UNAVAILABLE);
    await expect(fetch({ url: `${target.url}/compressed`, maxBytes: 1000 })).rejects.toEqual(UNAVAILABLE);
    await expect(fetch({ url: `${target.url}/broken`, maxBytes: 1000 })).rejects.toEqual(UNAVAILABLE);
  });

  it("tells nothing of an answer in its errors (B12)", async () => {
    for (const path of ["/compressed", "/broken"]) {
      const error: unknown = await fetchFrom(target.url)({ url: `${target.url}${path}`, maxBytes: 10 }).catch(
        (caught: unknown) => caught,
      );
      expect(JSON.stringify([error, String(error)])).not.toContain(SECRET);
    }
  });

  it("goes through no proxy that the environment names", async () => {
    const before = { ...process.env };
    process.env.HTTP_PROXY = "http://127.0.0.1:1";
    process.env.NODE_USE_ENV_PROXY = "1";
    try {
      await expect(fetchFrom(target.url)({ url: `${target.url}/`, maxBytes: 1000 })).resolves.toBeDefined();
    } finally {
      process.env = before;
    }
  });

  it("checks the certificate against the name that was configured, at the address that was looked up", async () => {
    const ca = createCertificate({ name: "ca", isCa: true });
    const certificate = createCertificate({ name: "x", issuer: ca, san: "DNS:issuer.test" });
    const names: (string | false | null | undefined)[] = [];
    const tls = { cert: certificate.pem, key: readFileSync(certificate.keyFile) };
    const peer = createServer(tls, (request, response) => {
      names.push(Object(request.socket).servername);
      response.end("keys");
    });
    await new Promise<void>((resolve) => peer.listen(0, "127.0.0.1", resolve));
    const { port: peerPort } = peer.address() as AddressInfo; // cast: a TCP server that listens has a port
    const call = (host: string, trusted: string) => {
      const url = `https://${host}:${peerPort}/keys`;
      const origin = { url, allowPrivate: true, ca: trusted };
      return createSafeFetch([origin], async () => ["127.0.0.1"])({ url, maxBytes: 100 });
    };
    try {
      await expect(call("issuer.test", ca.pem)).resolves.toMatchObject({ status: 200 });
      await expect(call("other.test", ca.pem)).rejects.toEqual(UNAVAILABLE);
      await expect(call("127.0.0.1", ca.pem)).rejects.toEqual(UNAVAILABLE);
      const stranger = createCertificate({ name: "ca", isCa: true });
      await expect(call("issuer.test", stranger.pem)).rejects.toEqual(UNAVAILABLE);
      expect(names).toEqual(["issuer.test"]);
    } finally {
      peer.closeAllConnections();
      peer.close();
    }
  });

  it("checks the certificate of the peer", async () => {
    const url = `https://127.0.0.1:${port()}/`;
    await expectNothingSent(url, fetchFrom(url));
  });
});

describe("addresses", () => {
  it.each(["93.184.216.34", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111"])(
    "%s is public",
    (address) => {
      expect(isPublicAddress(address)).toBe(true);
      expect(isPrivateAddress(address)).toBe(false);
    },
  );

  it.each([
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "::1",
    "fd12::1",
  ])("%s is private", (address) => {
    expect(isPublicAddress(address)).toBe(false);
    expect(isPrivateAddress(address)).toBe(true);
  });

  it.each([
    "0.0.0.0",
    "169.254.169.254",
    "169.254.170.2",
    "192.0.2.1",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "2001:db8::1",
    "2001::1",
    "2002:7f00:1::",
    "fd00:ec2::254",
    "fd00:ec2:0:0:0:0:0:254",
    "",
    "localhost",
    "8.8.8.8 ",
  ])("%s is neither", (address) => {
    expect(isPublicAddress(address)).toBe(false);
    expect(isPrivateAddress(address)).toBe(false);
  });

  it("are loopback only as a literal", () => {
    expect(["127.0.0.1", "127.9.9.9", "[::1]"].map(isLoopbackHost)).toEqual([true, true, true]);
    expect(["localhost", "127.evil.test", "128.0.0.1", "::1", ""].map(isLoopbackHost)).toEqual(
      [1, 2, 3, 4, 5].map(() => false),
    );
  });

  it("are never public and private at once, mapped ones neither", () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), fc.string()), (address) => {
        expect(isPublicAddress(address) && isPrivateAddress(address)).toBe(false);
      }),
    );
    fc.assert(
      fc.property(fc.ipV4(), (address) => {
        expect(isPublicAddress(`::ffff:${address}`)).toBe(false);
      }),
    );
  });
});
