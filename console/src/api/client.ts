/**
 * The typed client of the server's API. What may be asked of which address, and what it answers, is generated from
 * `docs/openapi.json` (`rows.generated.ts`) and held by the compiler; each answer is parsed besides by the very schema
 * that the server shapes it with (`core/api/`).
 *
 * The session is a cookie that scripts cannot read; what changes something carries a header that no other site's page
 * can set.
 */
import { CONFIRMATION_HEADER } from "@trustwarden/core/confirmation.ts";
import { type ErrorCode, isErrorCode } from "@trustwarden/core/error.ts";
import { z } from "zod";
import type { AnswerTo, AnswerToPost, BodyOf, QueryOf, Target } from "./rows.ts";

const errorAnswer = z.object({
  error: z.object({ code: z.string(), message: z.string(), counterexample: z.string().optional() }),
});

/** What the listener asks of every request that changes something. */
const CSRF_HEADER = "trustwarden-console";

/** A refusal of the server, in the words of its table. */
export class ApiError extends Error {
  readonly code: ErrorCode | "unreachable" | "unknown";
  readonly status: number;
  readonly counterexample: string | undefined;

  constructor(refusal: {
    readonly code: ErrorCode | "unreachable" | "unknown";
    readonly status: number;
    readonly message: string;
    readonly counterexample?: string | undefined;
  }) {
    super(refusal.message);
    this.name = "ApiError";
    this.code = refusal.code;
    this.status = refusal.status;
    this.counterexample = refusal.counterexample;
  }
}

/** Whether a failure is a refusal of the server. */
export function isApiError(error: unknown): error is ApiError {
  return error instanceof ApiError && error.code !== "unreachable";
}

/** What is asked of the server. */
export interface Asking {
  /** With its query. */
  readonly path: Target;
  /** POST when it is there. */
  readonly body?: unknown;
  /** Id of a second admin's word for exactly this. */
  readonly confirmation?: string;
}

/** One question to the server. */
interface Call<Schema extends z.ZodType> extends Asking {
  readonly answer: Schema;
  readonly signal?: AbortSignal;
}

/** A schema that takes what an address answers. */
type Taking<Answer, Schema extends z.ZodType> = Answer extends z.input<Schema> ? Schema : never;

interface Addressed<Path extends Target> {
  readonly path: Path;
  readonly signal?: AbortSignal;
  readonly confirmation?: string;
}

/** A GET whose schema takes what its address answers. */
interface Reading<Path extends Target, Schema extends z.ZodType> extends Addressed<Path> {
  readonly body?: undefined;
  readonly answer: Taking<AnswerTo<Path>, Schema>;
}

/** A POST whose body and schema are those of its address. */
interface Posting<Path extends Target, Schema extends z.ZodType> extends Addressed<Path> {
  readonly body: BodyOf<Path>;
  readonly answer: Taking<AnswerToPost<Path>, Schema>;
}

/** A request to the byte, as a second admin confirms it. */
export interface ExactRequest {
  readonly method: "GET" | "POST";
  readonly target: string;
  /** Empty for GET. */
  readonly body: string;
}

/** What an asking is on the wire. */
export function exactRequestOf({ path, body }: Asking): ExactRequest {
  if (body === undefined) return { method: "GET", target: path, body: "" };
  return { method: "POST", target: path, body: JSON.stringify(body) };
}

/** Asks, and parses the answer. @throws ApiError. */
export function callApi<const Path extends Target, Schema extends z.ZodType>(
  call: Reading<Path, Schema>,
): Promise<z.output<Schema>>;
export function callApi<const Path extends Target, Schema extends z.ZodType>(
  call: Posting<Path, Schema>,
): Promise<z.output<Schema>>;
export function callApi<Schema extends z.ZodType>(call: Call<Schema>): Promise<z.output<Schema>> {
  return perform(call);
}

/** The same of what was put together elsewhere, by an address of the API. @throws ApiError. */
export async function perform<Schema extends z.ZodType>({
  answer,
  ...call
}: Call<Schema>): Promise<z.output<Schema>> {
  const response = await send(call);
  return answer.parse(await response.json());
}

/** Asks for bytes, such as an evidence bundle. @throws ApiError. */
export async function fetchBytes(path: Target): Promise<Uint8Array> {
  const response = await send({ path });
  return new Uint8Array(await response.arrayBuffer());
}

/** Asks for text. @throws ApiError. */
export async function fetchText(path: Target): Promise<string> {
  const response = await send({ path });
  return response.text();
}

/** Asks for lines of JSON, each told as it comes. @throws ApiError; whatever `signal` is aborted with. */
export async function readLines<Schema extends z.ZodType>(
  { answer, ...call }: Call<Schema>,
  tell: (line: z.output<Schema>) => void,
): Promise<void> {
  const response = await send(call);
  let rest = "";
  const take = (text: string) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) tell(answer.parse(JSON.parse(line)));
  };
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  for (let part = await reader?.read(); part?.done === false; part = await reader?.read()) take(part.value);
}

/** A path with a query; what is undefined or empty is left out. */
export function pathWith<const Path extends Target>(
  path: Path,
  query: QueryOf<Path>,
): Path | `${Path}?${string}` {
  return pathWithTexts(path, { ...query });
}

/** The same with texts that a person wrote: the server says what is wrong with them. */
export function pathWithTexts<const Path extends Target>(
  path: Path,
  query: Readonly<Record<string, string | number | undefined>>,
): Path | `${Path}?${string}` {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== "") params.set(name, String(value));
  }
  const text = params.toString();
  return text === "" ? path : `${path}?${text}`;
}

function send({ signal, confirmation, ...asking }: Omit<Call<z.ZodType>, "answer">): Promise<Response> {
  return sendExactly(exactRequestOf(asking), {
    ...(signal === undefined ? {} : { signal }),
    ...(confirmation === undefined ? {} : { confirmation }),
  });
}

/** Sends a request as it stands. @throws ApiError. */
export async function sendExactly(
  { method, target, body }: ExactRequest,
  { confirmation, signal }: { readonly confirmation?: string; readonly signal?: AbortSignal },
): Promise<Response> {
  const posts = method === "POST";
  const init: RequestInit = {
    method,
    headers: {
      [CSRF_HEADER]: "1",
      ...(posts ? { "content-type": "application/json" } : {}),
      ...(confirmation === undefined ? {} : { [CONFIRMATION_HEADER]: confirmation }),
    },
    credentials: "same-origin",
    redirect: "error",
    ...(posts ? { body } : {}),
    ...(signal === undefined ? {} : { signal }),
  };
  const response = await fetch(target, init).catch((cause: unknown) => {
    throw new ApiError({
      code: "unreachable",
      status: 0,
      message: `The server does not answer (${String(cause)}).`,
    });
  });
  if (response.ok) return response;
  throw await refusalOf(response);
}

async function refusalOf(response: Response): Promise<ApiError> {
  const parsed = errorAnswer.safeParse(await response.json().catch(() => null));
  if (!parsed.success) {
    return new ApiError({ code: "unknown", status: response.status, message: `HTTP ${response.status}` });
  }
  const { code, message, counterexample } = parsed.data.error;
  return new ApiError({
    code: isErrorCode(code) ? code : "unknown",
    status: response.status,
    message,
    counterexample,
  });
}
