/**
 * The typed client of the server's API: each answer is parsed by the very schema that the server shapes it with
 * (`core/api/`), so that there is one contract and nothing is generated.
 *
 * The session is a cookie that scripts cannot read; what changes something carries a header that no other site's page
 * can set.
 */
import { CONFIRMATION_HEADER } from "@trustwarden/core/confirmation.ts";
import { type ErrorCode, isErrorCode } from "@trustwarden/core/error.ts";
import { z } from "zod";

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
  readonly path: string;
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
export async function callApi<Schema extends z.ZodType>({
  answer,
  ...call
}: Call<Schema>): Promise<z.output<Schema>> {
  const response = await send(call);
  return answer.parse(await response.json());
}

/** Asks for bytes, such as an evidence bundle. @throws ApiError. */
export async function fetchBytes(path: string): Promise<Uint8Array> {
  const response = await send({ path });
  return new Uint8Array(await response.arrayBuffer());
}

/** Asks for text. @throws ApiError. */
export async function fetchText(path: string): Promise<string> {
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
export function pathWith(path: string, query: Readonly<Record<string, string | number | undefined>>): string {
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
