/** Answers that stream from a service, and what ends them: revocation, in either style, within a second. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AgentIdentity } from "./agent-identity.ts";
import {
  type LiveServer,
  type LiveService,
  startFetchService,
  startLiveServer,
  startLiveService,
} from "./live.test.support.ts";

const ROUTES = [{ method: "GET", path: "/ticks", action: "read:ticks", resource: "clock://ticks" }];

let live: LiveServer;
let service: LiveService;
let fetching: Pick<LiveService, "url" | "close">;
let bystander: AgentIdentity;
/** How often the service's own work was told to stop. */
let stopped = 0;

beforeAll(async () => {
  live = await startLiveServer();
  service = await startLiveService(live, {
    name: "clock",
    routes: ROUTES,
    listener: (_request, response, { signal }) => {
      const timer = setInterval(() => response.write("tick\n"), 20);
      response.once("close", () => clearInterval(timer));
      signal.addEventListener("abort", () => (stopped += 1));
    },
  });
  fetching = await startFetchService(live, ROUTES, () => {
    let timer: NodeJS.Timeout;
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        timer = setInterval(() => controller.enqueue(Buffer.from("tick\n")), 20);
      },
      cancel: () => clearInterval(timer),
    });
    return new Response(body);
  });
  bystander = await enrol("bystander");
});
afterAll(async () => {
  await bystander.close();
  await service.close();
  await fetching.close();
  await live.close();
});

const enrol = (name: string) =>
  AgentIdentity.create({ name, ticket: live.ticket({ name, scope: ["read:ticks", "read:else"] }) });

/** Reads until the stream breaks off. */
async function readToEnd(answer: Response): Promise<"whole" | "cut"> {
  try {
    for await (const _part of answer.body ?? []);
    return "whole";
  } catch {
    return "cut";
  }
}

describe.each([
  ["node style", () => service.url],
  ["fetch style", () => fetching.url],
])("a stream in %s", (style, urlOf) => {
  it("is cut within a second of the revocation, and goes on for everybody else", async () => {
    const doomed = await enrol(`doomed-${style.slice(0, 4)}`);
    const answer = await doomed.fetch(`${urlOf()}/ticks`);
    const controller = new AbortController();
    const other = await bystander.fetch(`${urlOf()}/ticks`, { signal: controller.signal });
    const ending = readToEnd(answer);
    const reader = other.body?.getReader();
    const startedMs = performance.now();
    const target = { kind: "instance", id: doomed.id };
    await live.admin("POST", "/v1/revocations", { target, reason: "test" });
    expect(await ending).toBe("cut");
    expect(performance.now() - startedMs).toBeLessThan(1500);
    expect((await reader?.read())?.done).toBe(false);
    controller.abort();
    await doomed.close();
  });

  it("is cut when what it reads is narrowed away", async () => {
    const narrowed = await enrol(`narrowed-${style.slice(0, 4)}`);
    const ending = readToEnd(await narrowed.fetch(`${urlOf()}/ticks`));
    await live.admin("POST", "/v1/narrowings", { instance_id: narrowed.instanceId, scope: ["read:else"] });
    expect(await ending).toBe("cut");
    await narrowed.close();
  });
});

it("tells the service's own work that it is over", () => {
  expect(stopped).toBe(2);
});
