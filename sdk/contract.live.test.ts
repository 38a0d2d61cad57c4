/** The contract that both SDKs keep against a real server: `test/sdk-contract.json`, which `python/tests/test_contract.py` reads too. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { z } from "zod";
import { AgentIdentity } from "./agent-identity.ts";
import { type LiveServer, type LiveService, startLiveServer, startLiveService } from "./live.test.support.ts";

const step = z.strictObject({
  do: z.enum([
    "create",
    "spawn",
    "delegate",
    "act",
    "fetch",
    "jwt",
    "wit",
    "renew",
    "receipts",
    "revoke",
    "stop",
    "hear",
    "close",
  ]),
  who: z.string(),
  ends: z.union([z.string(), z.number()]),
  new: z.string().default(""),
  name: z.string().optional(),
  scope: z.array(z.string()).default([]),
  claimed: z.array(z.string()).optional(),
  limits: z.object({ depth: z.number(), fan_out: z.number(), budget: z.null() }).optional(),
  ticket: z.string().default("root"),
  ttl: z.string().optional(),
  action: z.string().optional(),
  resource: z.string().default(""),
  fails: z.boolean().default(false),
  params: z.record(z.string(), z.json()).default({}),
  twice: z.boolean().default(false),
  method: z.string().default("GET"),
  path: z.string().default(""),
  verifier: z.string().optional(),
  audience: z.string().default(""),
  by: z.string().default(""),
});
const row = z.strictObject({
  what: z.string(),
  steps: z.array(step).min(1),
  /** Everything that the ledger has of the first identity and those below it; an empty list would hold of anything. */
  ledger: z.array(z.array(z.string())).min(1),
});
const { rows } = z
  .object({ rows: z.array(row).min(10) })
  .parse(JSON.parse(readFileSync(join(import.meta.dirname, "../test/sdk-contract.json"), "utf8")));
type Step = z.infer<typeof step>;

/** As in `examples/finance/server.ts`, which the Python SDK visits. */
const ROUTES = [
  ["GET", "/transactions", "read"],
  ["GET", "/transactions/{id}", "read"],
  ["DELETE", "/transactions/{id}", "delete"],
].map(([method = "", path = "", verb]) => ({
  method,
  path,
  action: `${verb}:transactions`,
  resource: `sqlite://finance-db${path}`,
}));

const PATIENCE = 20;
/** What a loaded machine decides too late is a refusal, as it must be; nothing was done, and it is asked for again. */
const TOO_LATE: ReadonlySet<string | number> = new Set(["lease_expired", 503]);

let live: LiveServer;
let service: LiveService;
let bystander: AgentIdentity;

beforeAll(async () => {
  live = await startLiveServer();
  service = await startLiveService(live, {
    name: "finance",
    routes: ROUTES,
    listener: (_request, response) => void response.end("{}"),
  });
  bystander = await AgentIdentity.create({
    name: "bystander",
    ticket: live.ticket({ name: "bystander", scope: ["read:transactions"] }),
  });
});
afterAll(async () => {
  await bystander?.close();
  await service?.close();
  await live?.close();
});

class PlannedError extends Error {}

/** Action, or kind of event, and outcome of what the ledger has of an agent and those below it, oldest first. */
async function recordsOf(agentId: string): Promise<readonly (readonly string[])[]> {
  const { events } = Object(await live.admin("GET", `/v1/events?limit=100&subtree=${agentId}`));
  const seen: readonly { kind: string; action: string | null; outcome: string }[] = events;
  const finished = seen.filter(({ outcome }) => outcome !== "pending");
  return finished.map(({ kind, action, outcome }) => [action ?? kind, outcome]).reverse();
}

/** Whatever was reported before is in the ledger, and in its index, once a later visit of somebody else is. */
async function letTheLedgerCatchUp(): Promise<void> {
  const before = (await recordsOf(bystander.agentId)).length;
  const visit = async () => {
    const answer = await bystander.fetch(`${service.url}/transactions`);
    await answer.arrayBuffer();
    return answer.status;
  };
  await expect.poll(visit, { timeout: 30_000 }).toBe(200);
  await expect
    .poll(async () => (await recordsOf(bystander.agentId)).length, { timeout: 30_000 })
    .toBeGreaterThan(before);
}

/** The identities of one row, by their names in it, and how each step ends. */
class Stage {
  readonly #name: string;
  readonly #tickets = new Map<string, string>();
  readonly #made = new Map<string, AgentIdentity>();

  constructor(name: string) {
    this.#name = name;
  }

  /** `ok`, the status of an answer, `failed` for an act that failed by itself, or the code of a refusal. */
  async play(asked: Step): Promise<string | number> {
    for (let tries = 1; ; tries++) {
      const ended = await this.#tryOnce(asked);
      if (!TOO_LATE.has(ended) || tries === PATIENCE) return ended;
    }
  }

  /** What the ledger has of the first identity and those below it. */
  records(): Promise<readonly (readonly string[])[]> {
    return recordsOf(this.#of("root").agentId);
  }

  async close(): Promise<void> {
    for (const identity of this.#made.values()) await identity.close();
  }

  async #tryOnce(asked: Step): Promise<string | number> {
    try {
      return (await this.#move(asked)) ?? "ok";
    } catch (error) {
      return error instanceof PlannedError ? "failed" : (Object(error).code ?? String(error));
    }
  }

  async #move(asked: Step): Promise<string | number | undefined> {
    const { who, action = "", resource, audience, by } = asked;
    switch (asked.do) {
      case "create":
        this.#made.set(who, await this.#create(asked));
        return undefined;
      case "spawn":
        this.#made.set(asked.new, await this.#spawn(asked));
        return undefined;
      case "delegate":
        this.#made.set(asked.new, await this.#delegate(asked));
        return undefined;
      case "act":
        await this.#of(who).act(action, resource, asked.params, async () => {
          if (asked.fails) throw new PlannedError();
        });
        return undefined;
      case "fetch":
        return this.#fetch(asked);
      case "jwt":
        expect((await this.#of(who).jwt(audience)).split(".")).toHaveLength(3);
        return undefined;
      case "wit":
        await this.#of(who).wit();
        return undefined;
      case "renew":
        await this.#of(who).renew();
        return undefined;
      case "receipts":
        return this.#of(who)
          .receipts.map(({ allow }) => (allow ? "allow" : "deny"))
          .join(" ");
      case "hear":
        await this.#hear(asked);
        return undefined;
      case "revoke":
        await this.#of(who).revoke("contract");
        return undefined;
      case "stop":
        await this.#of(by).revoke({ child: this.#of(who), reason: "contract" });
        return undefined;
      case "close":
        await this.#of(who).close();
        return undefined;
    }
  }

  #create({ name, ticket, scope, limits, claimed }: Step): Promise<AgentIdentity> {
    const own = `${this.#name}-${ticket}`;
    const text = this.#tickets.get(own) ?? live.ticket({ name: own, scope, ...(limits && { limits }) });
    this.#tickets.set(own, text);
    return AgentIdentity.create({ name: name ?? own, ticket: text, ...(claimed && { scope: claimed }) });
  }

  #spawn({ who, new: made, name = `${this.#name}-${made}`, scope, ttl }: Step): Promise<AgentIdentity> {
    return this.#of(who).spawn({ name, scope, ...(ttl && { ttl }) });
  }

  /** As between two processes: nothing but texts goes from one to the other. */
  async #delegate({ who, new: made, scope, twice }: Step): Promise<AgentIdentity> {
    const asking = AgentIdentity.request({ name: `${this.#name}-${made}`, scope });
    const grant = await this.#of(who).grant(asking.text);
    const child = await asking.complete(grant);
    if (!twice) return child;
    await child.close();
    return asking.complete(grant);
  }

  async #hear({ who, by }: Step): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const forget = this.#of(who).whenStopped(resolve);
    await this.#of(by).revoke({ child: this.#of(who), reason: "contract" });
    await promise;
    forget();
  }

  async #fetch({ who, method, path, action, verifier }: Step): Promise<number> {
    const said = { ...(action && { action }), ...(verifier && { verifier }) };
    const answer = await this.#of(who).fetch(`${service.url}${path}`, { method, ...said });
    await answer.arrayBuffer();
    return answer.status;
  }

  #of(name: string): AgentIdentity {
    const found = this.#made.get(name);
    if (found === undefined) throw new Error(`nobody is called ${name}`);
    return found;
  }
}

it.each(rows.map(({ what, ...rest }, index) => ({ what, index, ...rest })))(
  "$what",
  async ({ index, steps, ledger }) => {
    const stage = new Stage(`contract-${index}`);
    const ends: (string | number)[] = [];
    for (const one of steps) ends.push(await stage.play(one));
    expect(ends).toEqual(steps.map((one) => one.ends));
    await stage.close();
    await letTheLedgerCatchUp();
    expect(await stage.records()).toEqual(ledger);
  },
);
