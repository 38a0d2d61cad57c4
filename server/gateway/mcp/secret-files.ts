/** The files of the server's own secrets that its settings name, wherever they lie: no program behind the gateway may see one. */

/** Settings whose values are paths of secrets, at any depth; a certificate and a CA are none. */
const NAME = /^(?:pin|password|secret|key|credentials|token)File$/;

/** @param settings - a configuration, or a part of one. */
export function secretFilesOf(settings: unknown): readonly string[] {
  if (typeof settings !== "object" || settings === null) return [];
  return Object.entries(settings).flatMap(([name, value]: readonly [string, unknown]) =>
    typeof value === "string" ? (NAME.test(name) ? [value] : []) : secretFilesOf(value),
  );
}
