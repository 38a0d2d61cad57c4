/**
 * Programs around the SDK's sources, as processes of their own: the harness that spiffe-conformance-test-suite talks to keeps the
 * suite's contract, with answers that are the SDK's; and the block of `sdk/README.md` does what it says.
 */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { connect } from "node:tls";
import { promisify } from "node:util";
import { issueJwtSvid } from "@trustwarden/core/agentid/jwt-svid.ts";
import { formatP256Jwk } from "@trustwarden/core/crypto.ts";
import { createMutualTlsServer, createX509Source } from "trustwarden";
import { afterAll, beforeAll, describe, expect, it, test } from "vitest";
import { createDomain, formatPem, issueSvid } from "../interop/domain.ts";
import { freePort } from "./support/free-port.ts";
import {
  jwtBundles,
  openScriptedEndpoint,
  type ScriptedEndpoint,
  x509Response,
} from "./support/scripted-endpoint.ts";

const ROOT = join(import.meta.dirname, "..");
const HARNESS = join(ROOT, "interop", "suite", "harness.ts");
const now = Math.floor(Date.now() / 1000);
const ours = createDomain("ours.test", now);
const other = createDomain("other.test", now);
const a = issueSvid(ours, ["a"], now);
const b = issueSvid(ours, ["b"], now);
const lines: string[] = [];
const closers: (() => unknown)[] = [];
let endpoint: ScriptedEndpoint;
let exited: Promise<unknown>;
let stop: () => void;

beforeAll(async () => {
  endpoint = await openScriptedEndpoint();
  closers.push(endpoint.close);
  endpoint.push("FetchX509SVID", x509Response({ svids: [a], bundle: [ours.root.der] }));
  const key = { ...formatP256Jwk(ours.signers.jwt.publicKey), kid: "k" };
  endpoint.push("FetchJWTBundles", jwtBundles({ "ours.test": [key] }));
  const child = spawn(process.execPath, [HARNESS], {
    env: { PATH: process.env.PATH ?? "", SPIFFE_ENDPOINT_SOCKET: endpoint.socket },
    stdio: ["ignore", "pipe", "inherit"],
  });
  closers.push(() => child.kill("SIGKILL"));
  exited = once(child, "exit");
  stop = () => child.kill("SIGTERM");
  const output = createInterface({ input: child.stdout });
  const ready = new Promise<void>((resolve) => {
    output.on("line", (line) => {
      lines.push(line);
      if (line === "READY") resolve();
    });
  });
  await Promise.race([ready, exited]);
});
afterAll(() => {
  for (const close of closers) close();
});

const portOf = (name: string) => {
  const line = lines.find((one) => one.startsWith(`SPIFFE_${name}_PORT=`)) ?? "";
  return Number(line.split("=")[1]);
};

async function ask(path: string, body: unknown) {
  const answer = await fetch(`http://127.0.0.1:${portOf("CONTROL")}${path}`, {
    method: "POST",
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  return [answer.status, await answer.json()];
}

const issue = (domain: typeof ours, audience: string) =>
  issueJwtSvid({
    ...{ id: a.id, audience, issuer: "https://ours.test", kid: "k", jti: "1", now, ttlSeconds: 300 },
    signer: domain.signers.jwt,
  });

describe("the harness", () => {
  it("EP-1 finds the endpoint by the environment alone, and says its version and ports before it is ready", () => {
    expect(lines[0]).toBe("SPIFFE_HARNESS_VERSION=1");
    expect(lines.at(-1)).toBe("READY");
    expect(portOf("X509")).toBeGreaterThan(0);
    expect(portOf("CONTROL")).toBeGreaterThan(0);
  });

  it("tells a proven client its id, and closes on every other without a word", async () => {
    const said = async (keys: object) => {
      const socket = connect({ port: portOf("X509"), rejectUnauthorized: false, ...keys });
      let text = "";
      socket.on("data", (bytes: Buffer) => {
        text += bytes;
      });
      socket.on("error", () => undefined);
      await new Promise((resolve) => socket.on("close", resolve));
      return text;
    };
    const keysOf = ({ chain, signer }: typeof a) => ({
      key: signer.privateKey.export({ type: "pkcs8", format: "pem" }),
      cert: formatPem(chain),
    });
    expect(await said(keysOf(b))).toBe(`${b.id}\n`);
    expect(await said(keysOf(issueSvid(other, ["b"], now)))).toBe("");
    expect(await said({})).toBe("");
  });

  it("dials a proven server, and says that it refused any other", async () => {
    for (const [svid, bundle, status] of [
      [b, ours, 200],
      [issueSvid(other, ["b"], now), other, 422],
    ] as const) {
      const far = await openScriptedEndpoint();
      far.push("FetchX509SVID", x509Response({ svids: [svid], bundle: [bundle.root.der] }));
      const source = await createX509Source({ socket: far.socket });
      const server = createMutualTlsServer({ source, accept: () => true }, ({ socket }) => socket.end());
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      closers.push(
        far.close,
        () => source.close(),
        () => server.close(),
      );
      const address = server.address();
      const port = address !== null && typeof address !== "string" ? address.port : 0;
      const [found, body] = await ask("/v1/x509/dial", { address: `127.0.0.1:${port}` });
      expect(found).toBe(status);
      expect(body).toMatchObject(status === 200 ? { status: "ok", spiffe_id: b.id } : { status: "rejected" });
    }
    expect(await ask("/v1/x509/dial", { address: "127.0.0.1:1" })).toMatchObject([500, { status: "error" }]);
  });

  it("validates tokens here, and tells a refusal from a request that says nothing", async () => {
    const token = issue(ours, "conformance");
    expect(await ask("/v1/jwt/validate", { token, audience: "conformance" })).toMatchObject([
      200,
      { status: "ok", spiffe_id: a.id, claims: { sub: a.id } },
    ]);
    expect(await ask("/v1/jwt/validate", { token, audience: "other" })).toMatchObject([
      422,
      { status: "rejected" },
    ]);
    const forged = issue(other, "conformance");
    expect(await ask("/v1/jwt/validate", { token: forged, audience: "conformance" })).toMatchObject([
      422,
      { status: "rejected" },
    ]);
    expect(await ask("/v1/jwt/validate", "{")).toMatchObject([500, { status: "error" }]);
    expect(endpoint.calls.map(({ method }) => method)).not.toContain("ValidateJWTSVID");
  });

  it("fetches tokens, hands on a refusal, and says what it does not know", async () => {
    const token = issue(ours, "x");
    endpoint.push("FetchJWTSVID", { svids: [{ spiffe_id: a.id, svid: token, hint: "" }] });
    expect(await ask("/v1/jwt/fetch", { audience: ["x"] })).toMatchObject([
      200,
      { status: "ok", svids: [{ spiffe_id: a.id, token }] },
    ]);
    endpoint.fail("FetchJWTSVID", 7);
    expect(await ask("/v1/jwt/fetch", { audience: ["x"] })).toMatchObject([422, { status: "rejected" }]);
    expect(await ask("/v1/other", {})).toMatchObject([501, { status: "unsupported" }]);
  });

  it("ends when it is told to", async () => {
    stop();
    expect(await exited).toEqual([0, null]);
  });
});

test("the sources and mutual TLS of sdk/README.md do what it says", async () => {
  const acme = createDomain("acme.test", now);
  const billing = issueSvid(acme, ["team", "billing"], now);
  const far = await openScriptedEndpoint();
  closers.push(far.close);
  const signed = { issuer: "https://acme.test", kid: "k", jti: "1", now, ttlSeconds: 300 };
  const svid = issueJwtSvid({
    ...{ id: billing.id, audience: ["https://api.example", "https://me.example"] as const },
    ...{ ...signed, signer: acme.signers.jwt },
  });
  far.push("FetchX509SVID", x509Response({ svids: [billing], bundle: [acme.root.der] }));
  const key = { ...formatP256Jwk(acme.signers.jwt.publicKey), kid: "k" };
  far.push("FetchJWTBundles", jwtBundles({ "acme.test": [key] }));
  far.push("FetchJWTSVID", { svids: [{ spiffe_id: billing.id, svid, hint: "" }] });

  const blocks = [
    ...readFileSync(join(ROOT, "sdk", "README.md"), "utf8").matchAll(/^```ts\n([\s\S]*?)^```$/gm),
  ];
  const block = blocks.map(([, text = ""]) => text).find((text) => text.includes("createX509Source()")) ?? "";
  const names = ["acceptIds", "connectMutualTls", "createJwtSource", "createMutualTlsAgent"];
  const others = ["createMutualTlsServer", "createX509Source"];
  const program = [
    `import { ${[...names, ...others].join(", ")} } from "trustwarden";`,
    `const request = { token: ${JSON.stringify(svid)} };`,
    // The reader's host and port are this machine's; what is listened on is remembered by the port.
    block.replace("billing.acme.test", "127.0.0.1").replaceAll("8443", String(await freePort())),
    'socket.setEncoding("utf8").on("data", (said) => {',
    "  console.log(JSON.stringify([said, peer, jwt.spiffeId, id, typeof agent.createConnection]));",
    "  process.exit(0);",
    "});",
  ];
  const folder = mkdtempSync(join(ROOT, ".cache", "sources-"));
  closers.push(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, "program.ts"), program.join("\n"));
  const env = { PATH: process.env.PATH ?? "", SPIFFE_ENDPOINT_SOCKET: far.socket };
  const { stdout } = await promisify(execFile)(process.execPath, [join(folder, "program.ts")], { env });
  const { id } = billing;
  expect(JSON.parse(stdout)).toEqual([`hello ${id}`, id, id, id, "function"]);
});
