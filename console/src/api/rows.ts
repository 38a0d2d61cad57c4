/**
 * Which addresses there are, what they are asked with and what they answer: of the generated rows, for the compiler alone.
 *
 * An address that the API does not have, a query or a body that it does not take, and a schema that its answer does not
 * fit do not compile.
 */
import type { Rows } from "./rows.generated.ts";

type RowName = keyof Rows;

/** A path of the document with any text in the place of its parameters. */
type Filled<Path extends string> = Path extends `${infer Before}{${string}}${infer After}`
  ? `${Before}${string}${Filled<After>}`
  : Path;

/** Paths of the rows with that method, filled. */
type PathOf<Row> = Row extends `${string} ${infer Path}` ? Filled<Path> : never;

/** Addresses that may be asked: a path of a row, with or without a query. */
export type Target = PathOf<RowName> | `${PathOf<RowName>}?${string}`;

type WithoutQuery<Asked extends string> = Asked extends `${infer Path}?${string}` ? Path : Asked;

/** The rows that an address is of: one, but where a parameter could be another row's word. */
type RowsAt<Method extends "GET" | "POST", Asked extends string> = {
  readonly [Row in RowName]: Row extends `${Method} ${infer Path}`
    ? WithoutQuery<Asked> extends Filled<Path>
      ? Rows[Row]
      : never
    : never;
}[RowName];

/** What a GET of an address answers. */
export type AnswerTo<Asked extends string> = RowsAt<"GET", Asked>["answer"];

/** What a POST to an address takes, and answers. */
export type BodyOf<Asked extends string> = RowsAt<"POST", Asked>["body"];
export type AnswerToPost<Asked extends string> = RowsAt<"POST", Asked>["answer"];

/** What the query of a GET may say. */
export type QueryOf<Asked extends string> = RowsAt<"GET", Asked>["query"];
