/**
 * How servers that share a store have one another look at what is new. A notice says that it is worth looking, and never
 * what there is: whoever hears one asks the database, as it does by the clock anyway. So nothing is lost with a notice, and
 * one that nobody meant costs a question.
 *
 * @see docs/decisions/0096
 */

/** Where there may be news: groups of the state, what servers acknowledged, and appends that wait or were answered. */
export const NEWS = ["state", "replicas", "appends"] as const;
export type News = (typeof NEWS)[number];

/** Has the others look, and hears that they have one look; beside the database, which says so by itself without it. */
export interface Notices {
  /** Whether they get through at the moment; without it everybody looks by the clock. */
  readonly isLinked: boolean;
  /** Whether anybody hears it, nobody knows. */
  tell(news: News): void;
  /** @returns how to end that. */
  watch(news: News, onNews: () => void): () => void;
  close(): Promise<void>;
}
