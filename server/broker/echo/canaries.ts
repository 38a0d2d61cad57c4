/** Finds planted strings in what agents send and get, in every form in which secrets are found. */
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import type { Broker, CanaryStream } from "../ports.ts";
import { Automaton } from "./automaton.ts";
import { formsOf, parseSecretValue } from "./forms.ts";
import { Scanner } from "./scanner.ts";

/** A planted string. Its value is a secret: whoever knows it can avoid it. */
export interface Canary {
  readonly name: string;
  readonly value: string;
}

/** Most servers have none, and every call would be searched for them. */
const NOTHING_PLANTED: ReturnType<Broker["canaries"]> = {
  isEmpty: true,
  find: () => [],
  stream: () => ({ push: () => [] }),
};

/** A watch over these canaries; making one costs time in proportion to their length, using it does not. */
export function createCanaryWatch(canaries: readonly Canary[]): ReturnType<Broker["canaries"]> {
  if (canaries.length === 0) return NOTHING_PLANTED;
  const automaton = new Automaton(
    canaries.flatMap(({ value }, owner) => formsOf(parseSecretValue(value), owner)),
  );
  const nameOf = (owner: number) => canaries[owner]?.name ?? "";
  return {
    isEmpty: false,
    find: (data) => findIn(automaton, typeof data === "string" ? encodeUtf8(data) : data).map(nameOf),
    stream: () => createStream(automaton, nameOf),
  };
}

function findIn(automaton: Automaton, data: Uint8Array): readonly number[] {
  const found = new Set<number>();
  const scanner = new Scanner(automaton, ({ owners }) => addAll(found, owners));
  scanner.push(data);
  scanner.end();
  return [...found];
}

function createStream(automaton: Automaton, nameOf: (owner: number) => string): CanaryStream {
  const found = new Set<number>();
  const scanner = new Scanner(automaton, ({ owners }) => addAll(found, owners));
  return {
    push: (chunk) => {
      found.clear();
      scanner.push(chunk);
      return [...found].map(nameOf);
    },
  };
}

function addAll(found: Set<number>, owners: readonly number[]): void {
  for (const owner of owners) found.add(owner);
}
