import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { formatSelectors } from "@trustwarden/core/agentid/selector.ts";
import { isJsonObject, type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createAttestors } from "./attestors.ts";
import { attestationSettings } from "./config.ts";
import { AUDIENCE, CONTEXT, NOW, startIssuer, type TestIssuer, TestKey } from "./issuer.test.support.ts";
import { createCertificate } from "./signed-documents.test.support.ts";

const REFUSED = expect.objectContaining({ code: "attestation_refused" });
const EXPIRED = expect.objectContaining({ code: "attestation_expired" });
const UNTRUSTED = expect.objectContaining({ code: "attestation_untrusted_issuer" });
const UNAVAILABLE = expect.objectContaining({ code: "attestation_unavailable" });

const key = new TestKey("cluster-1");
const SUBJECT = "system:serviceaccount:payments:agent";

/** The private claims of a projected token, as kube-apiserver writes them. */
const KUBERNETES = {
  namespace: "payments",
  node: { name: "node-1", uid: "7a1f3d52-0000-4000-8000-000000000001" },
  pod: { name: "agent-0", uid: "7a1f3d52-0000-4000-8000-000000000002" },
  serviceaccount: { name: "agent", uid: "7a1f3d52-0000-4000-8000-000000000003" },
  warnafter: NOW + 3607,
};
const claimsFor = (issuer: string, changed: object = {}) => ({
  iss: issuer,
  aud: [AUDIENCE],
  sub: SUBJECT,
  iat: NOW - 10,
  nbf: NOW - 10,
  exp: NOW + 3590,
  jti: "3c1e7a3e-0000-4000-8000-000000000000",
  "kubernetes.io": KUBERNETES,
  ...changed,
});
const SELECTORS = [
  "k8s:cluster:prod",
  "k8s:node-name:node-1",
  "k8s:ns:payments",
  "k8s:pod-name:agent-0",
  "k8s:pod-uid:7a1f3d52-0000-4000-8000-000000000002",
  "k8s:sa:agent",
];
const evidence = (token: string, cluster = "prod") => ({ type: "k8s", cluster, token }) as const;

describe("a projected service-account token, by the cluster's keys", () => {
  let issuer: TestIssuer;
  beforeAll(async () => {
    issuer = await startIssuer([key]);
  });
  afterAll(() => issuer.close());

  const attestors = (changed: object = {}) =>
    createAttestors(
      attestationSettings.parse({
        k8s: [
          {
            name: "prod",
            mode: "jwks",
            issuer: issuer.url,
            keys: { jwks: { url: `${issuer.url}/keys`, allowPrivate: true } },
            ...changed,
          },
        ],
      }),
    );
  const attest = (changed: object = {}) =>
    attestors().attest(evidence(key.token(claimsFor(issuer.url, changed))), CONTEXT);

  it("proves cluster, name space, service account, pod and node", async () => {
    const attested = await attest();
    expect(formatSelectors(attested.selectors)).toEqual(SELECTORS);
    expect(attested).toMatchObject({
      type: "k8s",
      subject: "k8s:prod:payments:agent:7a1f3d52-0000-4000-8000-000000000002",
      expiresAt: NOW + 3590,
      singleUse: null,
    });
  });

  it("proves less when it is bound to no pod", async () => {
    const { pod: _pod, node: _node, ...unbound } = KUBERNETES;
    const attested = await attest({ "kubernetes.io": unbound });
    expect(formatSelectors(attested.selectors)).toEqual([
      "k8s:cluster:prod",
      "k8s:ns:payments",
      "k8s:sa:agent",
    ]);
  });

  it("may be configured to serve once", async () => {
    const token = key.token(claimsFor(issuer.url));
    const attested = await attestors({ singleUse: true }).attest(evidence(token), CONTEXT);
    expect(attested.singleUse).toMatchObject({ expiresAt: NOW + 3590 });
  });

  it("is of the cluster that it names", async () => {
    const token = key.token(claimsFor(issuer.url));
    await expect(attestors().attest(evidence(token, "staging"), CONTEXT)).rejects.toEqual(UNTRUSTED);
    await expect(attest({ iss: "https://kubernetes.default.svc" })).rejects.toEqual(UNTRUSTED);
  });

  it("is refused when it is a legacy one, lacks or contradicts a claim, or is for the API server", async () => {
    for (const changed of [
      { "kubernetes.io": undefined },
      { "kubernetes.io": undefined, "kubernetes.io/serviceaccount/namespace": "payments" },
      { "kubernetes.io": { ...KUBERNETES, namespace: undefined } },
      { "kubernetes.io": { ...KUBERNETES, namespace: "kube-system" } },
      { "kubernetes.io": { ...KUBERNETES, serviceaccount: { name: "admin" } } },
      { "kubernetes.io": { ...KUBERNETES, serviceaccount: "agent" } },
      { "kubernetes.io": { ...KUBERNETES, pod: { name: "agent-0" } } },
      { "kubernetes.io": { ...KUBERNETES, pod: { ...KUBERNETES.pod, uid: 1 } } },
      { "kubernetes.io": [] },
      { sub: "system:node:node-1" },
      { sub: undefined },
      { aud: ["https://kubernetes.default.svc.cluster.local"] },
      { aud: [AUDIENCE, "https://kubernetes.default.svc.cluster.local"] },
    ]) {
      await expect(attest(changed), JSON.stringify(changed)).rejects.toEqual(REFUSED);
    }
    await expect(attest({ exp: NOW + 31_536_000 })).rejects.toEqual(EXPIRED);
  });
});

describe("a projected service-account token, by review", () => {
  const folder = mkdtempSync(join(tmpdir(), "token-review-"));
  const tokenFile = join(folder, "token");
  const ca = createCertificate({ name: "cluster ca", isCa: true });
  const certificate = createCertificate({ name: "kubernetes", issuer: ca, san: "IP:127.0.0.1" });
  const stranger = createCertificate({ name: "cluster ca", isCa: true });
  const token = key.token(claimsFor("https://kubernetes.default.svc"));
  const user = {
    username: SUBJECT,
    uid: "7a1f3d52-0000-4000-8000-000000000003",
    groups: ["system:serviceaccounts", "system:serviceaccounts:payments", "system:authenticated"],
    extra: {
      "authentication.kubernetes.io/credential-id": ["JTI=3c1e7a3e"],
      "authentication.kubernetes.io/node-name": ["node-1"],
      "authentication.kubernetes.io/pod-name": ["agent-0"],
      "authentication.kubernetes.io/pod-uid": ["7a1f3d52-0000-4000-8000-000000000002"],
    },
  };
  let server: Server;
  let reviews: JsonObject[] = [];
  /** What the API server says when it finds the token good. */
  let answer: (review: JsonObject) => { status: number; body: string };

  const good = (changed: object = {}) => ({
    status: 201,
    body: JSON.stringify({
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenReview",
      metadata: {},
      status: { authenticated: true, audiences: [AUDIENCE], user, ...changed },
    }),
  });

  beforeAll(async () => {
    writeFileSync(tokenFile, "own.token.x\n");
    const tls = { cert: certificate.pem, key: readFileSync(certificate.keyFile) };
    server = createServer(tls, async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk);
      const isMeant =
        request.method === "POST" &&
        request.url === "/apis/authentication.k8s.io/v1/tokenreviews" &&
        request.headers.authorization === "Bearer own.token.x";
      if (!isMeant) {
        response.writeHead(403).end("{}");
        return;
      }
      const review = parseJsonObject(Buffer.concat(chunks).toString());
      reviews.push(review);
      const { status, body } = answer(review);
      response.writeHead(status, { "content-type": "application/json" }).end(body);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true });
  });
  beforeEach(() => {
    reviews = [];
    answer = ({ spec }) =>
      isJsonObject(spec) && spec.token === token
        ? good()
        : good({ authenticated: false, user: {}, audiences: [] });
  });

  const attestors = ({ pin = ca.pem, file = tokenFile, allowPrivate = true } = {}) => {
    const { port } = server.address() as AddressInfo; // cast: a TCP server that listens has a port
    const apiServer = { url: `https://127.0.0.1:${port}`, allowPrivate, ca: pin };
    return createAttestors(
      attestationSettings.parse({
        k8s: [{ name: "prod", mode: "token_review", apiServer, tokenFile: file }],
      }),
    );
  };
  const attest = (shown = token) => attestors().attest(evidence(shown), CONTEXT);

  it("proves what the API server says of it, and asks for our audience only", async () => {
    const attested = await attest();
    expect(formatSelectors(attested.selectors)).toEqual(SELECTORS);
    expect(attested.expiresAt).toBe(NOW + 3590);
    expect(reviews).toEqual([
      { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec: { token, audiences: [AUDIENCE] } },
    ]);
  });

  it("proves nothing when the API server does not know it, or takes it for another audience", async () => {
    await expect(
      attest(key.token(claimsFor("https://kubernetes.default.svc", { jti: "x" }))),
    ).rejects.toEqual(REFUSED);
    for (const changed of [
      { audiences: undefined },
      { audiences: [] },
      { audiences: ["other"] },
      { audiences: AUDIENCE },
      { authenticated: "true" },
      { authenticated: undefined },
      { user: undefined },
      { user: { ...user, username: "system:node:node-1" } },
      { user: { ...user, username: "system:serviceaccount:payments:agent:x" } },
      { user: { ...user, username: "alice" } },
      { user: { ...user, extra: { ...user.extra, "authentication.kubernetes.io/pod-uid": ["a", "b"] } } },
      { user: { ...user, extra: { ...user.extra, "authentication.kubernetes.io/pod-name": "agent-0" } } },
      { user: { ...user, extra: "x" } },
    ]) {
      answer = () => good(changed);
      await expect(attest(), JSON.stringify(changed)).rejects.toEqual(REFUSED);
    }
  });

  it("proves nothing when the API server gives no clear answer", async () => {
    for (const body of [
      "",
      "[]",
      "{}",
      '{"kind":"Status","status":{"authenticated":true}}',
      '{"kind":"TokenReview"}',
    ]) {
      answer = () => ({ status: 201, body });
      await expect(attest(), body).rejects.toEqual(UNAVAILABLE);
    }
    for (const status of [301, 401, 403, 500]) {
      answer = () => ({ ...good(), status });
      await expect(attest(), String(status)).rejects.toEqual(UNAVAILABLE);
    }
    answer = () => ({ status: 201, body: `${good().body}${" ".repeat(70_000)}` });
    await expect(attest()).rejects.toEqual(UNAVAILABLE);
  });

  it("goes to no API server with another authority's certificate, nor to a private one unasked", async () => {
    await expect(attestors({ pin: stranger.pem }).attest(evidence(token), CONTEXT)).rejects.toEqual(
      UNAVAILABLE,
    );
    await expect(attestors({ allowPrivate: false }).attest(evidence(token), CONTEXT)).rejects.toEqual(
      UNAVAILABLE,
    );
    expect(reviews).toEqual([]);
  });

  it("may have the cluster's certificates in a file, which is read at the start", async () => {
    const caFile = join(folder, "ca.crt");
    writeFileSync(caFile, ca.pem);
    const { port } = server.address() as AddressInfo; // cast: a TCP server that listens has a port
    const create = (file: string) => {
      const apiServer = { url: `https://127.0.0.1:${port}`, allowPrivate: true, caFile: file };
      return createAttestors(
        attestationSettings.parse({ k8s: [{ name: "prod", mode: "token_review", apiServer, tokenFile }] }),
      );
    };
    await expect(create(caFile).attest(evidence(token), CONTEXT)).resolves.toBeDefined();
    const invalid = expect.objectContaining({ code: "config_invalid" });
    expect(() => create(join(folder, "missing"))).toThrow(invalid);
    expect(() => create(tokenFile)).toThrow(invalid);
  });

  it("needs a token of the server's own, read anew each time", async () => {
    const missing = attestors({ file: join(folder, "missing") });
    await expect(missing.attest(evidence(token), CONTEXT)).rejects.toEqual(UNAVAILABLE);
    const rotated = join(folder, "rotated");
    writeFileSync(rotated, "own token\r\nx-evil: 1");
    const attestor = attestors({ file: rotated });
    await expect(attestor.attest(evidence(token), CONTEXT)).rejects.toEqual(UNAVAILABLE);
    writeFileSync(rotated, "own.token.x");
    await expect(attestor.attest(evidence(token), CONTEXT)).resolves.toBeDefined();
  });

  it("is sent on only in its one spelling, unexpired and short-lived", async () => {
    for (const shown of [`${token}=`, ` ${token}`, "x", "a.b.c"]) {
      await expect(attest(shown)).rejects.toMatchObject({ code: "attestation_malformed" });
    }
    const late = { ...CONTEXT, nowSeconds: NOW + 3590 };
    await expect(attestors().attest(evidence(token), late)).rejects.toEqual(EXPIRED);
    const yearly = key.token(claimsFor("https://kubernetes.default.svc", { exp: NOW + 31_536_000 }));
    await expect(attest(yearly)).rejects.toEqual(EXPIRED);
    expect(reviews).toEqual([]);
  });
});
