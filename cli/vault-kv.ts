/**
 * Reads the KV secrets engine of Vault or OpenBao, version 1 or 2, over its HTTP API.
 *
 * The address is the operator's own word, so it may be any; the token goes there and nowhere else: no redirect is
 * followed, and TLS is required but to this machine.
 *
 * @see https://openbao.org/api-docs/secret/kv/kv-v2/ and kv-v1, "List Secrets" and "Read Secret"
 */
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { isJsonObject, type Json, type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";

const TIMEOUT_MS = 15_000;
const MAX_ANSWER_BYTES = 4_194_304;
/** Together and below one another: a cycle cannot be, but a giant tree can. */
const MAX_PATHS = 10_000;
const MAX_DEPTH = 32;
const MOUNT = /^[A-Za-z0-9._-]+(?:\/[A-Za-z0-9._-]+)*$/;
const LOOPBACK_HOSTS = ["localhost", "127.0.0.1", "[::1]"];

/** One value of the engine. */
export interface VaultEntry {
  /** Below the mount. */
  readonly path: string;
  readonly key: string;
  readonly value: string;
}

/** Where to read, and with what. */
export interface VaultPlace {
  readonly url: string;
  /** Secret. */
  readonly token: string;
  readonly mount: string;
  /** Empty for all of the mount. */
  readonly path: string;
}

/** A mount, its version known. */
interface Engine extends VaultPlace {
  readonly version: 1 | 2;
}

/**
 * Every text value below the path, in order; values that are no text are left out.
 *
 * @throws TrustWardenError `usage` for an address or mount that is none, `exchange_unreachable`, `exchange_refused`
 *   with the status, `exchange_malformed`.
 */
export async function readVault(place: VaultPlace): Promise<readonly VaultEntry[]> {
  requirePlace(place);
  const engine: Engine = { ...place, version: await findVersion(place) };
  const root = place.path.replace(/^\/+|\/+$/g, "");
  const isFolder = (await list(engine, root)) !== null;
  const paths = isFolder ? await walk(engine, root) : [root];
  const entries: VaultEntry[] = [];
  for (const path of paths) entries.push(...(await readOne(engine, path)));
  return entries;
}

function requirePlace({ url, mount, path, token }: VaultPlace): void {
  const parsed = URL.parse(url);
  const isLocal = parsed !== null && LOOPBACK_HOSTS.includes(parsed.hostname);
  const isSafe =
    parsed !== null && (parsed.protocol === "https:" || (parsed.protocol === "http:" && isLocal));
  if (!isSafe) throw new TrustWardenError("usage", { argument: "--vault", reason: "an https address" });
  if (!MOUNT.test(mount)) throw new TrustWardenError("usage", { argument: "--mount" });
  if (/[\\?#%]|(?:^|\/)\.{1,2}(?:\/|$)/.test(path))
    throw new TrustWardenError("usage", { argument: "--path" });
  if (!/^[!-~]+$/.test(token))
    throw new TrustWardenError("usage", { reason: "the token is not one line of text" });
}

/** The mount's own word for its version; older servers do not say, and then it is the first. */
async function findVersion(place: VaultPlace): Promise<1 | 2> {
  const { data } = requireFound(await ask(place, `sys/internal/ui/mounts/${place.mount}`));
  if (!isJsonObject(data)) return malformed("no data");
  const { options } = data;
  return isJsonObject(options) && options.version === "2" ? 2 : 1;
}

async function walk(engine: Engine, root: string): Promise<readonly string[]> {
  const found: string[] = [];
  const folders = [{ path: root, depth: 0 }];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for (const key of (await list(engine, folder.path)) ?? []) {
      const path = folder.path === "" ? key : `${folder.path}/${key}`;
      if (key.endsWith("/")) folders.push({ path: path.slice(0, -1), depth: folder.depth + 1 });
      else found.push(path);
    }
    if (found.length + folders.length > MAX_PATHS || folder.depth > MAX_DEPTH)
      throw new TrustWardenError("request_too_large", { maxPaths: MAX_PATHS });
  }
  return found.toSorted();
}

/** Names below a folder, folders with a slash at the end; null for what is no folder. */
async function list(engine: Engine, path: string): Promise<readonly string[] | null> {
  const answer = await ask(engine, `${pathOf(engine, "metadata", path)}?list=true`);
  if (answer === null) return null;
  const { data } = answer;
  const keys = isJsonObject(data) ? data.keys : undefined;
  if (!Array.isArray(keys)) return malformed("no keys");
  return keys.map((key: Json) => (typeof key === "string" && key !== "" ? key : malformed("a key")));
}

async function readOne(engine: Engine, path: string): Promise<readonly VaultEntry[]> {
  const answer = await ask(engine, pathOf(engine, "data", path));
  // Its latest version is deleted: the name is still listed.
  if (answer === null) return [];
  const outer = answer.data;
  const values = engine.version === 2 && isJsonObject(outer) ? outer.data : outer;
  if (values === null) return [];
  if (!isJsonObject(values)) return malformed("no values");
  return Object.entries(values).flatMap(([key, value]) =>
    typeof value === "string" ? [{ path, key, value }] : [],
  );
}

function pathOf({ version, mount }: Engine, part: "data" | "metadata", path: string): string {
  const rest = path.split("/").map(encodeURIComponent).join("/");
  const parts = version === 2 ? [mount, part, rest] : [mount, rest];
  return parts.filter((one) => one !== "").join("/");
}

/** The answer, or null for 404. */
async function ask(place: VaultPlace, target: string): Promise<JsonObject | null> {
  let response: Response;
  try {
    response = await fetch(new URL(`/v1/${target}`, place.url), {
      headers: { "x-vault-token": place.token, "x-vault-request": "true" },
      redirect: "error",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch (cause) {
    throw new TrustWardenError("exchange_unreachable", { place: "vault" }, { cause });
  }
  const text = await readText(response);
  if (response.status === 404) return null;
  if (response.status !== 200) throw new TrustWardenError("exchange_refused", { status: response.status });
  try {
    return parseJsonObject(text, MAX_ANSWER_BYTES);
  } catch {
    // The parser's message may quote a value, so the cause stays here.
    return malformed("not JSON");
  }
}

async function readText(response: Response): Promise<string> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of response.body ?? []) {
    length += part.length;
    if (length > MAX_ANSWER_BYTES)
      throw new TrustWardenError("request_too_large", { maxBytes: MAX_ANSWER_BYTES });
    parts.push(part);
  }
  try {
    return parseUtf8(new Uint8Array(Buffer.concat(parts)));
  } catch {
    return malformed("not text");
  }
}

function requireFound(answer: JsonObject | null): JsonObject {
  if (answer === null) throw new TrustWardenError("exchange_refused", { status: 404 });
  return answer;
}

function malformed(reason: string): never {
  throw new TrustWardenError("exchange_malformed", { reason });
}
