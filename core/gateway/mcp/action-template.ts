/**
 * Actions that depend on a tool's arguments: `verb:type:segment/{argument}/…`.
 *
 * `{name}` stands for one plain segment, `{+name}` as the last for several, joined by slashes and relative. An argument
 * that is no plain segment is refused and never cleaned up: whoever resolves `a/../b` after us would act on something
 * else than was decided (F22).
 */
import { type ActionName, parseActionName } from "../../action.ts";
import { TrustWardenError } from "../../error.ts";
import type { Json, JsonObject } from "../../json.ts";
import { isPlainSegment } from "./names.ts";

const MAX_TEMPLATE_CHARS = 256;
const VARIABLE = /^\{(\+?)([A-Za-z_][A-Za-z0-9_-]{0,63})\}$/;
/** Stands for each variable while the rest is checked; a plain segment. */
const FILLER = "x";

declare const templateBrand: unique symbol;

/** A template that makes valid actions. */
export type ActionTemplate = string & { readonly [templateBrand]: true };

/** @throws TrustWardenError `upstream_malformed`. */
export function parseActionTemplate(text: string): ActionTemplate {
  try {
    if (text.length > MAX_TEMPLATE_CHARS) throw new TrustWardenError("action_malformed");
    const segments = segmentsOf(text);
    const spread = segments.findIndex((segment) => VARIABLE.exec(segment)?.[1] === "+");
    if (spread !== -1 && spread !== segments.length - 1) throw new TrustWardenError("action_malformed");
    parseActionName(fill(text, () => FILLER));
    // The one cast of this parser: with its variables filled in, the text was just proven to be an action's name.
    return text as ActionTemplate;
  } catch (cause) {
    throw new TrustWardenError("upstream_malformed", { field: "action" }, { cause });
  }
}

/**
 * The action of a call.
 *
 * @throws TrustWardenError `mcp_arguments_refused` for an argument that is missing or no plain segment.
 */
export function actionOfTemplate(template: ActionTemplate, values: JsonObject): ActionName {
  return parseActionName(
    fill(template, (name, isPath) => {
      const value = Object.hasOwn(values, name) ? values[name] : undefined;
      const text = textOf(value);
      const parts = isPath ? text.split("/") : [text];
      if (!parts.every(isPlainSegment))
        throw new TrustWardenError("mcp_arguments_refused", { argument: name });
      return text;
    }),
  );
}

/** Whether the action depends on the arguments. */
export function isVariable(template: ActionTemplate): boolean {
  return segmentsOf(template).some((segment) => VARIABLE.test(segment));
}

/** Whether the last variable stands for one segment or more. */
export function isSpread(template: ActionTemplate): boolean {
  return VARIABLE.exec(segmentsOf(template).at(-1) ?? "")?.[1] === "+";
}

/** The pattern of every action that the template makes, as an atom of the scope grammar. */
export function patternOf(template: ActionTemplate): string {
  const [verb = "", type = "", path] = template.split(":");
  if (path === undefined) return template;
  // `{+name}` is one segment or more; as a pattern it begins with the one that has to be there.
  const segments = path.split("/").map((segment) => (VARIABLE.test(segment) ? "*" : segment));
  return `${verb}:${type}:${segments.join("/")}`;
}

function fill(template: string, value: (name: string, isPath: boolean) => string): string {
  const colon = template.indexOf(":", template.indexOf(":") + 1);
  if (colon === -1) return template;
  const segments = template
    .slice(colon + 1)
    .split("/")
    .map((segment) => {
      const variable = VARIABLE.exec(segment);
      return variable === null ? segment : value(variable[2] ?? "", variable[1] === "+");
    });
  return `${template.slice(0, colon + 1)}${segments.join("/")}`;
}

function segmentsOf(template: string): readonly string[] {
  return template.split(":").slice(2).join(":").split("/");
}

function textOf(value: Json | undefined): string {
  if (typeof value === "string") return value;
  return typeof value === "number" && Number.isSafeInteger(value) ? String(value) : "";
}
