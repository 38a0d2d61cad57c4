/**
 * Where agents keep their configuration and their history, in a home and in a working directory; and what each file is.
 *
 * The paths are those that the programs document; a file that is not there is no finding and no failure.
 */
import { basename, dirname } from "node:path";
import type { TextForm } from "./named-values.ts";

/** Below a home. */
export const HOME_PLACES: readonly string[] = [
  ".env",
  ".openclaw/openclaw.json",
  ".openclaw/.env",
  ".openclaw/agents/*/agent/auth-profiles.json",
  ".openclaw/agents/*/agent/models.json",
  ".openclaw/agents/*/agent/auth.json",
  ".openclaw/credentials/*.json",
  ".openclaw/secrets.json",
  ".clawdbot/clawdbot.json",
  ".moltbot/moltbot.json",
  ".claude.json",
  ".claude/.credentials.json",
  ".claude/settings.json",
  ".claude/settings.local.json",
  ".config/Claude/claude_desktop_config.json",
  "Library/Application Support/Claude/claude_desktop_config.json",
  ".cursor/mcp.json",
  ".codeium/windsurf/mcp_config.json",
  ".config/Code/User/mcp.json",
  ".config/Code/User/settings.json",
  ".config/Code/User/profiles/*/mcp.json",
  ".config/Code - Insiders/User/mcp.json",
  ".config/Cursor/User/settings.json",
  "Library/Application Support/Code/User/mcp.json",
  "Library/Application Support/Code/User/settings.json",
  ".config/Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json",
  ".config/Code/User/globalStorage/rooveterinaryinc.roo-cline/settings/mcp_settings.json",
  ".copilot/mcp-config.json",
  ".config/github-copilot/apps.json",
  ".config/github-copilot/hosts.json",
  ".gemini/settings.json",
  ".gemini/.env",
  ".gemini/oauth_creds.json",
  ".gemini/mcp-oauth-tokens.json",
  ".gemini/antigravity/mcp_config.json",
  ".codex/auth.json",
  ".codex/.credentials.json",
  ".codex/config.toml",
  ".codex/*.config.toml",
  ".codex/.env",
  ".config/mcp/mcp.json",
  ".config/zed/settings.json",
  ".continue/config.json",
  ".continue/config.yaml",
  ".codeium/mcp_config.json",
  ".config/opencode/opencode.json",
  ".local/share/opencode/auth.json",
  ".config/goose/config.yaml",
  ".config/goose/secrets.yaml",
  ".aws/amazonq/mcp.json",
  ".kiro/settings/mcp.json",
  ".lmstudio/mcp.json",
  ".qwen/settings.json",
  ".aws/credentials",
  ".config/gh/hosts.yml",
  ".config/git/config",
  ".config/git/credentials",
  ".config/pip/pip.conf",
  ".docker/config.json",
  ".gitconfig",
  ".git-credentials",
  ".kube/config",
  ".netrc",
  ".npmrc",
  ".pip/pip.conf",
  ".pypirc",
];

/** Below a working directory. */
export const PROJECT_PLACES: readonly string[] = [
  ".env",
  ".env.*",
  ".mcp.json",
  ".cursor/mcp.json",
  ".vscode/mcp.json",
  ".vscode/settings.json",
  ".claude/settings.json",
  ".claude/settings.local.json",
  ".gemini/settings.json",
  ".gemini/.env",
  ".kiro/settings/mcp.json",
  ".roo/mcp.json",
  ".zed/settings.json",
  ".devcontainer/devcontainer.json",
  "opencode.json",
  "openclaw.json",
  "mcp.json",
  ".codex/config.toml",
  ".envrc",
  ".git/config",
  ".netrc",
  ".npmrc",
  "pip.conf",
  "*compose*.yml",
  "*compose*.yaml",
  "*.ipynb",
];

/** Below a home: what shells and agents remember. */
export const HISTORY_PLACES: readonly string[] = [
  ".bash_history",
  ".zsh_history",
  ".local/share/fish/fish_history",
  ".python_history",
  ".node_repl_history",
  ".psql_history",
  ".codex/history.jsonl",
  ".claude/history.jsonl",
  ".claude/projects/*/*.jsonl",
  ".openclaw/agents/*/sessions/*.jsonl",
];

/** How a program fills in variables when it reads its configuration; `null`: it does not. */
export type VariableReference = (variable: string) => string;

const SHELL_LIKE: VariableReference = (variable) => `\${${variable}}`;
const EDITOR_LIKE: VariableReference = (variable) => `\${env:${variable}}`;

/** What a file is to the program that reads it. */
export interface FileKind {
  readonly form: TextForm;
  /** Absent where the program takes its values literally, or nobody knows which program it is. */
  readonly reference?: VariableReference;
  /** Whose file it is, for people. */
  readonly client?: string;
}

const JSON_KINDS: readonly (FileKind & { readonly path: RegExp })[] = [
  { path: /(?:^|\/)(?:openclaw|clawdbot)\.json$/, form: "json", reference: SHELL_LIKE, client: "OpenClaw" },
  { path: /(?:^|\/)auth-profiles\.json$/, form: "json", client: "OpenClaw's profiles" },
  { path: /(?:^|\/)\.mcp\.json$/, form: "json", reference: SHELL_LIKE, client: "Claude Code" },
  { path: /(?:^|\/)\.claude\.json$/, form: "json", reference: SHELL_LIKE, client: "Claude Code" },
  { path: /(?:^|\/)\.cursor\/mcp\.json$/, form: "json", reference: EDITOR_LIKE, client: "Cursor" },
  {
    path: /(?:^|\/)(?:\.vscode|Code(?: - Insiders)?\/User(?:\/profiles\/[^/]+)?)\/mcp\.json$/,
    form: "json",
    reference: EDITOR_LIKE,
    client: "VS Code",
  },
  { path: /(?:^|\/)windsurf\/mcp_config\.json$/, form: "json", reference: EDITOR_LIKE, client: "Windsurf" },
  { path: /(?:^|\/)claude_desktop_config\.json$/, form: "json", client: "Claude Desktop" },
];
const OTHER_JSON =
  /(?:^|\/)(?:opencode\/auth|github-copilot\/[^/]+|devcontainer|mcp|mcp-config|mcp_config|cline_mcp_settings|mcp_settings|opencode)\.json$|(?:^|\/)\.(?:claude|gemini|vscode|codex|continue|openclaw|moltbot|qwen|kiro|roo|zed|docker)\/(?:.*\/)?[^/]+\.json$|(?:^|\/)(?:Code\/User|Cursor\/User|zed)\/settings\.json$/;
const YAML = /\.ya?ml$|(?:^|\/)\.kube\/config$/;
const INI =
  /(?:^|\/)(?:\.?npmrc|\.yarnrc|\.pypirc|pip\.(?:conf|ini)|\.gitconfig|\.git\/config|\.?git\/config|\.aws\/(?:credentials|config)|\.my\.cnf)$|(?:^|\/)\.codex\/.*\.toml$|(?:^|\/)(?:config|secrets|settings)\.toml$/;
const NETRC = /^[._]netrc$/;
const ENVIRONMENT = /^\.env(?:rc)?$|^\.env(?:\.[A-Za-z0-9_.-]+)?$|^[A-Za-z0-9_.-]+\.env$/;
const SHELL =
  /^(?:\.(?:bash|zsh|sh|psql|python|node_repl)_history|fish_history|\.(?:bash|zsh)rc|\.(?:bash_|zsh)?profile|\.zshenv)$/;

/** What a file is, by its path. */
export function kindOf(path: string): FileKind {
  const slashed = path.replaceAll("\\", "/");
  const known = JSON_KINDS.find((kind) => kind.path.test(slashed));
  if (known !== undefined) return known;
  if (OTHER_JSON.test(slashed)) return { form: "json" };
  if (slashed.endsWith(".ipynb")) return { form: "notebook" };
  if (YAML.test(slashed)) return { form: "yaml" };
  if (INI.test(slashed)) return { form: "ini" };
  const name = basename(slashed);
  if (NETRC.test(name)) return { form: "netrc" };
  if (ENVIRONMENT.test(name)) return { form: "environment" };
  return { form: SHELL.test(name) || dirname(slashed).endsWith("/sessions") ? "shell" : "text" };
}
