/**
 * Secrets by their form, wherever they stand: the kept rules of secretlint, and the forms of our own table of providers.
 *
 * secretlint is loaded by the first scan of a process, not with the program. Its comments that switch rules off are not obeyed:
 * whoever plants a key could write them.
 *
 * @see https://github.com/secretlint/secretlint
 */
import { PROVIDERS } from "./providers.ts";

const PRESET = "@secretlint/secretlint-rule-preset-recommend";
const COMMENTS = "@secretlint/secretlint-rule-filter-comments";

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
    const { messages } = await lintSource({
      source: { filePath: "scanned", content: text, ext: "", contentType: "text" },
      options: { config, maskSecrets: true, noPhysicFilePath: true },
    });
    const kept = messages.flatMap(({ type, range, ruleId, messageId }): readonly SecretRange[] => {
      const [start, end] = range;
      if (type !== "message" || start === undefined || end === undefined || end <= start) return [];
      return [{ start, end, rule: `${ruleId.replace(/^@secretlint\/secretlint-rule-/, "")}/${messageId}` }];
    });
    return [...kept, ...findOwnForms(text)];
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
