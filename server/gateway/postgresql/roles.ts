/**
 * The statements about roles: made, listed and dropped as the broker's administrator.
 *
 * Every name is quoted by the client library, a password goes as a SCRAM verifier, so that the server's statement log
 * never has it, and what belongs together is one transaction: a failure leaves no role behind. A role says in its
 * comment whose it is; nothing else about roles is kept anywhere.
 *
 * @see PostgreSQL, "CREATE ROLE", "DROP ROLE"; RFC 5803
 */
import { createHash, createHmac, pbkdf2Sync } from "node:crypto";
import { encodeBase64 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { formatCanonicalJson, isJsonObject, parseJson } from "@trustwarden/core/json.ts";
import { type Client, escapeIdentifier, escapeLiteral } from "pg";

/** What PostgreSQL itself uses. */
const SCRAM_ITERATIONS = 4096;
const SCRAM_BYTES = 32;
/** How long a session may take to notice that it was ended. */
const TERMINATION_MS = 5000;
const MAX_COMMENT_CHARS = 1024;
/** Begins the name of every role of ours. */
const PREFIX = "tw_";

const FIND = "SELECT shobj_description(oid, 'pg_authid') AS comment FROM pg_roles WHERE rolname = $1";
const LIST = `
  SELECT rolname AS name, shobj_description(oid, 'pg_authid') AS comment,
    extract(epoch FROM rolvaliduntil)::float8 AS until,
    ARRAY (
      SELECT DISTINCT groups.rolname::text
      FROM pg_auth_members JOIN pg_roles AS groups ON groups.oid = pg_auth_members.roleid
      WHERE pg_auth_members.member = pg_roles.oid
    ) AS member_of
  FROM pg_roles WHERE starts_with(rolname, $1) ORDER BY rolname`;
/** The groups and whatever can be reached through them, each with what no agent may come to have. */
const REACH = `
  WITH RECURSIVE reach (oid) AS (
    SELECT oid FROM pg_roles WHERE rolname = ANY ($1)
    UNION
    SELECT pg_auth_members.roleid FROM pg_auth_members JOIN reach ON pg_auth_members.member = reach.oid
  )
  SELECT rolname AS name,
    rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls OR rolcanlogin
      OR starts_with(rolname, 'pg_') AS is_refused
  FROM reach JOIN pg_roles USING (oid)`;
/** The groups of a role, and whether we are in them. */
const GROUPS = `
  SELECT rolname AS name, pg_has_role(rolname, 'MEMBER') AS is_mine
  FROM pg_auth_members JOIN pg_roles ON pg_roles.oid = pg_auth_members.roleid
  WHERE pg_auth_members.member = (SELECT oid FROM pg_roles WHERE rolname = $1) ORDER BY rolname LIMIT 1`;
const TERMINATE = "SELECT pg_terminate_backend(pid, $2) FROM pg_stat_activity WHERE usename = $1";

/** Whose a role is. */
export interface RoleOwner {
  /** SPIFFE ID of the server that made it. */
  readonly deployment: string;
  readonly upstream: string;
  readonly instanceId: string;
  readonly template: string;
}

/** A role of this deployment as the database has it. */
export interface FoundRole extends RoleOwner {
  readonly name: string;
  /** Its groups, in any order. */
  readonly memberOf: readonly string[];
  /** Unix seconds; null for one that somebody made endless. */
  readonly validUntil: number | null;
}

/** A role to be made, or to be given a new password. */
export interface NewRole {
  readonly owner: RoleOwner;
  readonly memberOf: readonly string[];
  readonly connections: number;
  /** As `scramVerifierOf` gives it. */
  readonly verifier: string;
  /** Unix seconds. */
  readonly validUntil: number;
}

/** One for each instance and template; at most 62 bytes of `[a-z0-9_]`. */
export function roleNameOf({ instanceId, template }: Pick<RoleOwner, "instanceId" | "template">): string {
  return `${PREFIX}${instanceId.replace(/^inst-/, "").toLowerCase()}_${template}`;
}

/** What a server keeps of a password (RFC 5803). @param password - ASCII. */
export function scramVerifierOf(password: string, salt: Uint8Array): string {
  const salted = pbkdf2Sync(password, salt, SCRAM_ITERATIONS, SCRAM_BYTES, "sha256");
  const mac = (text: string) => createHmac("sha256", salted).update(text).digest();
  const stored = createHash("sha256").update(mac("Client Key")).digest();
  const keys = `${encodeBase64(stored)}:${encodeBase64(mac("Server Key"))}`;
  return `SCRAM-SHA-256$${SCRAM_ITERATIONS}:${encodeBase64(salt)}$${keys}`;
}

/**
 * Makes a login role, a member of the template's groups and nothing more; one that is there gets a new password.
 *
 * @throws TrustWardenError `role_template_refused` where a group is not there, can log in, or leads to a privilege over
 *   the whole server; `secret_conflict` for a role of that name which is not this one.
 */
export async function createRole(client: Client, role: NewRole): Promise<void> {
  await inTransaction(client, async () => {
    await requireHarmless(client, role.memberOf);
    const comment = formatOwner(role.owner);
    const name = escapeIdentifier(roleNameOf(role.owner));
    const { rows } = await client.query<{ comment: string | null }>(FIND, [roleNameOf(role.owner)]);
    const [found] = rows;
    if (found !== undefined && found.comment !== comment) throw new TrustWardenError("secret_conflict");
    const until = escapeLiteral(new Date(role.validUntil * 1000).toISOString());
    const login = `CONNECTION LIMIT ${role.connections} LOGIN PASSWORD ${escapeLiteral(role.verifier)} VALID UNTIL ${until}`;
    if (found !== undefined) return void (await client.query(`ALTER ROLE ${name} ${login}`));
    const groups = role.memberOf.map(escapeIdentifier).join(", ");
    const powers = "NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS INHERIT";
    await client.query(`CREATE ROLE ${name} ${powers} ${login} IN ROLE ${groups}`);
    await client.query(`COMMENT ON ROLE ${name} IS ${escapeLiteral(comment)}`);
  });
}

/** Every role that this deployment made for an upstream. */
export async function listRoles(
  client: Client,
  { deployment, upstream }: Pick<RoleOwner, "deployment" | "upstream">,
): Promise<readonly FoundRole[]> {
  const { rows } = await client.query<{
    name: string;
    comment: string | null;
    until: number | null;
    member_of: string[];
  }>(LIST, [PREFIX]);
  return rows.flatMap(({ name, comment, until, member_of: memberOf }) => {
    const owner = parseOwner(comment ?? "");
    const isOurs =
      owner?.deployment === deployment && owner.upstream === upstream && roleNameOf(owner) === name;
    return isOurs ? [{ ...owner, name, memberOf, validUntil: until }] : [];
  });
}

/**
 * Ends a role: it logs in no more, its sessions end, what it owns goes to a group of its template, and it is dropped. Never
 * to the administrator: a function that its maker lets run with its owner's rights (`SECURITY DEFINER`) would then run
 * with the administrator's. Each step holds by itself, so that a failure in a later one leaves a role that cannot be used. Of
 * two servers that do it at once one fails, and finds nothing the next time.
 *
 * @returns whether it was there.
 */
export async function dropRole(client: Client, role: string): Promise<boolean> {
  const { rows } = await client.query(FIND, [role]);
  if (rows.length === 0) return false;
  const name = escapeIdentifier(role);
  await client.query(`ALTER ROLE ${name} NOLOGIN`);
  // Whoever is a member may end the sessions, and take over what is left.
  await client.query(`GRANT ${name} TO CURRENT_USER`);
  await client.query(TERMINATE, [role, TERMINATION_MS]);
  await inTransaction(client, async () => {
    await bequeath(client, role);
    // What no group took, and every right that the role was given.
    await client.query(`DROP OWNED BY ${name}`);
    await client.query(`DROP ROLE ${name}`);
  });
  return true;
}

/** Gives what a role owns to a group of its own, so that its heirs can do with it what it could, and no more. */
async function bequeath(client: Client, role: string): Promise<void> {
  const { rows } = await client.query<{ name: string; is_mine: boolean }>(GROUPS, [role]);
  const [group] = rows;
  if (group === undefined) return;
  const heir = escapeIdentifier(group.name);
  // PostgreSQL lets only a member of both give from one to the other.
  if (!group.is_mine) await client.query(`GRANT ${heir} TO CURRENT_USER`);
  await client.query(`REASSIGN OWNED BY ${escapeIdentifier(role)} TO ${heir}`);
  if (!group.is_mine) await client.query(`REVOKE ${heir} FROM CURRENT_USER`);
}

async function requireHarmless(client: Client, groups: readonly string[]): Promise<void> {
  const { rows } = await client.query<{ name: string; is_refused: boolean }>(REACH, [[...groups]]);
  const isWhole = groups.every((group) => rows.some(({ name }) => name === group));
  if (!isWhole || rows.some((row) => row.is_refused)) throw new TrustWardenError("role_template_refused");
}

async function inTransaction(client: Client, work: () => Promise<void>): Promise<void> {
  await client.query("BEGIN");
  try {
    await work();
    await client.query("COMMIT");
  } catch (error) {
    // Where even this fails the connection is gone, and the transaction with it.
    await client.query("ROLLBACK").catch(() => undefined);
    throw error;
  }
}

function formatOwner({ deployment, upstream, instanceId, template }: RoleOwner): string {
  return formatCanonicalJson({ deployment, upstream, instance: instanceId, template });
}

/** Undefined for a role that somebody else made. */
function parseOwner(comment: string): RoleOwner | undefined {
  try {
    const json = parseJson(comment, MAX_COMMENT_CHARS);
    if (!isJsonObject(json)) return undefined;
    const { deployment, upstream, instance, template } = json;
    const texts = [deployment, upstream, instance, template].filter((text) => typeof text === "string");
    const [first, second, third, fourth] = texts;
    if (first === undefined || second === undefined || third === undefined || fourth === undefined)
      return undefined;
    return { deployment: first, upstream: second, instanceId: third, template: fourth };
  } catch (error) {
    // Safe: a comment that is not ours names no role of ours, and such a role is left alone.
    if (error instanceof TrustWardenError) return undefined;
    throw error;
  }
}
