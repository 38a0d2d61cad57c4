/**
 * What the operator says about an MCP upstream, parsed: what its tools mean, what its server may ask of clients, and
 * how far its catalogue is trusted. Closed: a misspelt member must not leave a tool in the laxer reading.
 *
 * Nothing here comes from the upstream. Its annotations (`readOnlyHint` and the like) are claims of the party that is
 * being governed and never make a tool's class.
 */
import { Fields } from "../../fields.ts";
import { isJsonObject, type JsonObject } from "../../json.ts";
import type { Disclosure } from "../disclosure.ts";
import { TAINT_LABELS, type TaintLabel } from "../plan.ts";
import { type ActionTemplate, parseActionTemplate } from "./action-template.ts";
import { type LaunchManifest, parseLaunchManifest, WALLED_BY_DEFAULT } from "./launch-manifest.ts";
import { CLIENT_FEATURES, type ClientFeature } from "./methods.ts";
import { parseName } from "./names.ts";

/** More tools than a model can choose between. */
const MAX_TOOLS = 512;
/** An operator who waits longer than this for a changed tool to be noticed does not want to notice. */
const MAX_RECHECK_SECONDS = 3600;
const DEFAULT_RECHECK_SECONDS = 10;
const ENDPOINT = /^(?:\/[A-Za-z0-9._~-]+)*\/?$/;
const CODE = "upstream_malformed";

/** What one tool means. */
export interface ToolSettings {
  /** Null: `call:mcp:<upstream>/<tool>`, or `read:…/tools/<tool>` for a tool that only reads. */
  readonly action: ActionTemplate | null;
  readonly readOnly: boolean;
  readonly reads: readonly TaintLabel[];
  readonly writesOutside: boolean;
}

export interface McpSettings {
  /** How the server is started; null for one that is reached over HTTP. */
  readonly launch: LaunchManifest | null;
  /** Path of the MCP endpoint below the upstream's URL. */
  readonly endpoint: string;
  readonly tools: ReadonlyMap<string, ToolSettings>;
  /** `pinned`: only resources and templates that were approved. `scoped`: whatever the scope covers. */
  readonly resources: "pinned" | "scoped";
  /** Labels that reading a resource brings. */
  readonly resourceReads: readonly TaintLabel[];
  readonly clientFeatures: readonly ClientFeature[];
  /** How old the gateway's last look at the upstream's tools may be when one is called; 0: it looks each time. */
  readonly recheckSeconds: number;
  /** Of messages and their answers. */
  readonly disclose: Disclosure;
}

/** A tool that the settings do not name: what comes back is somebody else's text, what goes out leaves us. */
export const UNNAMED_TOOL: ToolSettings = {
  action: null,
  readOnly: false,
  reads: ["untrusted"],
  writesOutside: true,
};

/** Parsed once for each settings object; settings are never changed in place. */
const parsed = new WeakMap<JsonObject, McpSettings>();

/** @throws TrustWardenError `upstream_malformed`. */
export function parseMcpSettings(json: JsonObject): McpSettings {
  const known = parsed.get(json);
  if (known !== undefined) return known;
  const fields = new Fields(withDefaults(json), CODE, "settings.");
  const settings: McpSettings = {
    launch: json.stdio === undefined ? skip(fields, "stdio") : parseLaunchManifest(fields.object("stdio")),
    endpoint: fields.matching("endpoint", ENDPOINT),
    tools: parseTools(fields),
    resources: fields.oneOf("resources", ["pinned", "scoped"]),
    resourceReads: parseLabels(fields, "resource_reads"),
    clientFeatures: fields
      .texts("client_features")
      .map((name) => CLIENT_FEATURES.find((known) => known === name) ?? fields.refuse("client_features")),
    recheckSeconds: fields.integer("recheck_seconds", MAX_RECHECK_SECONDS),
    disclose: fields.oneOf("disclose", ["none", "full"]),
  };
  fields.end();
  parsed.set(json, settings);
  return settings;
}

/** What a tool means, named or not. */
export function toolSettingsOf(settings: McpSettings, tool: string): ToolSettings {
  return settings.tools.get(tool) ?? UNNAMED_TOOL;
}

function skip(fields: Fields, name: string): null {
  fields.take(name);
  return null;
}

function withDefaults(json: JsonObject): JsonObject {
  return {
    endpoint: "/mcp",
    tools: {},
    resources: "pinned",
    resource_reads: ["untrusted"],
    client_features: [],
    recheck_seconds: DEFAULT_RECHECK_SECONDS,
    disclose: "none",
    ...json,
    ...(isJsonObject(json.stdio) && { stdio: { ...WALLED_BY_DEFAULT, ...json.stdio } }),
  };
}

function parseTools(fields: Fields): ReadonlyMap<string, ToolSettings> {
  const json = fields.json("tools");
  const names = Object.keys(json);
  if (names.length > MAX_TOOLS) fields.refuse("tools");
  const tools = new Fields(json, CODE, "settings.tools.");
  return new Map(names.map((name) => [parseName(name), parseTool(tools, name)]));
}

function parseTool(tools: Fields, name: string): ToolSettings {
  const json = tools.json(name);
  const readOnly = json.read_only === true;
  const tool = new Fields(
    {
      read_only: false,
      action: null,
      reads: [...UNNAMED_TOOL.reads],
      writes_outside: !readOnly,
      ...json,
    },
    CODE,
    `settings.tools.${name}.`,
  );
  const action = tool.textOrNull("action");
  const settings: ToolSettings = {
    action: action === null ? null : parseActionTemplate(action),
    readOnly: tool.boolean("read_only"),
    reads: parseLabels(tool, "reads"),
    writesOutside: tool.boolean("writes_outside"),
  };
  tool.end();
  // Two ways to say what a tool is would leave open which one holds.
  if (settings.action !== null && settings.readOnly) tool.refuse("read_only");
  return settings;
}

function parseLabels(fields: Fields, name: string): readonly TaintLabel[] {
  return fields
    .texts(name)
    .map((label) => TAINT_LABELS.find((known) => known === label) ?? fields.refuse(name));
}
