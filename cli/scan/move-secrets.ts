/**
 * Moves secrets into the broker and takes them out of their files, in an order in which a break at any point leaves either
 * the file as it was or the file without its secret: prove that the file can be replaced, keep the secret, register the
 * upstream, replace the file.
 *
 * A secret's name has its fingerprint, so a second run knows what the first one kept and does nothing twice.
 */
import { rmSync } from "node:fs";
import { type UpstreamAnswer, upstreamAnswer, upstreamList } from "@trustwarden/core/api/gateway.ts";
import { secretAnswer, secretList } from "@trustwarden/core/api/secrets.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { originOf } from "@trustwarden/core/gateway/upstream.ts";
import type { Client } from "../client.ts";
import type { Left, Move } from "./planned.ts";
import { applyTextEdits, beginRewrite, writeBackup } from "./rewrite.ts";

const MAX_SECRET_NAME = 63;
const FINGERPRINT_IN_NAME = 8;

/** A file with what is to be taken out of it. */
export interface FileToFix {
  /** Real path. */
  readonly path: string;
  readonly text: string;
  readonly moves: readonly Move[];
}

/** How to move. */
export interface MoveOptions {
  readonly client: Client;
  readonly fingerprintOf: (value: string) => string;
  /** Who may use them; nobody unless named. */
  readonly agents: readonly string[];
  /** Appended to names of new files. */
  readonly suffix: string;
  readonly hasBackup: boolean;
}

/** What happened. */
export interface Moved {
  readonly moved: readonly (Move & { readonly secret: string })[];
  readonly left: readonly Left[];
  readonly backups: readonly string[];
}

/**
 * Moves what can be moved, file by file. Once it has begun, a failure leaves that file as it was and is its reason, so that
 * what was moved before is told.
 *
 * @throws TrustWardenError of the server, before anything was moved.
 */
export async function moveSecrets(files: readonly FileToFix[], options: MoveOptions): Promise<Moved> {
  const registry = await Registry.open(options);
  let result: Moved = { moved: [], left: [], backups: [] };
  for (const file of files) {
    const one = await moveOfFile(file, registry, options).catch((error: unknown) => leaveAll(file, error));
    result = {
      moved: [...result.moved, ...one.moved],
      left: [...result.left, ...one.left],
      backups: [...result.backups, ...one.backups],
    };
  }
  return result;
}

function leaveAll({ moves }: FileToFix, error: unknown): Moved {
  if (!(error instanceof TrustWardenError)) throw error;
  const why = typeof error.details.why === "string" ? error.details.why : `it failed: ${error.code}`;
  return { moved: [], left: moves.map(({ finding }) => ({ finding, why })), backups: [] };
}

/** The name of a secret in the broker. */
function secretNameOf(upstream: string, fingerprint: string): string {
  const tail = fingerprint.slice(0, FINGERPRINT_IN_NAME);
  return `${upstream.slice(0, MAX_SECRET_NAME - tail.length - 1)}-${tail}`;
}

async function moveOfFile(file: FileToFix, registry: Registry, options: MoveOptions): Promise<Moved> {
  const { path, text, moves } = file;
  const rewrite = beginRewrite(path, text, options.suffix);
  const backup = `${path}.${options.suffix}`;
  try {
    const kept: (Move & { readonly secret: string })[] = [];
    const left: Left[] = [];
    for (const move of moves) {
      const secret = secretNameOf(move.upstream.name, options.fingerprintOf(move.finding.value));
      const why = await registry.keep(move, secret);
      if (why === undefined) kept.push({ ...move, secret });
      else left.push({ finding: move.finding, why });
    }
    if (kept.length === 0) return { moved: [], left, backups: [] };
    if (options.hasBackup) writeBackup(backup, text);
    rewrite.commit(
      applyTextEdits(
        text,
        kept.flatMap(({ edits }) => edits),
      ),
    );
    return { moved: kept, left, backups: options.hasBackup ? [backup] : [] };
  } catch (error) {
    // Ours says that the file is as it was: nobody needs a second copy of its secrets.
    if (options.hasBackup && error instanceof TrustWardenError) rmSync(backup, { force: true });
    throw error;
  } finally {
    rewrite.abandon();
  }
}

/** Owns what the server is known to hold, so that each question is asked once. */
class Registry {
  readonly #options: MoveOptions;
  readonly #upstreams: Map<
    string,
    Pick<UpstreamAnswer, "kind" | "url" | "secret" | "ca" | "allow_private" | "settings">
  >;
  readonly #secrets: Set<string>;

  private constructor(
    options: MoveOptions,
    upstreams: readonly UpstreamAnswer[],
    secrets: readonly string[],
  ) {
    this.#options = options;
    this.#upstreams = new Map(upstreams.map((upstream) => [upstream.name, upstream]));
    this.#secrets = new Set(secrets);
  }

  static async open(options: MoveOptions): Promise<Registry> {
    const { upstreams } = await options.client.get("/v1/upstreams", upstreamList);
    const { secrets } = await options.client.get("/v1/secrets", secretList);
    return new Registry(
      options,
      upstreams,
      secrets.map(({ name }) => name),
    );
  }

  /** Keeps the secret and has it go along to its upstream. @returns why not, when something else has its place. */
  async keep(move: Move, secret: string): Promise<string | undefined> {
    const { name, kind, url, settings } = move.upstream;
    const known = this.#upstreams.get(name);
    const isElsewhere = known?.kind !== kind || known.url !== url;
    if (known !== undefined && (isElsewhere || known.settings.endpoint !== settings.endpoint))
      return `the upstream ${name} leads elsewhere; register this one under another name`;
    if (known !== undefined && known.secret !== null && known.secret !== secret)
      return `the upstream ${name} has another secret already: one of the two keys is enough`;
    try {
      await this.#putSecret(move, secret);
      if (known?.secret !== secret) await this.#setUpstream(move, secret);
      return undefined;
    } catch (error) {
      // One that cannot be kept stays in its file; a server that fails ends the run.
      if (!(error instanceof TrustWardenError) || error.status >= 500) throw error;
      return `the server refused: ${error.code}`;
    }
  }

  async #putSecret({ finding, upstream, injection }: Move, name: string): Promise<void> {
    if (this.#secrets.has(name)) return;
    const from = finding.place.kind === "file" ? finding.place.path : "";
    await this.#options.client.post({
      target: "/v1/secrets",
      body: {
        name,
        value: finding.value,
        injection,
        upstreams: [{ name: upstream.name, origin: originOf(upstream.url) }],
        agents: [...this.#options.agents],
        reason: `found in the clear by warden scan in ${from}`.slice(0, 512),
      },
      schema: secretAnswer,
    });
    this.#secrets.add(name);
  }

  async #setUpstream({ upstream }: Move, secret: string): Promise<void> {
    const { name, kind, url, settings } = upstream;
    const known = this.#upstreams.get(name);
    const kept = { ca: known?.ca ?? null, allow_private: known?.allow_private ?? false };
    const body = { name, kind, url, secret, ...kept, settings: known?.settings ?? settings };
    this.#upstreams.set(
      name,
      await this.#options.client.post({ target: "/v1/upstreams", body, schema: upstreamAnswer }),
    );
  }
}
