/** Secrets over the real server: what goes in comes out of no route, file or export; a restart keeps it usable. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { eventPage } from "@trustwarden/core/api/ledger.ts";
import { secretAnswer, secretKeyAnswer, secretList } from "@trustwarden/core/api/secrets.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ROUTES } from "../server/http/routes.ts";
import { createOwner, enrolAgent, parseAnswer } from "./support/actors.ts";
import { codeOf, type RawAnswer, sendAdmin } from "./support/http.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

const VALUES = ["sk-canary-of-the-first/+1", "sk-canary-of-the-second-2", "cnry_planted_here_3"];
const INJECTION = { as: "header", name: "authorization", template: "Bearer {secret}" };

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(async () => {
  await server.close();
  server.home.remove();
});

const post = (target: string, body: object): Promise<RawAnswer> =>
  sendAdmin(server.adminSocket, { method: "POST", target, body: JSON.stringify(body) });
const get = (target: string): Promise<RawAnswer> => sendAdmin(server.adminSocket, { target });

/** Every form in which somebody could recognise one of the values. */
const FORMS = VALUES.flatMap((value) => [
  value,
  JSON.stringify(value).slice(1, -1),
  encodeURIComponent(value),
  Buffer.from(value).toString("hex"),
  Buffer.from(value).toString("base64").replaceAll("=", "").slice(0, -1),
  Buffer.from(value).toString("base64url").slice(0, -1),
]);

function expectNone(text: string, where: string): void {
  expect({ where, found: FORMS.filter((form) => text.includes(form)) }).toEqual({ where, found: [] });
}

function filesIn(directory: string): readonly string[] {
  return readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

describe("a secret", () => {
  it("is put, replaced, bound, disabled and enabled, and no answer holds it", async () => {
    const [first = "", second = "", canary = ""] = VALUES;
    const put = await post("/v1/secrets", {
      name: "model-key",
      value: first,
      upstreams: [{ name: "model", origin: "https://api.example.test" }],
      agents: ["agent:team/**"],
      injection: INJECTION,
      reason: "set-up",
    });
    expect(parseAnswer(secretAnswer, put)).toMatchObject({
      name: "model-key",
      is_disabled: false,
      versions: [{ version: 1 }],
    });
    const answers = [
      put,
      await post("/v1/secrets/model-key/versions", { value: second, grace_seconds: 600 }),
      await post("/v1/secrets/model-key/scope", { agents: ["owner:own_x"] }),
      await post("/v1/secrets/model-key/disabling", { reason: "drill" }),
      await post("/v1/secrets/model-key/enabling", {}),
      await post("/v1/secrets", { name: "planted", kind: "canary", value: canary }),
      await post("/v1/secrets", { name: "planted", kind: "canary", value: canary }),
      await post("/v1/secret-keys/rotation", { begin: true }),
    ];
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 200, 409, 200]);
    for (const { text } of answers) expectNone(text, "an answer");
    const { secrets } = parseAnswer(secretList, await get("/v1/secrets"));
    expect(secrets.map(({ name, kind }) => ({ name, kind }))).toEqual([
      { name: "model-key", kind: "static" },
      { name: "planted", kind: "canary" },
    ]);
    expect(secrets[0]).toMatchObject({ agents: ["owner:own_x"], upstreams: [{ name: "model" }] });
    expect(parseAnswer(secretKeyAnswer, answers[7] ?? put)).toMatchObject({
      remaining: 0,
      keys: [{ versions: 3 }],
    });
  });

  it.each([
    ["too short", { name: "short", value: "1234567", injection: INJECTION }, 400, "secret_malformed"],
    ["not printable", { name: "odd", value: "sk-12345\n6", injection: INJECTION }, 400, "secret_malformed"],
    [
      "with a value in its name's place",
      { name: "Sk Live", value: "sk-123456", injection: INJECTION },
      400,
      "request_malformed",
    ],
  ])("that is %s is refused, and its value is not in the refusal", async (_, body, status, code) => {
    const answer = await post("/v1/secrets", body);
    expect({ status: answer.status, code: codeOf(answer) }).toEqual({ status, code });
    expect(answer.text).not.toContain(body.value);
  });

  it("comes out of no route that reads", async () => {
    const owner = await createOwner(server, "reader");
    await enrolAgent(server, owner);
    const reads = ROUTES.filter(({ method, answer }) => method === "GET" && answer !== "upgrade");
    expect(reads.length).toBeGreaterThan(15);
    for (const { path } of reads) {
      const target = path
        .replace(":trust_domain", "model-key")
        .replace(/:\w+/, "model-key")
        .replace("*", "000");
      expectNone((await get(target)).text, path);
      expectNone((await get(`${target}/model-key`)).text, `${path}/model-key`);
    }
    for (const guess of ["value", "versions", "versions/1", "versions/1/value", "rollback", "scope", ""]) {
      const answer = await get(`/v1/secrets/model-key/${guess}`);
      expect([400, 404, 405]).toContain(answer.status);
      expectNone(answer.text, guess);
    }
  });

  it("is in no route's path or answer by name: none of them reads one back", () => {
    const about = ROUTES.filter(({ path }) => path.startsWith("/v1/secret"));
    expect(about.length).toBeGreaterThan(9);
    for (const { access } of about) expect(["operator", "operator,person"]).toContain(String(access));
    expect(about.filter(({ method }) => method === "GET").map(({ path }) => path)).toEqual([
      "/v1/secrets",
      "/v1/secret-keys",
    ]);
    for (const { answer } of about) {
      if (typeof answer === "string") throw new Error("an answer about secrets has a schema");
    }
  });

  it("is in no file of the data directory, the ledger and the search index among them", () => {
    const files = filesIn(server.home.dataDir).filter((path) => !path.endsWith(".sock"));
    expect(files.some((path) => path.endsWith("state.db"))).toBe(true);
    expect(files.length).toBeGreaterThan(8);
    for (const path of files) expectNone(readFileSync(path).toString("latin1"), path);
  });

  it("leaves one event for each change, and none of them holds it", async () => {
    const { events } = parseAnswer(eventPage, await get("/v1/events?kind=secret&limit=50"));
    expect(events.map(({ resource }) => resource)).toEqual([
      null,
      "secret:planted",
      ...Array(5).fill("secret:model-key"),
    ]);
    for (const { event_id: id } of events) expectNone((await get(`/v1/events/${id}`)).text, id);
  });

  it("is still there after a restart, and gone after its removal", async () => {
    await server.close();
    server = await startTestServer({}, server.home);
    expect(parseAnswer(secretKeyAnswer, await get("/v1/secret-keys")).keys).toMatchObject([
      { versions: 3, is_here: true },
    ]);
    expect((await post("/v1/secrets/model-key/removal", {})).status).toBe(200);
    const again = await post("/v1/secrets/model-key/removal", {});
    expect({ status: again.status, code: codeOf(again) }).toEqual({ status: 404, code: "not_found" });
    expect(parseAnswer(secretList, await get("/v1/secrets")).secrets.map(({ name }) => name)).toEqual([
      "planted",
    ]);
  });
});
