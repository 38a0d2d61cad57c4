/** An external engine that is not there, stalls, or answers oddly gives no answer. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { afterEach, describe, expect, it } from "vitest";
import { createExternalOpa } from "./external.ts";
import { readingInput } from "./reading-input.test.support.ts";

const folder = mkdtempSync(join(tmpdir(), "tw-opa-"));
const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close().closeAllConnections();
});

async function ask(answer: RequestListener | null, deadlineMs = 2000): Promise<unknown> {
  const socket = join(folder, `${Math.random().toString(36).slice(2)}.sock`);
  if (answer !== null) {
    const server = createServer(answer);
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(socket, resolve));
  }
  const engine = createExternalOpa({ socket, deadlineMs });
  try {
    return await engine.evaluate(readingInput);
  } catch (error) {
    return error instanceof TrustWardenError ? error.code : error;
  } finally {
    engine.close();
    if (answer === null) rmSync(socket, { force: true });
  }
}

describe("an external engine", () => {
  it("is asked by the path of the rule, and its result is the answer", async () => {
    const seen: string[] = [];
    const answer = await ask((request, response) => {
      seen.push(`${request.method} ${request.url}`);
      response.end('{"result": {"allow": true}, "decision_id": "x"}');
    });
    expect(answer).toEqual({ allow: true });
    expect(seen).toEqual(["POST /v1/data/trustwarden/decision/result"]);
    expect(await ask((_request, response) => response.end("{}"))).toBeUndefined();
  });

  it("gives no answer when it is not there, stalls, fails, or says too much or no JSON", async () => {
    expect(await ask(null)).toBe("policy_unavailable");
    expect(await ask(() => undefined, 50)).toBe("policy_unavailable");
    expect(await ask((_request, response) => response.writeHead(500).end('{"result":true}'))).toBe(
      "policy_unavailable",
    );
    expect(await ask((_request, response) => response.end(`{"result":"${"x".repeat(70_000)}"}`))).toBe(
      "policy_unavailable",
    );
    expect(await ask((_request, response) => response.end("<html>"))).toBe("policy_unavailable");
  });
});
