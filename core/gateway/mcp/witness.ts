/**
 * One action of a template that a whole chain may do, if there is any: how a tool whose action depends on its arguments
 * comes to be listed for an agent that may call it with some of them.
 *
 * A template, like an atom of a scope, is a row of words and wildcards; what both mean is the same row with each wildcard
 * narrowed by the other's word. So one action that every link covers is found, or proven absent, by folding the chain.
 */
import { type ActionName, parseActionName } from "../../action.ts";
import type { Scope } from "../../scope.ts";
import { type ActionTemplate, isSpread, patternOf } from "./action-template.ts";

/** Different narrowings of one template; beyond that the tool is not listed. */
const MAX_CANDIDATES = 512;
const FILLER = "x";
const ANY = "*";

/** A row of words; `isOpen` when any number of segments may follow. */
interface Pattern {
  readonly words: readonly string[];
  readonly isOpen: boolean;
}

/** An action of the template that every scope covers; undefined when there is none. */
export function findWitness(template: ActionTemplate, scopes: readonly Scope[]): ActionName | undefined {
  let candidates: readonly Pattern[] = [
    { words: splitWords(patternOf(template)), isOpen: isSpread(template) },
  ];
  for (const scope of scopes) {
    const atoms = scope.map(parseAtom);
    const met = candidates.flatMap((candidate) =>
      atoms.flatMap((atom) => {
        const both = meet(candidate, atom);
        return both === undefined ? [] : [both];
      }),
    );
    candidates = [...new Map(met.map((pattern) => [JSON.stringify(pattern), pattern])).values()];
    if (candidates.length > MAX_CANDIDATES) return undefined;
  }
  const [first] = candidates;
  return first === undefined || scopes.length === 0 ? undefined : actionOf(first);
}

function parseAtom(atom: string): Pattern {
  const words = splitWords(atom);
  // No path means any path.
  if (words.length === 2) return { words, isOpen: true };
  return words.at(-1) === "**" ? { words: words.slice(0, -1), isOpen: true } : { words, isOpen: false };
}

function splitWords(text: string): readonly string[] {
  const [verb = "", type = "", path] = text.split(":");
  return path === undefined ? [verb, type] : [verb, type, ...path.split("/")];
}

/** What both patterns mean; undefined when that is nothing. */
function meet(left: Pattern, right: Pattern): Pattern | undefined {
  const length = Math.max(left.words.length, right.words.length);
  if (!reaches(left, length) || !reaches(right, length)) return undefined;
  const words: string[] = [];
  for (let index = 0; index < length; index += 1) {
    const word = meetWords(left.words[index] ?? ANY, right.words[index] ?? ANY);
    if (word === undefined) return undefined;
    words.push(word);
  }
  return { words, isOpen: left.isOpen && right.isOpen };
}

function reaches({ words, isOpen }: Pattern, length: number): boolean {
  return words.length === length || isOpen;
}

function meetWords(left: string, right: string): string | undefined {
  if (left === ANY || left === right) return right;
  return right === ANY ? left : undefined;
}

function actionOf({ words }: Pattern): ActionName {
  const [verb, type, ...path] = words.map((word) => (word === ANY ? FILLER : word));
  return parseActionName(`${verb}:${type}${path.length === 0 ? "" : `:${path.join("/")}`}`);
}
