/**
 * Clients that use a server until it dies, and write down what each of them was promised: certificates, decisions,
 * outcomes and revocations. What was asked and never answered is kept too, because it may or may not have happened.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { outcomeAnswer } from "@trustwarden/core/api/action.ts";
import { revocationAnswer } from "@trustwarden/core/api/revocation.ts";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import type { VerifiedIntent } from "@trustwarden/core/intent.ts";
import {
  askDecision,
  createOwner,
  enrolAgent,
  enrolVerifier,
  outcomeOf,
  parseAnswer,
  parseDecision,
  spawn,
  type TestInstance,
  type TestOwner,
  visitIntent,
} from "./actors.ts";
import { codeOf, send, sendAdmin } from "./http.ts";
import type { TestServer } from "./server.ts";

/** Agents of one campaign that are never revoked; they carry the load. */
const STANDING_AGENTS = 4;
/** Of each client between two operations: load enough for groups to form, without books that take long to audit. */
const PAUSE_MS = 10;
/** An intent lives for 60 s; one that is nearly over would be refused for its age. */
const REPLAYABLE_MS = 45_000;

type Receipt = ReturnType<typeof parseDecision>["receipt"];

/** An intent that was sent. */
export interface SentIntent {
  readonly agent: TestInstance;
  readonly intent: VerifiedIntent;
  readonly sentAtMs: number;
}

/** A decision that a verifier got. */
export interface HeldDecision extends SentIntent {
  readonly receipt: Receipt;
}

/** An outcome whose recording was acknowledged. */
export interface HeldOutcome {
  readonly envelope: string;
  readonly index: number;
}

/** A revocation that was answered. */
export interface HeldRevocation {
  readonly agent: TestInstance;
  readonly eventId: string;
  readonly epoch: number;
}

/** A standing agent with the chain of its intents. */
interface Speaker {
  readonly agent: TestInstance;
  seq: number;
  prev: string | null;
}

/** Owns the evidence of one campaign; it outlives every server process. */
export class CrashClients {
  readonly certificates: TestInstance[] = [];
  readonly decisions: HeldDecision[] = [];
  readonly outcomes: HeldOutcome[] = [];
  readonly revocations: HeldRevocation[] = [];
  /** Sent to a server that died before it answered. */
  readonly inDoubt: SentIntent[] = [];
  /** Answers that no correct server gives. */
  readonly surprises: string[] = [];
  /** What a server in trouble may say; whoever hears it asks again. */
  #expected: RegExp | undefined;
  #excused = 0;
  #isOver = false;
  readonly owner: TestOwner;
  readonly verifier: TestInstance;
  readonly #speakers: readonly Speaker[];
  /** What is being asked for, and since when, by the clock of this process. */
  readonly #open = new Map<symbol, { readonly what: string; readonly sinceMs: number }>();
  #names = 0;

  private constructor(options: {
    readonly owner: TestOwner;
    readonly verifier: TestInstance;
    readonly agents: readonly TestInstance[];
  }) {
    this.owner = options.owner;
    this.verifier = options.verifier;
    this.#speakers = options.agents.map((agent) => ({ agent, seq: 0, prev: null }));
    this.certificates.push(options.verifier, ...options.agents);
  }

  /** Enrols an owner, a service and the standing agents. */
  static async enrol(server: TestServer, ownerName?: string): Promise<CrashClients> {
    const owner = await createOwner(server, ownerName);
    const verifier = await enrolVerifier(server);
    const agents: TestInstance[] = [];
    for (let index = 0; index < STANDING_AGENTS; index += 1) {
      agents.push(
        await enrolAgent(server, owner, {
          name: `${owner.ownerId.slice(-8).toLowerCase()}-standing-${index}`,
        }),
      );
    }
    return new CrashClients({ owner, verifier, agents });
  }

  /**
   * All clients at once; resolves when the server is gone for one of them, or `end` was called. They leave together: a connection that
   * was reset looks the same, and whoever it did not meet would go on alone at a server that nobody else asks.
   */
  async load(server: TestServer): Promise<void> {
    const leaving = new AbortController();
    const repeat = (what: string, lane: () => Promise<void>) =>
      this.#repeat(what, lane, leaving.signal).finally(() => leaving.abort());
    await Promise.all([
      repeat("enrol", () => this.#enrolOne(server)),
      repeat("spawn", () => this.#spawnOne(server)),
      repeat("stop", () => this.#stopOne(server)),
      ...this.#speakers.map((speaker) => repeat("visit", () => this.#visit(server, speaker))),
    ]);
  }

  /** What nobody has answered yet: for whoever wonders why nothing goes on. */
  get waiting(): readonly string[] {
    const now = performance.now();
    return [...this.#open.values()].map(({ what, sinceMs }) => `${what} for ${Math.round(now - sinceMs)} ms`);
  }

  /** Errors that were no surprise. */
  get excused(): number {
    return this.#excused;
  }

  /** Nothing new is asked any more. */
  end(): void {
    this.#isOver = true;
  }

  /** From now on an error of this form is no surprise. */
  expect(error: RegExp): void {
    this.#expected = error;
  }

  /** A new intent of a standing agent, or of any other one. */
  intentOf(agent: TestInstance): VerifiedIntent {
    return visitIntent(agent, this.verifier, { seq: 1, prev: null });
  }

  /** Answered intents that are still young enough to be refused for nothing but having been used. */
  replayable(nowMs: number): readonly HeldDecision[] {
    return this.decisions.filter(({ sentAtMs }) => nowMs - sentAtMs < REPLAYABLE_MS);
  }

  /** Sends again what no answer came for, once; it acts now or had acted before. */
  async settleDoubts(server: TestServer): Promise<void> {
    for (const { agent, intent, sentAtMs } of this.inDoubt.splice(0)) {
      if (Date.now() - sentAtMs >= REPLAYABLE_MS) continue;
      const answer = await askDecision(server, { caller: this.verifier, agent, intent });
      if (answer.status === 200) {
        this.decisions.push({ agent, intent, sentAtMs, receipt: parseDecision(answer).receipt });
      } else if (answer.status !== 401 || codeOf(answer) !== "principal_refused") {
        this.surprises.push(`an intent in doubt: ${answer.status} ${answer.text}`);
      }
    }
  }

  async #repeat(what: string, lane: () => Promise<void>, leaving: AbortSignal): Promise<void> {
    const id = Symbol(what);
    while (!this.#isOver && !leaving.aborted) {
      this.#open.set(id, { what, sinceMs: performance.now() });
      try {
        await lane();
      } catch (error) {
        if (!this.#expected?.test(String(error))) {
          // A connection that broke is what a crash looks like from outside; anything else is a finding.
          if (!isBroken(error)) this.surprises.push(String(error));
          return;
        }
        this.#excused += 1;
      } finally {
        this.#open.delete(id);
      }
      await sleep(PAUSE_MS);
    }
  }

  async #enrolOne(server: TestServer): Promise<void> {
    this.certificates.push(await enrolAgent(server, this.owner, { name: this.#nextName() }));
  }

  async #spawnOne(server: TestServer): Promise<void> {
    const parent = await enrolAgent(server, this.owner, { name: this.#nextName() });
    this.certificates.push(parent);
    this.certificates.push(await spawn(server, parent, { name: this.#nextName() }));
  }

  async #stopOne(server: TestServer): Promise<void> {
    const agent = await enrolAgent(server, this.owner, { name: this.#nextName() });
    this.certificates.push(agent);
    const body = JSON.stringify({ target: { kind: "instance", id: agent.answer.instance_id } });
    const answer = parseAnswer(
      revocationAnswer,
      await sendAdmin(server.adminSocket, { method: "POST", target: "/v1/revocations", body }),
    );
    this.revocations.push({ agent, eventId: answer.event_id, epoch: answer.epoch });
  }

  async #visit(server: TestServer, speaker: Speaker): Promise<void> {
    const { agent } = speaker;
    speaker.seq += 1;
    const intent = visitIntent(agent, this.verifier, { seq: speaker.seq, prev: speaker.prev });
    speaker.prev = intent.payloadSha256;
    const sent = { agent, intent, sentAtMs: Date.now() };
    const receipt = await this.#decide(server, sent);
    const envelope = outcomeOf(this.verifier, receipt);
    const answer = await send(
      server.url,
      { method: "POST", target: "/v1/outcomes", body: JSON.stringify({ outcome: envelope }) },
      this.verifier.tls,
    );
    this.outcomes.push({ envelope, index: parseAnswer(outcomeAnswer, answer).index });
  }

  async #decide(server: TestServer, sent: SentIntent): Promise<Receipt> {
    const { agent, intent } = sent;
    try {
      const decision = parseDecision(await askDecision(server, { caller: this.verifier, agent, intent }));
      this.decisions.push({ ...sent, receipt: decision.receipt });
      if (!decision.allow) throw new Error(`denied: ${decision.reasons.join()}`);
      return decision.receipt;
    } catch (error) {
      if (isBroken(error)) this.inDoubt.push(sent);
      throw error;
    }
  }

  #nextName(): string {
    this.#names += 1;
    return `${this.owner.ownerId.slice(-8).toLowerCase()}-agent-${this.#names}`;
  }
}

/** base64url SHA-256 of an envelope's bytes. */
export function digestOfText(text: string): string {
  return encodeBase64url(sha256(new TextEncoder().encode(text)));
}

/** An error of a socket and not of us. */
export function isBroken(error: unknown): boolean {
  return (
    error instanceof Error &&
    "code" in error &&
    ["ECONNRESET", "ECONNREFUSED", "EPIPE", "ENOENT", "ECONNABORTED"].includes(String(error.code))
  );
}
