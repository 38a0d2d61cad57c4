/**
 * Where events go besides the ledger: the operator's own endpoints, named in `server.json`.
 *
 * Nothing from an agent or owner reaches an address here. Secrets are in files of their own, never in a setting.
 */
import { z } from "zod";
import { EVENT_TYPES } from "../ssf/security-event.ts";

/** Also the name of the sink's cursor file. */
const NAME = /^[a-z0-9][a-z0-9-]{0,62}$/;
const HOST = /^[A-Za-z0-9.:-]{1,253}$/;
/** No user name or password: they would be in every log of the way. */
const HTTPS_URL = /^https:\/\/[A-Za-z0-9.:[\]-]{1,253}(?:\/[\x21-\x7e]{0,1024})?$/;

const path = z.string().min(1).max(4096);
const name = z.string().regex(NAME);
const beginning = z.enum(["start", "now"]);
const begin = beginning.default("start");
const timeoutMs = z.number().int().min(100).max(60_000).default(10_000);

const webhook = z.strictObject({
  kind: z.literal("webhook"),
  name,
  url: z.string().regex(HTTPS_URL),
  format: z.enum(["jsonl", "ocsf", "cloudevents", "otel"]).default("jsonl"),
  /** `whsec_` and base64 of 24 to 64 bytes, as Standard Webhooks has it; the file is private to the server. */
  secretFile: path.optional(),
  /** Shows the server's own SVID to the endpoint. */
  svid: z.boolean().default(false),
  /** PEM of the authorities to believe instead of the system's. */
  caFile: path.optional(),
  begin,
  timeoutMs,
});

const syslog = z.strictObject({
  kind: z.literal("syslog"),
  name,
  host: z.string().regex(HOST),
  port: z.number().int().min(1).max(65_535),
  /** Off only for a collector on this machine, or a network that the operator trusts. */
  tls: z.boolean().default(true),
  format: z.enum(["jsonl", "ocsf", "cloudevents"]).default("jsonl"),
  svid: z.boolean().default(false),
  caFile: path.optional(),
  begin,
  timeoutMs,
});

/** A receiver of security events (OpenID Shared Signals Framework), by push; its stream is this setting. */
const ssf = z.strictObject({
  kind: z.literal("ssf"),
  name,
  url: z.string().regex(HTTPS_URL),
  /** `aud` of what it is sent, as agreed with the receiver. */
  audience: z.string().regex(/^[\x21-\x7e]{1,512}$/),
  events: z
    .array(z.enum(EVENT_TYPES))
    .min(1)
    .max(EVENT_TYPES.length)
    .default([...EVENT_TYPES]),
  svid: z.boolean().default(false),
  caFile: path.optional(),
  begin: beginning.default("now"),
  timeoutMs,
});

/** Up to 16 sinks, each under a name of its own. */
export const sinkSettings = z
  .array(z.discriminatedUnion("kind", [webhook, syslog, ssf]))
  .max(16)
  .refine((sinks) => new Set(sinks.map((sink) => sink.name)).size === sinks.length, "two sinks of one name");

export type SinkSettings = z.output<typeof sinkSettings>[number];
export type WebhookSettings = Extract<SinkSettings, { kind: "webhook" }>;
export type SsfSettings = Extract<SinkSettings, { kind: "ssf" }>;
export type SyslogSettings = Extract<SinkSettings, { kind: "syslog" }>;
