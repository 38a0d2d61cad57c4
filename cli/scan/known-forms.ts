/**
 * Secrets by their form, wherever they stand: the kept rules of secretlint, and the forms of our own table of providers.
 *
 * secretlint is loaded by the first scan of a process, not with the program. Its comments that switch rules off are not obeyed:
 * whoever plants a key could write them.
 *
 * @see https://github.com/secretlint/secretlint
 */
import { PROVIDERS } from "./providers.ts";
import { isEverybodys, isReference } from "./secret-names.ts";

const PRESET = "@secretlint/secretlint-rule-preset-recommend";
const COMMENTS = "@secretlint/secretlint-rule-filter-comments";

/** A password in an address, of whatever scheme; a token without a name (`https://<token>@host`) is long. */
const ADDRESS =
  /\b[a-z][a-z0-9+.-]{1,24}:\/\/(?:([^\s/:@"'<>`\\]{0,128}):([^\s/@"'<>`\\]{4,512})|([A-Za-z0-9_-]{24,512}))@(?!example\.(?:com|org|net)\b)[A-Za-z0-9[]/g;
/** A stretch of a text that is a secret. */
export interface SecretRange {
  readonly start: number;
  readonly end: number;
  /** The rule that says so. */
  readonly rule: string;
}

/** Finds ranges in a text; they may overlap. */
export type FormFinder = (text: string) => Promise<readonly SecretRange[]>;

/** Loads the rules. */
export async function openFormFinder(): Promise<FormFinder> {
  const [{ lintSource }, { creator }] = await Promise.all([
    import("@secretlint/core"),
    import("@secretlint/secretlint-rule-preset-recommend"),
  ]);
  const config = { rules: [{ id: PRESET, rule: creator, rules: [{ id: COMMENTS, disabled: true }] }] };
  return async (text) => {
    // The linter takes a byte order mark off and counts without it.
    const mark = text.startsWith("\u{feff}") ? 1 : 0;
    const { messages } = await lintSource({
      source: { filePath: "scanned", content: text.slice(mark), ext: "", contentType: "text" },
      options: { config, maskSecrets: true, noPhysicFilePath: true },
    });
    const kept = messages.flatMap(({ type, range, ruleId, messageId }): readonly SecretRange[] => {
      const [start, end] = range;
      if (type !== "message" || start === undefined || end === undefined || end <= start) return [];
      return [
        {
          start: start + mark,
          end: end + mark,
          rule: `${ruleId.replace(/^@secretlint\/secretlint-rule-/, "")}/${messageId}`,
        },
      ];
    });
    const found = [...kept, ...findOwnForms(text), ...findInAddresses(text)];
    return found.filter(({ start, end }) => !isEverybodys(text.slice(start, end)));
  };
}

function findOwnForms(text: string): readonly SecretRange[] {
  return PROVIDERS.flatMap(({ id, form }) =>
    form === undefined
      ? []
      : [...text.matchAll(form)].map(({ index, 0: value }) => ({
          start: index,
          end: index + value.length,
          rule: `form/${id}`,
        })),
  );
}

function findInAddresses(text: string): readonly SecretRange[] {
  return [...text.matchAll(ADDRESS)].flatMap((found): readonly SecretRange[] => {
    const [whole, , password, token] = found;
    const value = password ?? token ?? "";
    if (isEverybodys(whole) || isReference(value)) return [];
    const start = found.index + whole.lastIndexOf(`${value}@`);
    return [{ start, end: start + value.length, rule: "form/address" }];
  });
}
