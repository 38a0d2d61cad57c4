/**
 * Clients of what servers that share a store do beside decisions: people's sessions, tokens of OAuth, a receiver's stream, and
 * steps of the authority. Each asks one of them for a thing and the other for what follows from it, while they are killed.
 */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { authorityAnswer } from "@trustwarden/core/api/authority.ts";
import { createOwner, enrolAgent, enrolVerifier, parseAnswer, type TestInstance } from "./actors.ts";
import { isBroken } from "./crash-clients.ts";
import { jsonOf, type RawAnswer, send, sendAdmin } from "./http.ts";
import { createTestSigner } from "./keys.ts";
import { postForm, proofFor, RESOURCE } from "./oauth.ts";
import { createPerson, refresh, type TestPerson } from "./people.ts";
import { OAUTH_URL, sendToConsole } from "./replica-services.ts";
import type { Replica } from "./replicas.ts";
import type { TestServer } from "./server.ts";

/** Of each client between two turns. */
const PAUSE_MS = 150;
/** A step of the authority has every server read keys, and every identity of before be renewed. */
const STEP_PAUSE_MS = 4000;
/** What is held against both servers at the end. */
const LATEST = 20;
const TOLD_MS = 60_000;

/** What the clients were answered. */
export interface PartsReport {
  readonly sessions: number;
  readonly tokens: number;
  readonly told: number;
  readonly steps: number;
}

export interface PartsPlace {
  readonly replicas: readonly [Replica, Replica];
  readonly consolePorts: readonly [number, number];
  /** By which browsers call both. */
  readonly origin: string;
}

/** One of the two, and what it answered as. */
interface Side {
  readonly server: TestServer;
  readonly consolePort: number;
}

/** An answer that says nothing of what was asked: the server is cut off, or was killed over it. */
class NoAnswer extends Error {}

/** Owns what the clients hold. `surprises` are answers that no correct server gives. */
export class ReplicaParts {
  readonly surprises: string[] = [];
  readonly #place: PartsPlace;
  readonly #person: TestPerson;
  readonly #agent: TestInstance;
  readonly #receiver: TestInstance;
  readonly #streamId: string;
  readonly #ended: string[] = [];
  readonly #voided: string[] = [];
  /** Security events as the receiver has them, by `jti`. */
  readonly #told = new Map<string, string>();
  #steps = 0;

  private constructor(made: {
    readonly place: PartsPlace;
    readonly person: TestPerson;
    readonly agent: TestInstance;
    readonly receiver: TestInstance;
    readonly streamId: string;
  }) {
    this.#place = made.place;
    this.#person = made.person;
    this.#agent = made.agent;
    this.#receiver = made.receiver;
    this.#streamId = made.streamId;
  }

  static async begin(place: PartsPlace): Promise<ReplicaParts> {
    const server = await place.replicas[0].up();
    const person = await createPerson({ ...server, consoleUrl: place.origin });
    const agent = await enrolAgent(server, await createOwner(server, "parts"), { name: "parts" });
    const receiver = await enrolVerifier(server, "receiver");
    const made = await send(server.url, { method: "POST", target: "/ssf/stream", body: "{}" }, receiver.tls);
    assert.equal(made.status, 201, made.text);
    return new ReplicaParts({ place, person, agent, receiver, streamId: String(jsonOf(made).stream_id) });
  }

  /** Asks until it is over. */
  async work(isOver: () => boolean): Promise<void> {
    await Promise.all([
      this.#repeat(isOver, PAUSE_MS, (one, other) => this.#session(one, other)),
      this.#repeat(isOver, PAUSE_MS, (one, other) => this.#token(one, other)),
      this.#repeat(isOver, PAUSE_MS, (one) => this.#poll(one)),
      this.#repeat(isOver, STEP_PAUSE_MS, (one) => this.#step(one)),
    ]);
  }

  /**
   * What was answered holds at both; and the receiver was told of every one who was stopped.
   *
   * @param stopped - SPIFFE IDs.
   */
  async audit(stopped: readonly string[]): Promise<PartsReport> {
    assert.deepEqual(this.surprises, [], "nothing is answered that no correct server says");
    const sides = await Promise.all([this.#side(0), this.#side(1)]);
    for (const side of sides) {
      for (const cookie of this.#ended.slice(-LATEST))
        assert.equal(await this.#sessionAt(side, cookie), 401, "a session that ended is over at both");
      for (const token of this.#voided.slice(-LATEST))
        assert.equal(await this.#isActive(side, token), false, "a voided token is void at both");
    }
    await this.#requireToldOf(stopped);
    const [left, right] = await Promise.all(sides.map(({ server }) => authorityOf(server)));
    assert.deepEqual(left, right, "both have the same keys of the authority");
    const { size: told } = this.#told;
    return { sessions: this.#ended.length, tokens: this.#voided.length, told, steps: this.#steps };
  }

  async #repeat(
    isOver: () => boolean,
    pauseMs: number,
    lane: (one: Side, other: Side) => Promise<unknown>,
  ): Promise<void> {
    for (let turn = 0; !isOver(); turn += 1) {
      await sleep(pauseMs);
      try {
        await lane(await this.#side(turn % 2), await this.#side((turn + 1) % 2));
      } catch (error) {
        // What was under way at a server that was killed may have been done or not; whatever is known is held against both.
        if (!isBroken(error) && !(error instanceof NoAnswer)) this.surprises.push(String(error));
      }
    }
  }

  async #side(at: number): Promise<Side> {
    const { replicas, consolePorts } = this.#place;
    const [replica, consolePort] = [replicas[at], consolePorts[at]];
    if (replica === undefined || consolePort === undefined) throw new Error("two servers");
    return { server: await replica.up(), consolePort };
  }

  /** A person comes in at one, is in at both, leaves at one, and is gone at the other. */
  async #session(one: Side, other: Side): Promise<void> {
    const { origin } = this.#place;
    const entered = await refresh({ ...one.server, consoleUrl: origin }, this.#person).catch(asNoAnswer);
    const { cookie } = entered;
    for (const side of [other, one])
      assert.equal(await this.#sessionAt(side, cookie), 200, "who came in is in at both");
    const end = { method: "POST", target: "/v1/session/end", body: "{}" };
    const place = { port: one.consolePort, origin };
    requireSaid(await sendToConsole(place, end, cookie), [200]);
    this.#ended.push(cookie);
    assert.equal(await this.#sessionAt(other, cookie), 401, "who left is gone at both");
  }

  async #sessionAt({ consolePort }: Side, cookie: string): Promise<number> {
    const place = { port: consolePort, origin: this.#place.origin };
    return requireSaid(await sendToConsole(place, { target: "/v1/session" }, cookie), [200, 401]).status;
  }

  /** A proof of possession is shown to both at once; the token is voided at one, and is void at the other. */
  async #token(one: Side, other: Side): Promise<void> {
    const { tls, answer } = this.#agent;
    const form = { grant_type: "client_credentials", client_id: answer.spiffe_id, resource: RESOURCE };
    const headers = await proofFor(one.server, createTestSigner(), { url: `${OAUTH_URL}/oauth/token` });
    const asked = await Promise.allSettled(
      [other, one, other].map(({ server }) => postForm(server, "/oauth/token", { form, tls, headers })),
    );
    const answers = asked.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
    const given = answers.filter(({ status }) => status === 200);
    assert.ok(given.length <= 1, "a proof of possession is good for one token");
    const [first] = given;
    if (first === undefined) return;
    const token = String(jsonOf(first).access_token);
    const of = { form: { client_id: answer.spiffe_id, token }, tls };
    requireSaid(await postForm(one.server, "/oauth/revoke", of), [200]);
    this.#voided.push(token);
    assert.equal(await this.#isActive(other, token), false, "a voided token is void at both");
  }

  async #isActive({ server }: Side, token: string): Promise<unknown> {
    const { tls, answer } = this.#agent;
    const of = { form: { client_id: answer.spiffe_id, token }, tls };
    return jsonOf(requireSaid(await postForm(server, "/oauth/introspect", of), [200])).active;
  }

  /** Takes what there is, and lets go what was taken before. */
  async #poll({ server }: Side): Promise<number> {
    const body = JSON.stringify({
      ack: [...this.#told.keys()].slice(-LATEST * LATEST),
      returnImmediately: true,
    });
    const target = `/ssf/streams/${this.#streamId}/poll`;
    const answer = await send(server.url, { method: "POST", target, body }, this.#receiver.tls);
    const sets = Object.entries(Object(jsonOf(requireSaid(answer, [200])).sets));
    for (const [jti, token] of sets) {
      const payload = String(token).split(".")[1] ?? "";
      this.#told.set(jti, Buffer.from(payload, "base64url").toString());
    }
    return sets.length;
  }

  async #requireToldOf(stopped: readonly string[]): Promise<void> {
    const untilMs = performance.now() + TOLD_MS;
    for (let turn = 0; ; turn += 1) {
      const told = [...this.#told.values()].join();
      const missing = stopped.filter((id) => !told.includes(id));
      if (missing.length === 0) return;
      assert.ok(performance.now() < untilMs, `the receiver is told of all: not of ${missing.length}`);
      if ((await this.#poll(await this.#side(turn % 2))) === 0) await sleep(PAUSE_MS);
    }
  }

  /** Alternately the keys of X.509-SVIDs and of tokens. */
  async #step({ server }: Side): Promise<void> {
    const kind = this.#steps % 2 === 0 ? "intermediate" : "jwt";
    const body = JSON.stringify({ step: "rotate", kind, force: true, reason: "the campaign" });
    const step = { method: "POST", target: "/v1/authority/steps", body };
    // The other may have been faster, or had taken the step that was not answered.
    const answer = requireSaid(await sendAdmin(server.adminSocket, step), [200, 409]);
    if (answer.status === 200) this.#steps += 1;
  }
}

async function authorityOf({ adminSocket }: TestServer) {
  const { sequence, keys } = parseAnswer(
    authorityAnswer,
    await sendAdmin(adminSocket, { target: "/v1/authority" }),
  );
  return { sequence, keys };
}

/** @throws NoAnswer for a server that is cut off; Error for whatever is not to be said. */
function requireSaid(answer: RawAnswer, statuses: readonly number[]): RawAnswer {
  if (answer.status === 503) throw new NoAnswer(answer.text);
  if (!statuses.includes(answer.status)) throw new Error(`${answer.status} ${answer.text}`);
  return answer;
}

/** Logging in takes two requests, of which the second may meet another server, or none. */
function asNoAnswer(error: unknown): never {
  if (error instanceof Error && /_unavailable/.test(error.message)) throw new NoAnswer(error.message);
  throw error;
}
