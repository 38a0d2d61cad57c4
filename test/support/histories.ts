/**
 * What concurrent clients ask of servers that may die, and what one server that does one thing at a time would answer:
 * the quota of an owner, a join token, an agent that is stopped, the version of the policy.
 *
 * The servers are a list, since one object is what all replicas together have to be.
 */
import assert from "node:assert/strict";
import { identityAnswer } from "@trustwarden/core/api/identity.ts";
import { policyAnswer, policyLoadAnswer } from "@trustwarden/core/api/policy.ts";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import {
  createOwner,
  enrolAgent,
  parseAnswer,
  postEnrolment,
  serverIdOf,
  signedRequest,
  type TestOwner,
  ticketOf,
} from "./actors.ts";
import { codeOf, type RawAnswer, send, sendAdmin } from "./http.ts";
import { createTestSigner } from "./keys.ts";
import { findLinearization, type Model, type Operation, Recorder } from "./linearizability.ts";
import { joinToken, postNode } from "./nodes.ts";
import { exampleFiles, loadBundle, type PolicyKey, packSigned } from "./policies.ts";
import type { TestServer } from "./server.ts";

/** A server that may be another process at the next call. */
export interface Shaky {
  /** Resolves with the process that listens, when there is one. */
  readonly up: () => Promise<TestServer>;
}

/** What clients have of a run. */
export interface Ground {
  readonly servers: readonly Shaky[];
  readonly owner: TestOwner;
  readonly isOver: () => boolean;
  /** Told of each answer, and of each that did not come. */
  readonly onAsked: () => void;
}

/** A history with what it has to be a history of. */
export interface Recorded<State, Input, Output> {
  readonly history: readonly Operation<Input, Output>[];
  readonly model: Model<State, Input, Output>;
}

/** @throws AssertionError for a history that is none of the model's, and when none of them has an answer. */
export function requireOrders<State, Input, Output>(
  recorded: readonly Recorded<State, Input, Output>[],
): void {
  const decided = recorded.filter(({ history }) => history.some(({ output }) => output !== undefined));
  assert.ok(decided.length > 0, "something was answered");
  for (const { history, model } of decided)
    assert.ok(findLinearization(history, model) !== undefined, JSON.stringify(history));
}

type Registering = "register" | "stop";
type Registered = "made" | "full" | "stopped";

/** Names under one owner, some of them stopped again: never more live ones than the quota. */
export async function recordQuota(
  ground: Ground,
  { clients, quota }: { readonly clients: number; readonly quota: number },
): Promise<Recorded<number, Registering, Registered>> {
  const recorder = new Recorder<Registering, Registered>();
  let names = 0;
  const client = async (first: number) => {
    for (let turn = first; !ground.isOver(); turn += 1) {
      names += 1;
      const name = `one-of-many-${names}`;
      let agentId: string | null = null;
      const said = await recorder.record("register", () =>
        ask(ground, turn, async (server) => {
          const ticket = ticketOf(ground.owner, { name });
          const answer = await postEnrolment(server, ticket, createTestSigner());
          if (codeOf(answer) === "quota_exceeded") return "full";
          agentId = parseAnswer(identityAnswer, answer).agent_id;
          return "made";
        }),
      );
      if (said !== "made" || agentId === null) continue;
      const target = { kind: "agent", id: agentId };
      await recorder.record("stop", () =>
        ask(ground, turn + 1, async (server) => requireDone(await stop(server, target), "stopped")),
      );
    }
  };
  await Promise.all(Array.from({ length: clients }, (_, index) => client(index)));
  const model: Model<number, Registering, Registered> = {
    initial: 0,
    step: (live, input, output) => {
      if (input === "stop") return live - 1;
      if (output === "full") return live === quota ? live : undefined;
      if (output === undefined) return Math.min(live + 1, quota);
      return live < quota ? live + 1 : undefined;
    },
    format: String,
  };
  return { history: recorder.history, model };
}

type Admitted = "admitted" | "refused";

const ONCE: Model<boolean, "join", Admitted> = {
  initial: false,
  step: (isUsed, _, output) => {
    if (output === undefined) return true;
    return (output === "refused") === isUsed ? true : undefined;
  },
  format: String,
};

/** One token after the other, each shown by all clients at once: one is admitted, and nobody is refused before. */
export async function recordJoinTokens(
  ground: Ground,
  { clients }: { readonly clients: number },
): Promise<readonly Recorded<boolean, "join", Admitted>[]> {
  const rounds: Recorded<boolean, "join", Admitted>[] = [];
  for (let round = 0; !ground.isOver(); round += 1) {
    const token = await ask(ground, round, (server) => joinToken(server, `host-${round}`)).catch(
      () => undefined,
    );
    if (token === undefined) continue;
    const recorder = new Recorder<"join", Admitted>();
    const client = (turn: number) =>
      recorder.record("join", () =>
        ask(ground, turn, async (server) => {
          const answer = await postNode(server, { type: "join_token", token });
          if (answer.status === 401) return "refused";
          return requireDone(answer, "admitted");
        }),
      );
    await Promise.all(Array.from({ length: clients }, (_, index) => client(round + index)));
    rounds.push({ history: recorder.history, model: ONCE });
  }
  return rounds;
}

type Used = "allowed" | "refused" | "stopped";

/** An agent that is used until it is stopped, and never after. */
export const ALIVE: Model<boolean, "use" | "stop", Used> = {
  initial: true,
  step: (isAlive, input, output) => {
    if (input === "stop") return false;
    if (output === undefined) return isAlive;
    return (output === "allowed") === isAlive ? isAlive : undefined;
  },
  format: String,
};

type Stopping = "alive" | "stopping" | "stopped";
type Step = "use" | "stop begins" | "stop is over";

/** Between the two either answer is right, at whichever server. */
const STOPPED_BY_MANY: Model<Stopping, Step, Used> = {
  initial: "alive",
  step: (state, input, output) => {
    if (input === "stop begins") return state === "alive" ? "stopping" : undefined;
    if (input === "stop is over") return state === "stopping" ? "stopped" : undefined;
    if (output === "allowed" && state === "stopped") return undefined;
    return output === "refused" && state === "alive" ? undefined : state;
  },
  format: String,
};

/**
 * The same history, held to what several servers promise: until a stop is answered one of them may know it and another not yet
 * (decision 0053); nobody refuses before it was asked for, and nobody allows once it is answered.
 */
export function stoppedByMany({
  history,
}: Pick<Recorded<boolean, "use" | "stop", Used>, "history">): Recorded<Stopping, Step, Used> {
  const steps = history.flatMap(({ input, ...rest }): readonly Operation<Step, Used>[] =>
    input === "use"
      ? [{ input, ...rest }]
      : [
          { input: "stop begins", ...rest },
          { input: "stop is over", ...rest },
        ],
  );
  return { history: steps, model: STOPPED_BY_MANY };
}

/** One agent after the other, used by all clients while it is stopped. */
export async function recordStops(
  ground: Ground,
  { clients, uses }: { readonly clients: number; readonly uses: number },
): Promise<readonly Recorded<boolean, "use" | "stop", Used>[]> {
  const rounds: Recorded<boolean, "use" | "stop", Used>[] = [];
  for (let round = 0; !ground.isOver(); round += 1) {
    // An owner for each, so that no quota is in the way.
    const made = await ask(ground, round, async (server) => {
      const owner = await createOwner(server, `owner-of-${round}`);
      const agent = await enrolAgent(server, owner, { path: `stops/r${round}` });
      return { agent, aud: await serverIdOf(server) };
    }).catch(() => undefined);
    if (made === undefined) continue;
    const { agent, aud } = made;
    const recorder = new Recorder<"use" | "stop", Used>();
    const use = (turn: number) =>
      recorder.record("use", () =>
        ask(ground, turn, async (server) => {
          const request = signedRequest(agent, { target: "/v1/events", action: "read:ledger", aud });
          const answer = await send(server.url, request, agent.tls);
          if (answer.status === 401) return "refused";
          return requireDone(answer, "allowed");
        }),
      );
    const user = async (first: number) => {
      for (let turn = first; turn < first + uses; turn += 1) await use(turn);
    };
    await use(round);
    const target = { kind: "instance", id: agent.answer.instance_id };
    const stopper = () =>
      recorder.record("stop", () =>
        ask(ground, round, async (server) => requireDone(await stop(server, target), "stopped")),
      );
    await Promise.all([...Array.from({ length: clients }, (_, index) => user(round + index)), stopper()]);
    rounds.push({ history: recorder.history, model: ALIVE });
  }
  return rounds;
}

type Versioned = number | "rollback";

const RISING: Model<number, number | "read", Versioned> = {
  initial: 0,
  step: (version, input, output) => {
    if (input === "read") return output === undefined || output === version ? version : undefined;
    if (output === undefined) return Math.max(version, input);
    return (output === "rollback") === input <= version ? Math.max(version, input) : undefined;
  },
  format: String,
};

/** Versions that are loaded in any order, and read meanwhile: what is in force only rises. */
export async function recordPolicy(
  ground: Ground,
  { clients, key }: { readonly clients: number; readonly key: PolicyKey },
): Promise<Recorded<number, number | "read", Versioned>> {
  const recorder = new Recorder<number | "read", Versioned>();
  let loads = 0;
  let isRefused = false;
  const loader = async () => {
    // A slow machine may load fewer than three before it is over: a step back that is refused is part of it.
    while (!ground.isOver() || !isRefused) {
      loads += 1;
      // Two steps forward and one back.
      const version = loads % 3 === 0 ? loads - 2 : loads;
      const bundle = packSigned(exampleFiles(version), key);
      await recorder.record(version, () =>
        ask(ground, loads, async (server) => {
          const answer = await loadBundle(server.adminSocket, bundle);
          isRefused ||= codeOf(answer) === "policy_rollback";
          if (codeOf(answer) === "policy_rollback") return "rollback";
          return parseAnswer(policyLoadAnswer, answer).version;
        }),
      );
    }
  };
  const reader = async () => {
    while (!ground.isOver()) {
      await recorder.record("read", () =>
        ask(ground, loads, async (server) => {
          const answer = await sendAdmin(server.adminSocket, { target: "/v1/policy" });
          return parseAnswer(policyAnswer, answer).custom?.version ?? 0;
        }),
      );
    }
  };
  await Promise.all(Array.from({ length: clients }, (_, index) => (index % 2 === 0 ? loader() : reader())));
  return { history: recorder.history, model: RISING };
}

/**
 * Asks one of the servers. An answer of a process that is gone by then says nothing for sure: a refusal may be about a
 * nonce that died with the process before.
 */
async function ask<Output>(
  { servers, onAsked }: Ground,
  turn: number,
  question: (server: TestServer) => Promise<Output>,
): Promise<Output | undefined> {
  const shaky = servers[turn % servers.length];
  if (shaky === undefined) throw new Error("there is at least one server");
  const server = await shaky.up();
  try {
    const answer = await question(server);
    return (await shaky.up()) === server ? answer : undefined;
  } finally {
    onAsked();
  }
}

function stop(server: TestServer, target: object): Promise<RawAnswer> {
  const body = encodeUtf8(JSON.stringify({ target }));
  return sendAdmin(server.adminSocket, { method: "POST", target: "/v1/revocations", body });
}

/** @throws Error for any other answer: it does not say what was done. */
function requireDone<Output>(answer: RawAnswer, output: Output): Output {
  if (answer.status !== 200) throw new Error(`${answer.status} ${answer.text}`);
  return output;
}
