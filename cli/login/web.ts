/** How a login reads strangers' documents: in time, without redirects, and in the clear on this machine only. */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { allowInsecureRequests, customFetch, OperationProcessingError } from "oauth4webapi";

const TIMEOUT_MS = 30_000;
const MAX_BYTES = 262_144;
const LOOPBACK: readonly string[] = ["127.0.0.1", "[::1]", "localhost"];
/** The word of a standard, never a sentence of a stranger's. */
const WORD = /^[a-z][a-z0-9_]{0,63}$/i;

/** @throws TrustWardenError `login_failed` for plain http beyond this machine, or a URL that is none. */
export function parsePlace(text: string, what: string): URL {
  const url = URL.parse(text);
  const isPrivate = url?.protocol === "https:" || (url?.protocol === "http:" && isLoopback(url));
  if (url === null || !isPrivate || url.username !== "" || url.password !== "" || url.hash !== "")
    throw failed(`${what} is no https address`);
  return url;
}

/** Options for the OAuth library's calls to one place. */
export function callOptions(place: URL) {
  return {
    [customFetch]: (url: string, init: RequestInit) => load(url, init),
    [allowInsecureRequests]: isLoopback(place),
    signal: () => AbortSignal.timeout(TIMEOUT_MS),
  };
}

/** @throws TrustWardenError `login_failed`. */
export async function load(url: string, init: RequestInit = {}): Promise<Response> {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  try {
    const answer = await fetch(url, { ...init, redirect: "manual", signal });
    const body = await readAll(answer);
    const { status, headers } = answer;
    return new Response([204, 304].includes(status) ? null : body, { status, headers });
  } catch (error) {
    if (error instanceof TrustWardenError) throw error;
    throw failed(`${new URL(url).origin} does not answer`, error);
  }
}

/** What a step of the protocol threw, as our code and the standard's word for it. */
export function explain(error: unknown, reason: string): TrustWardenError {
  if (error instanceof TrustWardenError && error.code === "login_failed") return error;
  const word = wordOf(error);
  return failed(word === null ? reason : `${reason}: ${word}`, error);
}

export function failed(reason: string, cause?: unknown): TrustWardenError {
  return new TrustWardenError("login_failed", { reason }, cause === undefined ? {} : { cause });
}

function wordOf(error: unknown): string | null {
  if (error instanceof OperationProcessingError) return error.message.slice(0, 200);
  const cause = error instanceof Error && "error" in error ? error.error : null;
  return typeof cause === "string" && WORD.test(cause) ? cause : null;
}

function isLoopback({ hostname }: URL): boolean {
  return LOOPBACK.includes(hostname);
}

async function readAll(answer: Response): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of answer.body ?? []) {
    bytes += part.length;
    if (bytes > MAX_BYTES) throw failed("an answer is too large");
    parts.push(part);
  }
  return new Uint8Array(Buffer.concat(parts));
}
