/**
 * HTTP message signatures, as far as we ask for them: one ES256 signature of a request over its method, its URL, its
 * body's digest and its credential. A proof of possession alone says nothing of the body.
 *
 * Read strictly: one signature, known components without parameters, one spelling of each member, so that what was
 * signed has one reading. Pure; which key has to have signed is the caller's business.
 *
 * @see RFC 9421 §2, §3; RFC 9530 §2; draft-ietf-wimse-http-signature-08
 */
import { encodeBase64, encodeBase64url, encodeUtf8, parseBase64 } from "./bytes.ts";
import { isP256Signature, type PublicKey, sha256 } from "./crypto.ts";
import { TrustWardenError } from "./error.ts";
import type { Signer } from "./signer.ts";

/** A signature is made for the request that it comes with. */
const MAX_AGE_SECONDS = 60;
const CLOCK_SKEW_SECONDS = 10;
const MAX_HEADER_CHARS = 2048;
/** `label=("a" "b");created=1;nonce="x"` */
const INPUT =
  /^([a-z][a-z0-9_-]{0,31})=(\(("[a-z@-]+"(?: "[a-z@-]+")*)\)((?:;[a-z]+=(?:\d{1,15}|"[\x20\x21\x23-\x5b\x5d-\x7e]{0,256}"))*))$/;
const VALUE = /^([a-z][a-z0-9_-]{0,31})=:([A-Za-z0-9+/]+={0,2}):$/;
const PARAMETER = /;([a-z]+)=(?:(\d{1,15})|"([^"]*)")/g;
const PARAMETERS: readonly string[] = ["created", "expires", "nonce", "alg", "keyid", "tag"];
const COMPONENTS: readonly string[] = [
  "@method",
  "@target-uri",
  "@request-target",
  "content-digest",
  "content-type",
  "authorization",
  "workload-identity-token",
];
/** Each is covered where it is there: another one must not be put in its place. */
const CREDENTIALS: readonly string[] = ["authorization", "workload-identity-token"];
const ALGORITHM = "ecdsa-p256-sha256";

/** A request as its signature sees it. */
export interface SignedMessage {
  readonly method: string;
  /** Absolute URL with query, as the client spelled it. */
  readonly url: string;
  /** Lower-case names; each header that is there came once. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: Uint8Array;
}

/** A signature that holds. */
export interface MessageSignature {
  /** base64url SHA-256 of the signature base. */
  readonly baseSha256: string;
  /** base64url r||s. */
  readonly value: string;
  /** As the signer wrote it; null for none. */
  readonly nonce: string | null;
}

/**
 * The signature of a request, by this key, over all that matters of it, made just now.
 *
 * @param options.now - Unix seconds.
 * @throws TrustWardenError `message_signature_missing`, `message_signature_invalid`.
 */
export function verifyMessageSignature(
  message: SignedMessage,
  options: { readonly publicKey: PublicKey; readonly now: number },
): MessageSignature {
  const { headers, body } = message;
  const input = INPUT.exec(requireHeader(headers, "signature-input"));
  const value = VALUE.exec(requireHeader(headers, "signature"));
  const [, label, params = "", list = "", tail = ""] = input ?? refuse("signature-input");
  if (value === null || value[1] !== label) return refuse("signature");
  const components = list.split(" ").map((name) => name.slice(1, -1));
  requireCoverage(components, message);
  const nonce = requireParameters(tail, options.now);
  if (components.includes("content-digest")) requireDigest(headers["content-digest"], body);
  const base = encodeUtf8(formatSignatureBase(components, params, (name) => componentOf(message, name)));
  const signature = parseSignature(value[2] ?? "");
  if (!isP256Signature(options.publicKey, base, signature)) refuse("another key or another request");
  return { baseSha256: encodeBase64url(sha256(base)), value: encodeBase64url(signature), nonce };
}

/** Signs a request; the headers to add. @param options.now - Unix seconds. */
export function issueMessageSignature(
  message: SignedMessage,
  options: { readonly signer: Signer; readonly now: number; readonly nonce: string },
): Readonly<Record<string, string>> {
  const { signer, now, nonce } = options;
  const digest = message.body.length === 0 ? {} : { "content-digest": formatContentDigest(message.body) };
  const headers: SignedMessage["headers"] = { ...message.headers, ...digest };
  const signed = { ...message, headers };
  const credentials = CREDENTIALS.filter((name) => headers[name] !== undefined);
  const components = ["@method", "@target-uri", ...credentials, ...Object.keys(digest)];
  const list = components.map((name) => `"${name}"`).join(" ");
  const params = `(${list});created=${now};nonce="${nonce}";alg="${ALGORITHM}"`;
  const base = formatSignatureBase(components, params, (name) => componentOf(signed, name));
  return {
    ...digest,
    "signature-input": `sig=${params}`,
    signature: `sig=:${encodeBase64(signer.sign(encodeUtf8(base)))}:`,
  };
}

/** `Content-Digest` of a body. @see RFC 9530 §2 */
export function formatContentDigest(body: Uint8Array): string {
  return `sha-256=:${encodeBase64(sha256(body))}:`;
}

/** The text that is signed. @see RFC 9421 §2.5 */
export function formatSignatureBase(
  components: readonly string[],
  params: string,
  valueOfComponent: (name: string) => string,
): string {
  const lines = components.map((name) => `"${name}": ${valueOfComponent(name)}`);
  return [...lines, `"@signature-params": ${params}`].join("\n");
}

/** What is not covered could be changed on the way: a body, a target, a credential that was not meant. */
function requireCoverage(components: readonly string[], { headers, body }: SignedMessage): void {
  if (new Set(components).size !== components.length) refuse("repeated component");
  if (components.some((name) => !COMPONENTS.includes(name))) refuse("unknown component");
  const target = components.includes("@target-uri") || components.includes("@request-target");
  const isBodyCovered = body.length === 0 || components.includes("content-digest");
  const shown = CREDENTIALS.filter((name) => name === "authorization" || headers[name] !== undefined);
  const isCovered = ["@method", ...shown].every((name) => components.includes(name));
  if (!target || !isBodyCovered || !isCovered) refuse("coverage");
}

/** The nonce. */
function requireParameters(text: string, now: number): string | null {
  const found = new Map(
    [...text.matchAll(PARAMETER)].map(([, name = "", number, word]) => [name, number ?? word]),
  );
  if (
    found.size !== text.split(";").length - 1 ||
    [...found.keys()].some((name) => !PARAMETERS.includes(name))
  ) {
    refuse("parameters");
  }
  const created = Number(found.get("created") ?? Number.NaN);
  if (!(created <= now + CLOCK_SKEW_SECONDS) || now - created > MAX_AGE_SECONDS) refuse("created");
  const expires = found.get("expires");
  if (expires !== undefined && !(now < Number(expires))) refuse("expires");
  const alg = found.get("alg");
  if (alg !== undefined && alg !== ALGORITHM) refuse("alg");
  return found.get("nonce") ?? null;
}

function requireDigest(header: string | undefined, body: Uint8Array): void {
  // One digest has one spelling.
  if (header !== formatContentDigest(body)) refuse("content-digest");
}

function componentOf({ method, url, headers }: SignedMessage, name: string): string {
  switch (name) {
    case "@method":
      return method;
    case "@target-uri":
      return url;
    case "@request-target":
      return url.slice(url.indexOf("/", "https://".length));
    default:
      return requireHeader(headers, name).trim();
  }
}

function requireHeader(headers: SignedMessage["headers"], name: string): string {
  const value = headers[name];
  if (value === undefined) throw new TrustWardenError("message_signature_missing", { header: name });
  return value.length > MAX_HEADER_CHARS && name.startsWith("signature") ? refuse(name) : value;
}

function parseSignature(text: string): Uint8Array {
  try {
    return parseBase64(text);
  } catch (cause) {
    if (!(cause instanceof TrustWardenError)) throw cause;
    return refuse("signature");
  }
}

function refuse(reason: string): never {
  throw new TrustWardenError("message_signature_invalid", { reason });
}
