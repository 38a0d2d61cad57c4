/**
 * How the stage manager (`run.ts`) and the players (one process each) talk: numbered questions and answers over the
 * IPC channel of `child_process.fork`. Nothing secret travels here; a child's key never leaves its process.
 */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { TrustWardenError } from "trustwarden";

const ANSWER_TIMEOUT_MS = 30_000;
const EXIT_TIMEOUT_MS = 5_000;

/** What travels in a question or an answer. */
export type Facts = Readonly<Record<string, string | number | boolean | readonly string[]>>;

/** What a player can be asked for, by name. */
export type Skills = Readonly<Record<string, (facts: Facts) => Promise<Facts>>>;

interface Reply {
  readonly number: number;
  readonly facts?: Facts;
  readonly failure?: Facts;
}

/** A refusal that happened in a player's process. */
export class PlayerRefused extends Error {
  readonly facts: Facts;

  /** @param facts - `code`, and `counterexample` where there is one. */
  constructor(facts: Facts) {
    super(`the player was refused: ${JSON.stringify(facts)}`);
    this.facts = facts;
  }
}

/** One process on the stage, as the stage manager sees it. */
export interface Player {
  /** @throws PlayerRefused when the player's own call was refused. */
  ask(question: string, facts?: Facts): Promise<Facts>;
  /** Asks for something that ends later; its answer is the promise. */
  leave(): Promise<void>;
}

/** In a player's process: answers questions until the stage manager goes. */
export function play(skills: Skills): void {
  process.on(
    "message",
    (message: { readonly number: number; readonly question: string; readonly facts: Facts }) => {
      const { number, question, facts } = message;
      const skill = skills[question] ?? (() => Promise.reject(new Error(`no such skill: ${question}`)));
      skill(facts).then(
        (answer) => process.send?.({ number, facts: answer }),
        (error: unknown) => process.send?.({ number, failure: describeFailure(error) }),
      );
    },
  );
  process.once("disconnect", () => process.exit(0));
}

/** Starts a player as a process of its own, with only the environment that is given. */
export function enterPlayer(file: string, env: Readonly<Record<string, string>>): Player {
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), [], {
    env: { ...env },
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  const waiting = new Map<number, (reply: Reply) => void>();
  child.on("message", (reply: Reply) => waiting.get(reply.number)?.(reply));
  child.once("exit", (code) => {
    const failure = { code: "exited", status: code ?? -1 };
    for (const [number, answer] of waiting) answer({ number, failure });
  });
  let last = 0;
  return {
    ask: (question, facts = {}) => {
      last += 1;
      return exchange({ child, waiting, number: last, question, facts });
    },
    leave: () => endProcess(child),
  };
}

/** Ends a process kindly, then firmly; resolves when it is gone. */
export async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), EXIT_TIMEOUT_MS);
  await gone;
  clearTimeout(timer);
}

async function exchange({
  child,
  waiting,
  number,
  question,
  facts,
}: {
  readonly child: ChildProcess;
  readonly waiting: Map<number, (reply: Reply) => void>;
  readonly number: number;
  readonly question: string;
  readonly facts: Facts;
}): Promise<Facts> {
  const { promise, resolve } = Promise.withResolvers<Reply>();
  const timer = setTimeout(
    () => resolve({ number, failure: { code: "no_answer", question } }),
    ANSWER_TIMEOUT_MS,
  );
  waiting.set(number, resolve);
  child.send({ number, question, facts });
  const reply = await promise;
  clearTimeout(timer);
  waiting.delete(number);
  if (reply.facts === undefined) throw new PlayerRefused(reply.failure ?? {});
  return reply.facts;
}

/** What the stage manager may know of a failure: the code and its counter-example. */
function describeFailure(error: unknown): Facts {
  if (!(error instanceof TrustWardenError)) return { code: "bug", message: String(error) };
  const { counterexample } = error.details;
  return typeof counterexample === "string" ? { code: error.code, counterexample } : { code: error.code };
}
