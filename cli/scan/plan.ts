/**
 * What can be done about a file's secrets without asking further: which go to the broker, as which upstream, and which
 * stretches of the file change. Pure: it reads no file and asks no server.
 *
 * Moved is what an agent reaches over the gateway afterwards by an address that its own configuration can name. Everything
 * else stays as it is, with the reason: a broker gives no value back, so a program that needs the value itself would break.
 */
import type { Finding } from "./finding.ts";
import { type JsonString, readJsonStrings } from "./json-strings.ts";
import { kindOf } from "./places.ts";
import { planMcpServer } from "./plan-mcp.ts";
import {
  addressVariableOf,
  adviceFor,
  type Edit,
  type Move,
  type Planned,
  type PlannedFile,
  replaceSecret,
  shownAddress,
  upstreamNameOf,
} from "./planned.ts";
import { injectionOf, type ModelUpstream } from "./providers.ts";

/** A configuration holds a few; each is planned against the whole file. */
const MAX_PLANNED = 200;

/** Plans for the findings of one text, in their order. */
export function planText(
  text: string,
  findings: readonly Finding[],
  mask: (value: string) => string,
): readonly Planned[] {
  const [first] = findings;
  if (first === undefined) return [];
  const { place } = first;
  if (place.kind !== "file") return findings.map((finding) => ({ finding, why: whyNotHere(finding) }));
  if (findings.length > MAX_PLANNED)
    return findings.map((finding) => ({ finding, why: "too many in one file: it is no configuration" }));
  const kind = kindOf(place.path);
  const strings = kind.form === "json" ? readJsonStrings(text).strings : [];
  const file: PlannedFile = { text, kind, strings, findings, mask };
  return findings.map((finding) => planOne(file, finding));
}

function whyNotHere({ place }: Finding): string {
  return place.kind === "git"
    ? "it is in the history for good: replace it at its issuer"
    : "it is in a process: replace it at its issuer, and start the agent with `warden run`";
}

function planOne(file: PlannedFile, finding: Finding): Planned {
  switch (file.kind.form) {
    case "environment":
      return planVariable(file, finding);
    case "json":
      return planMember(file, finding);
    case "shell":
      return {
        finding,
        why: "a history is rewritten by nobody: replace it at its issuer, then clear the history",
      };
    case "yaml":
    case "ini":
    case "netrc":
    case "notebook":
    case "text":
      return { finding, why: adviceFor(finding) };
  }
}

/** `OPENAI_API_KEY=…`: the launcher sets the address and the placeholder, which this line may not contradict. */
function planVariable(file: PlannedFile, finding: Finding): Planned {
  const { provider, name = "" } = finding;
  const upstream = provider?.upstream;
  if (provider === undefined || upstream === undefined || provider.names?.test(name) !== true)
    return { finding, why: adviceFor(finding) };
  const address = addressVariableOf(provider.id);
  if (new RegExp(`^[ \\t]*(?:export[ \\t]+)?(?:${address}|OPENAI_API_BASE)[ \\t]*=`, "m").test(file.text))
    return { finding, why: `the file sends it to an address of its own (${address}): register that by hand` };
  return moveModel(file, finding, { name: provider.id, upstream, edits: [] });
}

function planMember(file: PlannedFile, finding: Finding): Planned {
  const member = file.strings.find(({ start, end }) => start <= finding.start && finding.end <= end);
  if (member === undefined) return { finding, why: adviceFor(finding) };
  if (member.raw.includes("\\")) return { finding, why: "it is written with escapes" };
  const { path } = member;
  const server = path.findIndex((key, index) => isServerList(path, key, index));
  if (server !== -1) return planMcpServer(file, finding, { member, server: path.slice(0, server + 2) });
  if (path.length === 4 && path[0] === "models" && path[1] === "providers" && path[3] === "apiKey")
    return planOpenClaw(file, finding, member);
  if (path[0] === "env") return planEnvironmentBlock(file, finding, path);
  return { finding, why: adviceFor(finding) };
}

function isServerList(path: readonly string[], key: string, index: number): boolean {
  if (path.length < index + 3) return false;
  return key === "mcpServers" || (key === "servers" && (index === 0 || path[index - 1] === "mcp"));
}

/** The block of variables that OpenClaw and Claude Code set for themselves, where they are not set yet. */
function planEnvironmentBlock(file: PlannedFile, finding: Finding, path: readonly string[]): Planned {
  const { provider } = finding;
  const upstream = provider?.upstream;
  if (provider === undefined || upstream === undefined || provider.names?.test(path.at(-1) ?? "") !== true)
    return { finding, why: adviceFor(finding) };
  const address = addressVariableOf(provider.id);
  const isElsewhere = file.strings.some(({ path: other }) => other[0] === "env" && other.at(-1) === address);
  if (isElsewhere)
    return { finding, why: `the file sends it to an address of its own (${address}): register that by hand` };
  return moveModel(file, finding, { name: provider.id, upstream, edits: [] });
}

/** `models.providers.<id>` of OpenClaw: key and address are members beside each other. */
function planOpenClaw(file: PlannedFile, finding: Finding, { path, end }: JsonString): Planned {
  const { reference } = file.kind;
  const id = path[2] ?? "";
  const sibling = (name: string) =>
    file.strings.find(
      ({ path: other }) => other.length === 4 && other[2] === id && other[3] === name && other[1] === path[1],
    );
  const base = sibling("baseUrl");
  const upstream = modelUpstreamOf(finding, base?.raw, sibling("api")?.raw);
  if (reference === undefined || upstream === undefined) return { finding, why: adviceFor(finding) };
  const { provider } = finding;
  const isOwn = provider?.upstream?.url === upstream.url;
  const name = isOwn && provider !== undefined ? provider.id : upstreamNameOf(id);
  // The vendors' own variables lead to the dialect's first segment; ours to the upstream.
  const isVendor = name === "openai" || name === "anthropic";
  const replacement = `${reference(addressVariableOf(name))}${upstream.kind === "anthropic" || isVendor ? "" : "/v1"}`;
  const edit: Edit =
    base === undefined
      ? { start: end + 1, end: end + 1, replacement: `, "baseUrl": "${replacement}"`, before: "" }
      : { start: base.start, end: base.end, replacement, before: shownAddress(base.raw) };
  return moveModel(file, finding, { name, upstream, edits: [edit] });
}

function modelUpstreamOf(
  { provider }: Finding,
  base: string | undefined,
  dialect: string | undefined,
): ModelUpstream | undefined {
  const own = provider?.upstream;
  const kind =
    dialect?.startsWith("anthropic") === true ? "anthropic" : (own?.kind ?? kindOfDialect(dialect));
  if (kind === undefined) return undefined;
  if (base === undefined) return own;
  const url = base.replace(/\/+$/, "").replace(/\/v1$/, "");
  return url.startsWith("https://") && !/[?#@$]/.test(url) ? { kind, url } : undefined;
}

function kindOfDialect(dialect: string | undefined): "openai" | undefined {
  return dialect?.startsWith("openai-") === true ? "openai" : undefined;
}

function moveModel(
  { mask }: PlannedFile,
  finding: Finding,
  {
    name,
    upstream,
    edits,
  }: { readonly name: string; readonly upstream: ModelUpstream; readonly edits: readonly Edit[] },
): Move {
  return {
    finding,
    upstream: { name, ...upstream, settings: {} },
    injection: injectionOf(upstream),
    edits: [replaceSecret(finding, mask), ...edits],
  };
}
