/**
 * What an instance asks for, by name: a wildcard-free atom of the scope grammar, `verb:type[:path]`, and its class.
 *
 * The grammar is ASCII only and nothing is decoded, trimmed, folded or normalised, so one action has one spelling and
 * a look-alike is another text that does not parse. Matching actions to scopes is the business of `scope.ts`.
 *
 * @see ARCHITECTURE.md, "Scope grammar" and "Action classes".
 */
import { TrustWardenError } from "./error.ts";

/**
 * Longer than any scope atom on purpose: the counter-example to an atom of 256 characters, with a fresh word in the
 * place of each wildcard, is then always itself a valid action.
 */
const MAX_ACTION_CHARS = 1024;

/** Spelling of a verb or a type; scopes use the same. */
export const WORD_PATTERN = "[a-z][a-z0-9_-]*";
/** Spelling of one path segment; `.` and `..` do not parse, since someone downstream would resolve them. */
export const SEGMENT_PATTERN = "(?!\\.{1,2}(?:/|$))[A-Za-z0-9_.-]+";

const ACTION = new RegExp(
  `^${WORD_PATTERN}:${WORD_PATTERN}(?::${SEGMENT_PATTERN}(?:/${SEGMENT_PATTERN})*)?$`,
);

declare const actionBrand: unique symbol;

/** The name of one action: a valid, wildcard-free atom. */
export type ActionName = string & { readonly [actionBrand]: true };

/** A: irreversible, money, credentials, delegation, and everything unknown. B: ordinary writes. C: reads. */
export type ActionClass = "A" | "B" | "C";

/** Class by `verb:type` or by `verb`, from policy data; the more exact key wins. */
export type ActionClasses = Readonly<Record<string, ActionClass>>;

/** The parts of an action's name. */
export interface ActionParts {
  readonly verb: string;
  readonly type: string;
  /** Empty when the action has no path. */
  readonly path: string;
}

/**
 * An action's name from untrusted text.
 *
 * @throws TrustWardenError `action_malformed`.
 */
export function parseActionName(text: string): ActionName {
  if (typeof text !== "string" || text.length > MAX_ACTION_CHARS || !ACTION.test(text)) {
    throw new TrustWardenError("action_malformed", { chars: typeof text === "string" ? text.length : -1 });
  }
  // The one cast of this parser: the text was just proven to be an action's name.
  return text as ActionName;
}

/** Verb, type and path of an action. */
export function partsOf(action: ActionName): ActionParts {
  const [verb = "", type = "", path = ""] = action.split(":");
  return { verb, type, path };
}

/**
 * The class of an action. What the policy data does not name is class A, so that a new or misspelt verb gets the
 * strictest treatment and not the laxest.
 */
export function classOf(action: ActionName, classes: ActionClasses): ActionClass {
  const { verb, type } = partsOf(action);
  for (const key of [`${verb}:${type}`, verb]) {
    // `hasOwn`, because `constructor` is a well-formed verb and must not be found on the prototype.
    const found = Object.hasOwn(classes, key) ? classes[key] : undefined;
    if (found !== undefined) return found;
  }
  return "A";
}
