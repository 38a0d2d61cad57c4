/**
 * Whose credential a found secret is, and what stands in its place when the broker keeps it.
 *
 * The table is data: forms of keys as their issuers publish them, the names that their clients read, and the address that
 * a key of theirs goes to. A row without an upstream says what else ends the need for the key.
 */
import type { JsonObject } from "@trustwarden/core/json.ts";

/** A model API: its key can be moved without a further question. */
export interface ModelUpstream {
  readonly kind: "openai" | "anthropic";
  /** Base without the dialect's own first segment. */
  readonly url: string;
}

/** Whose key it is. */
export interface Provider {
  readonly id: string;
  /** How its keys look, wherever they stand. Each is linear: no pattern repeats a repetition. */
  readonly form?: RegExp;
  /** Variables and members that its clients read. */
  readonly names?: RegExp;
  readonly upstream?: ModelUpstream;
  /** What the broker can do for it by hand, or what needs no key at all. */
  readonly advice: string;
}

const BEARER: JsonObject = { as: "header", name: "authorization", template: "Bearer {secret}" };
const INJECTIONS: Readonly<Record<ModelUpstream["kind"], JsonObject>> = {
  openai: BEARER,
  anthropic: { as: "header", name: "x-api-key", template: "{secret}" },
};

const HTTP = "an http upstream with its routes: `warden upstream set --kind http --secret`";
const WORKLOAD_FEDERATION = "no key at all: workload identity federation gives short-lived ones";
const MODEL = "a model upstream: `warden scan --fix` moves it";

const openai = (url: string): Pick<Provider, "upstream" | "advice"> => ({
  upstream: { kind: "openai", url },
  advice: MODEL,
});

/** Longer prefixes of one family stand before shorter ones: the first that fits is taken. */
export const PROVIDERS: readonly Provider[] = [
  {
    id: "anthropic",
    form: /\bsk-ant-(?:api|admin|oat)\d{2}-[A-Za-z0-9_-]{32,256}/g,
    names: /^ANTHROPIC_(?:API_KEY|AUTH_TOKEN)$/,
    upstream: { kind: "anthropic", url: "https://api.anthropic.com" },
    advice: MODEL,
  },
  {
    id: "openrouter",
    form: /\bsk-or-v1-[0-9a-f]{32,128}/g,
    names: /^OPENROUTER_API_KEY$/,
    ...openai("https://openrouter.ai/api"),
  },
  {
    id: "openai",
    form: /\bsk-(?:proj-|svcacct-|admin-|None-)?(?!ant-|or-v1-|proj-|svcacct-|lf-)[A-Za-z0-9][A-Za-z0-9_-]{31,255}/g,
    names: /^OPENAI_API_KEY$/,
    ...openai("https://api.openai.com"),
  },
  {
    id: "groq",
    form: /\bgsk_[A-Za-z0-9]{40,128}/g,
    names: /^GROQ_API_KEY$/,
    ...openai("https://api.groq.com/openai"),
  },
  { id: "mistral", names: /^MISTRAL_API_KEY$/, ...openai("https://api.mistral.ai") },
  { id: "deepseek", names: /^DEEPSEEK_API_KEY$/, ...openai("https://api.deepseek.com") },
  { id: "xai", form: /\bxai-[A-Za-z0-9]{40,128}/g, names: /^XAI_API_KEY$/, ...openai("https://api.x.ai") },
  { id: "together", names: /^TOGETHER_API_KEY$/, ...openai("https://api.together.xyz") },
  {
    id: "google-ai",
    form: /\bAIza[A-Za-z0-9_-]{35}/g,
    names: /^(?:GEMINI|GOOGLE|GOOGLE_GENERATIVE_AI)_API_KEY$/,
    advice: HTTP,
  },
  {
    id: "huggingface",
    form: /\bhf_[A-Za-z0-9]{30,64}/g,
    names: /^(?:HF_TOKEN|HUGGINGFACE_API_KEY|HUGGING_FACE_HUB_TOKEN)$/,
    advice: HTTP,
  },
  {
    id: "github",
    form: /\b(?:gh[opsur]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255})/g,
    names: /^(?:GITHUB|GH)_(?:TOKEN|PAT|PERSONAL_ACCESS_TOKEN)$/,
    advice: `${HTTP}, or GitHub's MCP server as an mcp upstream; commits need no key: \`warden git-sign\``,
  },
  { id: "gitlab", form: /\bgl(?:pat|dt|rt)-[A-Za-z0-9_-]{20,64}/g, names: /^GITLAB_TOKEN$/, advice: HTTP },
  {
    id: "slack",
    form: /\bxox[abeoprs]-[A-Za-z0-9-]{20,255}|\bxapp-[A-Za-z0-9-]{20,255}/g,
    names: /^SLACK_(?:BOT_|APP_)?TOKEN$/,
    advice: HTTP,
  },
  {
    id: "stripe",
    form: /\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,255}/g,
    names: /^STRIPE_(?:API|SECRET)_KEY$/,
    advice: HTTP,
  },
  {
    id: "sendgrid",
    form: /\bSG\.[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,64}/g,
    names: /^SENDGRID_API_KEY$/,
    advice: HTTP,
  },
  { id: "notion", form: /\bntn_[A-Za-z0-9]{40,64}/g, names: /^NOTION_(?:API_KEY|TOKEN)$/, advice: HTTP },
  { id: "linear", form: /\blin_(?:api|oauth)_[A-Za-z0-9]{32,64}/g, names: /^LINEAR_API_KEY$/, advice: HTTP },
  { id: "telegram", form: /\b\d{8,10}:AA[A-Za-z0-9_-]{33}\b/g, names: /^TELEGRAM_BOT_TOKEN$/, advice: HTTP },
  {
    id: "npm",
    form: /\bnpm_[A-Za-z0-9]{36}\b/g,
    names: /^NPM_TOKEN$/,
    advice: "no key at all: trusted publishing from CI",
  },
  {
    id: "pypi",
    form: /\bpypi-[A-Za-z0-9_-]{50,512}/g,
    advice: "no key at all: trusted publishing from CI",
  },
  {
    id: "aws",
    form: /\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/g,
    names: /^AWS_(?:ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN)$/,
    advice: WORKLOAD_FEDERATION,
  },
  { id: "gcp", names: /^GOOGLE_(?:CREDENTIALS|SERVICE_ACCOUNT_KEY)$/, advice: WORKLOAD_FEDERATION },
  { id: "azure", names: /^AZURE_CLIENT_SECRET$/, advice: WORKLOAD_FEDERATION },
  {
    id: "vault",
    form: /\bhv[bsr]\.[A-Za-z0-9_-]{24,512}/g,
    names: /^VAULT_TOKEN$/,
    advice: "no key at all: `warden secret import --vault` brings what it opens",
  },
  {
    id: "postgresql",
    form: /\bpostgres(?:ql)?:\/\/[^\s/:@"'<>$]{1,128}:[^\s/@"'<>$]{1,256}@[^\s"'<>]{1,512}/g,
    names: /^PGPASSWORD$/,
    advice: "a postgresql upstream, whose roles live as long as the agent: `docs/guides/databases.md`",
  },
  {
    id: "private-key",
    form: /-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----(?:\\n|[\sA-Za-z0-9+/=]){64,16384}?-----END/g,
    advice: "an SVID, whose key stays in its process",
  },
  {
    id: "trustwarden",
    form: /\btw[gjr]?1\.[A-Za-z0-9_-]{32,4096}/g,
    names: /^TRUSTWARDEN_TICKET$/,
    advice: "a fresh ticket for each agent; it counts once and for minutes",
  },
];

/** What a secret of nobody known can become. */
export const UNKNOWN_ADVICE =
  "an upstream of the broker, where it goes over HTTP: `warden secret put --help`";

/** How a model API wants its key. */
export function injectionOf({ kind }: ModelUpstream): JsonObject {
  return INJECTIONS[kind];
}

/** By its form, else by the name that it stands under. */
export function findProvider(value: string, name: string | undefined): Provider | undefined {
  return (
    PROVIDERS.find(({ form }) => form !== undefined && new RegExp(`^(?:${form.source})$`).test(value)) ??
    PROVIDERS.find(({ names }) => name !== undefined && names?.test(variableOf(name)) === true)
  );
}

/** A member's name as a variable is written: `apiKey` and `x-api-key` become `API_KEY` and `X_API_KEY`. */
export function variableOf(name: string): string {
  return name
    .replaceAll(/([a-z0-9])([A-Z])/g, "$1_$2")
    .replaceAll(/[^A-Za-z0-9]+/g, "_")
    .toUpperCase();
}
