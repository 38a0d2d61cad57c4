/** A draft over the decisions of a real server: what would differ, what cannot be said, and how it ends. */
import { type ReplayChange, type ReplayResult, replayLine } from "@trustwarden/core/api/policy.ts";
import { encodeBase64, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  askDecision,
  createOwner,
  enrolAgent,
  enrolVerifier,
  parseDecision,
  type TestInstance,
  visitIntent,
} from "./support/actors.ts";
import { codeOf, type RawAnswer, sendAdmin } from "./support/http.ts";
import { CONSOLE, createPerson, sendConsole } from "./support/people.ts";
import { createPolicyKey, exampleFiles, loadBundle, packFiles, packSigned } from "./support/policies.ts";
import { createHome, startTestServer, type TestServer } from "./support/server.ts";

const home = createHome();
const key = createPolicyKey("release");
const settings = {
  ...CONSOLE,
  policy: { deadlineMs: 5000, signers: [{ id: key.id, publicKeyFile: key.publicKeyFile }] },
};
let server: TestServer;
let agent: TestInstance;
let verifier: TestInstance;

beforeAll(async () => {
  server = await startTestServer(settings, home);
  const owner = await createOwner(server);
  agent = await enrolAgent(server, owner, { scope: ["pay:invoices", "read:transactions"] });
  verifier = await enrolVerifier(server);
});
afterAll(async () => {
  await server.close();
  home.remove();
});

async function decideAction(action: string): Promise<boolean> {
  const intent = visitIntent(agent, verifier, { action });
  return parseDecision(await askDecision(server, { caller: verifier, agent, intent })).allow;
}

const DRAFT = packFiles(exampleFiles(7));

function askReplay(body: object, cookie?: string): Promise<RawAnswer> {
  const request = { method: "POST", target: "/v1/policy/replays", body: JSON.stringify(body) } as const;
  return cookie === undefined ? sendAdmin(server.adminSocket, request) : sendConsole(server, request, cookie);
}

function read(answer: RawAnswer): {
  readonly changes: readonly ReplayChange[];
  readonly result: ReplayResult;
} {
  expect(answer.status).toBe(200);
  const lines = answer.text
    .trim()
    .split("\n")
    .map((line) => replayLine.parse(JSON.parse(line)));
  expect(lines[0]).toMatchObject({ draft: { name: "payments", version: 7 } });
  const last = lines.at(-1);
  if (last === undefined || !("result" in last)) throw new Error(answer.text);
  return { changes: lines.flatMap((line) => ("change" in line ? [line.change] : [])), result: last.result };
}

const replay = async (body: object = {}) => read(await askReplay({ bundle: encodeBase64(DRAFT), ...body }));

describe("a draft over recorded decisions", () => {
  it("says which would differ, from what to what, and why", async () => {
    expect(await decideAction("pay:invoices")).toBe(true);
    expect(await decideAction("read:transactions")).toBe(true);
    expect(await decideAction("write:transactions")).toBe(false);
    const { changes, result } = await replay();
    expect(changes).toMatchObject([
      {
        agent_identity: agent.answer.spiffe_id,
        action: "pay:invoices",
        before: "allow",
        after: "deny",
        reasons_before: [],
        reasons_after: ["amount_too_large", "approval_required"],
      },
    ]);
    expect(result).toEqual({
      decisions: 3,
      same: 2,
      changed: [{ before: "allow", after: "deny", count: 1 }],
      not_replayed: 0,
      needs: [],
      not_listed: 0,
      has_more: false,
    });
  });

  it("is bounded by a number and by times, newest first", async () => {
    expect((await replay({ limit: 1 })).result).toMatchObject({ decisions: 1, same: 1, has_more: true });
    expect((await replay({ until: "2020-01-01T00:00:00Z" })).result).toMatchObject({ decisions: 0 });
    expect((await askReplay({ bundle: "AA==", since: "yesterday" })).status).toBe(400);
  });

  it("takes the place of the policy in force, and puts nothing in force", async () => {
    const other = exampleFiles(8, new Map([["data.json", encodeUtf8('{"custom":{}}')]]));
    expect((await loadBundle(server.adminSocket, packSigned(other, key))).status).toBe(200);
    expect(await decideAction("pay:invoices")).toBe(false);
    const { result } = await replay();
    expect(result).toMatchObject({ decisions: 4, same: 3, changed: [{ before: "allow", after: "deny" }] });
    expect(await decideAction("read:transactions")).toBe(true);
  });

  it("is refused when it is no policy, and runs alone", async () => {
    expect(codeOf(await askReplay({ bundle: encodeBase64(encodeUtf8("x")) }))).toBe(
      "policy_bundle_malformed",
    );
    const junk = packFiles(exampleFiles(1, new Map([["policy.wasm", encodeUtf8("junk")]])));
    expect(codeOf(await askReplay({ bundle: encodeBase64(junk) }))).toBe("policy_unavailable");
    const without = new Map(exampleFiles(1));
    without.delete("policy.wasm");
    expect(codeOf(await askReplay({ bundle: encodeBase64(packFiles(without)) }))).toBe(
      "policy_bundle_malformed",
    );
    const both = await Promise.all([
      askReplay({ bundle: encodeBase64(DRAFT) }),
      askReplay({ bundle: encodeBase64(DRAFT) }),
    ]);
    expect(both.map(({ status }) => status).sort()).toEqual([200, 429]);
    expect(both.map((answer) => (answer.status === 200 ? "" : codeOf(answer))).sort()).toEqual([
      "",
      "overloaded",
    ]);
    // The place is free again when the one that ran is over.
    expect((await replay()).result.decisions).toBeGreaterThan(3);
  });

  it("is for operators and admins, and not for auditors", async () => {
    const body = { bundle: encodeBase64(DRAFT) };
    const operator = await createPerson(server, { roles: ["operator"] });
    expect(read(await askReplay(body, operator.cookie)).result.decisions).toBeGreaterThan(3);
    const auditor = await createPerson(server, { roles: ["auditor"] });
    expect(codeOf(await askReplay(body, auditor.cookie))).toBe("principal_refused");
  });
});
