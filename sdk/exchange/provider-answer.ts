/**
 * One request to a provider's token endpoint, and its answer in JSON or XML: bounded, without redirects, and never shown
 * in an error. Of a refusal the provider's own code is kept when it looks like one, and nothing else.
 */
import { X509Certificate } from "node:crypto";
import { Agent } from "node:https";
import { encodeUtf8, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { isJsonObject, type Json, type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import { openHttps, readBody } from "../https-request.ts";
import { Secret } from "./secret.ts";

const TIMEOUT_MS = 15_000;
/** Tokens are a few kilobytes. */
const MAX_BYTES = 65_536;
/** Longer than any provider lets a token live. */
const MAX_LIFETIME_SECONDS = 604_800;
/** RFC 6749 appendix A.12: what can stand in a header, and nothing that would end it. */
const TOKEN = /^[\x21-\x7e]+$/;
const ERROR_CODE = /^[A-Za-z][A-Za-z0-9_.-]{0,63}$/;
const XML_ERROR_CODE = /<Code>([^<]{1,64})<\/Code>/;

/** Where a provider is, when it is not at its usual place: a private endpoint, or a stand-in in a test. */
export interface ProviderPlace {
  /** https origin. */
  readonly endpoint?: string;
  /** PEM of the authorities to believe instead of the web's. */
  readonly ca?: string;
}

/** A request to a provider. */
export interface ProviderCall {
  readonly provider: string;
  /** Used when the place says nothing. */
  readonly origin: string;
  readonly place: ProviderPlace;
  readonly target: string;
  readonly body: { readonly form: Readonly<Record<string, string>> } | { readonly json: JsonObject };
  readonly headers?: Readonly<Record<string, string>>;
}

/** Refuses authorities that are none: an empty text would be the web's. @throws TrustWardenError `config_invalid`. */
export function requirePlace({ ca }: ProviderPlace): void {
  if (ca === undefined) return;
  try {
    new X509Certificate(ca);
  } catch (cause) {
    throw new TrustWardenError("config_invalid", { setting: "ca" }, { cause });
  }
}

/**
 * The text of a provider's answer with status 200.
 *
 * @throws TrustWardenError `exchange_unreachable`, or `exchange_refused` with the provider's code.
 */
export async function askProvider(call: ProviderCall): Promise<string> {
  const { place, target, body, provider } = call;
  const agent = new Agent({ maxCachedSessions: 0, minVersion: "TLSv1.2", ...(place.ca && { ca: place.ca }) });
  try {
    const message = await openHttps({
      agent,
      origin: new URL(place.endpoint ?? call.origin),
      method: "POST",
      target,
      headers: { accept: "application/json", "content-type": typeOf(body), ...call.headers },
      body: encodeUtf8(
        "form" in body ? new URLSearchParams(body.form).toString() : JSON.stringify(body.json),
      ),
      timeoutMs: TIMEOUT_MS,
    });
    const text = parseUtf8(await readBody(message, { maxBytes: MAX_BYTES, timeoutMs: TIMEOUT_MS }));
    const status = message.statusCode ?? 0;
    if (status === 200) return text;
    throw new TrustWardenError("exchange_refused", { provider, status, provider_code: errorCodeOf(text) });
  } catch (cause) {
    throw cause instanceof TrustWardenError && cause.code === "exchange_refused"
      ? cause
      : new TrustWardenError("exchange_unreachable", { provider, reason: reasonOf(cause) }, { cause });
  } finally {
    agent.destroy();
  }
}

/** Reads an answer's members strictly, naming the provider and the member when one is not as documented. */
export class ProviderAnswer {
  readonly #provider: string;
  readonly #json: JsonObject;

  constructor(provider: string, text: string) {
    this.#provider = provider;
    this.#json = parseAnswer(provider, text);
  }

  /** @throws TrustWardenError `exchange_malformed`. */
  text(name: string): string {
    const value = this.#json[name];
    return typeof value === "string" && value !== "" ? value : malformed(this.#provider, name);
  }

  /** @throws TrustWardenError `exchange_malformed`. */
  secret(name: string): Secret {
    const text = this.text(name);
    return TOKEN.test(text) ? new Secret(text) : malformed(this.#provider, name);
  }

  /** Requires a bearer token, the only kind that we know how to use. @throws TrustWardenError `exchange_malformed`. */
  requireBearer(): void {
    if (this.text("token_type").toLowerCase() !== "bearer") malformed(this.#provider, "token_type");
  }

  /** `now` and the lifetime in seconds. @throws TrustWardenError `exchange_malformed`. */
  expiresAt(name: string, now: number): number {
    const value = this.#json[name];
    const isLifetime = typeof value === "number" && Number.isSafeInteger(value) && value > 0;
    return isLifetime && value <= MAX_LIFETIME_SECONDS ? now + value : malformed(this.#provider, name);
  }
}

/** @throws TrustWardenError `exchange_malformed`. */
export function malformed(provider: string, member: string): never {
  throw new TrustWardenError("exchange_malformed", { provider, member });
}

/** Unix seconds of an RFC 3339 time in a provider's answer. @throws TrustWardenError `exchange_malformed`. */
export function parseInstant(provider: string, member: string, text: string): number {
  const ms = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z$/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(ms) ? malformed(provider, member) : Math.floor(ms / 1000);
}

function parseAnswer(provider: string, text: string): JsonObject {
  try {
    return parseJsonObject(text, MAX_BYTES);
  } catch (cause) {
    throw new TrustWardenError("exchange_malformed", { provider, member: "json" }, { cause });
  }
}

/** RFC 6749 has `error`, Google `error.status`, Anthropic `error.type`, AWS `<Code>`. */
function errorCodeOf(text: string): string {
  const code = XML_ERROR_CODE.exec(text)?.[1] ?? jsonErrorOf(text);
  return typeof code === "string" && ERROR_CODE.test(code) ? code : "unknown";
}

function jsonErrorOf(text: string): Json | undefined {
  try {
    const { error } = parseJsonObject(text, MAX_BYTES);
    return isJsonObject(error) ? (error.status ?? error.type ?? error.code) : error;
  } catch {
    // Safe to go on: the request is refused either way, and only the provider's word for it is missing.
    return undefined;
  }
}

function typeOf(body: ProviderCall["body"]): string {
  return "form" in body ? "application/x-www-form-urlencoded" : "application/json";
}

function reasonOf(cause: unknown): string {
  if (!(cause instanceof TrustWardenError)) return "error";
  return String(cause.details.reason ?? cause.code);
}
