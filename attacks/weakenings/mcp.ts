/** Weakenings of the MCP gateway. */
import type { SourceEdit } from "../source-edit.ts";

/** Edits by name. */
export const MCP_WEAKENINGS = {
  "changed-tools-usable": [
    {
      file: "server/gateway/mcp/catalogues.ts",
      find: "return approved !== null && approved.sha256 === seen?.sha256;",
      replace: "return approved !== null && seen !== undefined;",
    },
  ],
  "tools-of-a-family": [
    {
      file: "core/gateway/plan-mcp.ts",
      find: "export function toolAction(upstream: string, tool: string, readOnly: boolean): ActionName {",
      replace:
        'export function toolAction(upstream: string, tool: string, readOnly: boolean): ActionName { upstream = upstream.replace("-shadow", "");',
    },
  ],
  "rpc-ids-as-they-come": [
    {
      file: "server/gateway/mcp/perform.ts",
      find: "const ownId = call.caller.intent.intent.event_id;",
      replace: "const ownId = String(message.id);",
    },
  ],
  "climbing-names": [
    {
      file: "core/gateway/mcp/names.ts",
      find: 'return !text.split(/[:/?#]/).some((part) => part === "." || part === "..");',
      replace: "return true;",
    },
  ],
  "templates-as-patterns": [
    {
      file: "core/gateway/mcp/uri-template.ts",
      find: "const parts = template.split(EXPRESSION);",
      replace:
        "const parts = template.split(EXPRESSION); if (parts.length > 0) return new RegExp('^' + template.replaceAll(/\\{[^{}]*\\}/g, '([A-Za-z0-9_.~-]+)') + '$').test(uri);",
    },
  ],
  "sessions-for-everybody": [
    {
      file: "server/gateway/mcp/dialogues.ts",
      find: "function keyOf(upstream: string, instanceId: string, sessionId: string | null): string {",
      replace:
        'function keyOf(upstream: string, instanceId: string, sessionId: string | null): string { instanceId = sessionId === null ? instanceId : "";',
    },
  ],
  "servers-without-walls": [
    {
      file: "server/gateway/mcp/stdio-process.ts",
      find: 'return manifest.sandbox === "none"',
      replace: 'return manifest.command !== ""',
    },
  ],
  "members-by-the-last-mark": [
    {
      file: "core/gateway/mcp/aggregate.ts",
      find: "return { member: text.slice(0, at), rest: text.slice(at + mark.length) };",
      replace:
        'const parts = text.split(mark); return { member: parts.at(-2) ?? "", rest: parts.at(-1) ?? "" };',
    },
  ],
} as const satisfies Readonly<Record<string, readonly SourceEdit[]>>;
