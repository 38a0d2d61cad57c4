/**
 * What a prompt tells the fake model to do: words after a `#` in the text of the last message, such as `#words=20 #tool=search`.
 *
 * So a client that knows nothing of the fake can make it slow, long, broken or fond of tools.
 */
import { isJsonObject, type Json, type JsonObject } from "@trustwarden/core/json.ts";

/** More words than any test reads. */
const MAX_WORDS = 200_000;
const DEFAULT_WORDS = 8;

/** One answer, as the prompt wants it. */
export interface Wish {
  readonly words: number;
  /** Milliseconds between two parts of a stream, and before a whole answer. */
  readonly delayMs: number;
  /** Answers with this status and the vendor's error. */
  readonly status: number | undefined;
  /** Breaks the connection after so many parts. */
  readonly abortAfter: number | undefined;
  /** Calls this tool. */
  readonly tool: string | undefined;
  /** Says nothing of what was used. */
  readonly hidesUsage: boolean;
  /** Repeats the credential that it got. */
  readonly echoesCredential: boolean;
}

/** The wish of the last text of a conversation. */
export function readWish(messages: Json | undefined): Wish {
  const text = lastText(messages);
  const number = (name: string): number | undefined => {
    const found = new RegExp(`#${name}=(\\d{1,6})`).exec(text)?.[1];
    return found === undefined ? undefined : Number(found);
  };
  return {
    words: Math.min(MAX_WORDS, number("words") ?? DEFAULT_WORDS),
    delayMs: number("delay") ?? 0,
    status: number("status"),
    abortAfter: number("abort"),
    tool: /#tool=([A-Za-z0-9_-]{1,64})/.exec(text)?.[1],
    hidesUsage: text.includes("#no-usage"),
    echoesCredential: text.includes("#echo-credential"),
  };
}

/** The answer's words, one a token, with a space before each but the first; the text of the prompt's end comes back in it. */
export function answerWords(messages: Json | undefined, { words }: Wish): readonly string[] {
  const said = lastText(messages)
    .split(/\s+/)
    .filter((word) => word !== "" && !word.startsWith("#"));
  return Array.from(
    { length: words },
    (_, index) => `${index === 0 ? "" : " "}${said[index] ?? `word${index}`}`,
  );
}

/** Tokens of a request: its words, wherever they stand. */
export function countTokens(value: Json | undefined): number {
  if (typeof value === "string") return value.split(/\s+/).filter((word) => word !== "").length;
  if (Array.isArray(value)) return value.reduce((sum: number, item: Json) => sum + countTokens(item), 0);
  if (!isJsonObject(value)) return 0;
  return Object.values(value).reduce((sum: number, item: Json) => sum + countTokens(item), 0);
}

function lastText(messages: Json | undefined): string {
  if (typeof messages === "string") return messages;
  const last = Array.isArray(messages) ? messages.at(-1) : undefined;
  return textOf(last);
}

function textOf(value: Json | undefined): string {
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return value.map((item: Json) => textOf(item)).join(" ");
  return isJsonObject(value) ? textOf(textMember(value)) : "";
}

function textMember({ content, text }: JsonObject): Json | undefined {
  return content ?? text;
}
