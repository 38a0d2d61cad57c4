/** Approvals, labels and the freeze as rows: read alike by the commands and by the plain reads. */
import { isJsonObject, parseJson } from "@trustwarden/core/json.ts";
import type { ApprovalReads, ApprovalState, Freeze } from "./approval-ports.ts";
import type { Row, SqliteDatabase } from "./sqlite-database.ts";

const FIND = "SELECT * FROM approvals WHERE approval_id = ?";
const LIST = "SELECT * FROM approvals WHERE expires_at > ? ORDER BY approval_id DESC LIMIT ?";
const LIST_OF_OWNER = `
  SELECT * FROM approvals WHERE owner_id = ? AND expires_at > ? ORDER BY approval_id DESC LIMIT ?`;
const LABELS = "SELECT label FROM labels WHERE holder = ? ORDER BY label";
const FREEZE = "SELECT reason, since, until FROM freezes";

/** The reads of approvals, labels and the freeze. */
export function createApprovalReads(database: SqliteDatabase): ApprovalReads {
  return {
    findApproval: (id) => findApproval(database, id),
    listApprovals: ({ ownerId, isOpen, now, limit }) => {
      const since = isOpen ? now : 0;
      const rows =
        ownerId === undefined
          ? database.all(LIST, since, limit)
          : database.all(LIST_OF_OWNER, ownerId, since, limit);
      const found = rows.map(parseApprovalRow);
      return isOpen ? found.filter(({ answer }) => answer === null) : found;
    },
    labelsOf: (holder) => database.all(LABELS, holder).map((row) => row.text("label")),
    freeze: () => readFreeze(database),
  };
}

/** One request, whatever became of it. */
export function findApproval(database: SqliteDatabase, id: string): ApprovalState | undefined {
  const row = database.get(FIND, id);
  return row === undefined ? undefined : parseApprovalRow(row);
}

/** The freeze that was set last and not lifted. */
export function readFreeze(database: SqliteDatabase): Freeze | undefined {
  const row = database.get(FREEZE);
  if (row === undefined) return undefined;
  return { reason: row.text("reason"), since: row.integer("since"), until: row.integerOrNull("until") };
}

function parseApprovalRow(row: Row): ApprovalState {
  const request = parseJson(row.text("request"));
  if (!isJsonObject(request)) throw new Error("an approval's request is an object");
  const { reasons } = request;
  const text = (name: string): string => {
    const value = request[name];
    if (typeof value !== "string") throw new Error(`an approval's request has a text ${name}`);
    return value;
  };
  return {
    id: row.text("approval_id"),
    owner: row.text("owner_id"),
    instanceId: row.text("instance_id"),
    agentId: text("agent_id"),
    agent: text("agent"),
    action: text("action"),
    resource: text("resource"),
    audience: text("audience"),
    enforcement: parseEnforcement(text("enforcement")),
    reasons: Array.isArray(reasons) ? reasons.filter((reason) => typeof reason === "string") : [],
    intent_sha256: text("intent_sha256"),
    parameters: text("parameters"),
    policy_sha256: text("policy_sha256"),
    parametersText: row.text("parameters"),
    body: row.textOrNull("body"),
    salt: row.bytes("salt"),
    createdAt: row.integer("created_at"),
    expiresAt: row.integer("expires_at"),
    answer: parseAnswer(row.textOrNull("answer")),
    answeredAt: row.integerOrNull("answered_at"),
    envelope: row.textOrNull("envelope"),
    usedBy: row.textOrNull("used_by"),
  };
}

function parseEnforcement(text: string): ApprovalState["enforcement"] {
  const found = (["gateway", "service", "self"] as const).find((known) => known === text);
  if (found === undefined) throw new Error("an approval's request names where it binds");
  return found;
}

function parseAnswer(text: string | null): ApprovalState["answer"] {
  return text === "approve" || text === "deny" ? text : null;
}
