/** The `policy` section of the server's configuration: whose custom policies are taken, and who may ask from outside. */
import { HTTPS_ORIGIN } from "@trustwarden/core/https-origin.ts";
import { z } from "zod";

const file = z.string().min(1).max(4096);
const port = z.coerce.number().int().min(0).max(65_535);

/** A listener for enforcement points and engines of others, with a certificate of the web. */
const listener = z.strictObject({
  host: z.string().min(1).max(255).default("127.0.0.1"),
  port: port.default(8444),
  certFile: file.describe("PEM: leaf, then intermediates"),
  keyFile: file.describe("PEM, readable by this user alone"),
  url: z
    .string()
    .max(512)
    .regex(HTTPS_ORIGIN)
    .describe("origin by which it is called, where that is another")
    .optional(),
});

/** A thread that gets no time on a busy machine needs longer than the evaluation, which takes microseconds. */
const DEFAULT_DEADLINE_MS = 200;

/** A row of a service's table, as `createRouteTable` takes it. */
const route = z.strictObject({
  method: z.string().max(16),
  path: z.string().max(1024),
  action: z.string().max(1024),
  resource: z.string().max(1024),
});

/** Envoy's external authorization, and what requests mean at each service, by the name of its verifier ticket. */
const envoy = z.strictObject({
  host: z.string().min(1).max(255).default("127.0.0.1"),
  port: port.default(8445),
  services: z.record(z.string().max(128), z.array(route).min(1).max(512)),
});
export type EnvoyConfig = z.output<typeof envoy>;

/** See docs/guides/policy.md. */
export const policySettings = z.strictObject({
  listener: listener.optional(),
  envoy: envoy.optional(),
  /** An OPA on this machine that has its say beside the built-in policy, over its unix socket. */
  opa: z
    .strictObject({
      socket: file,
      deadlineMs: z.number().int().min(10).max(5000).default(DEFAULT_DEADLINE_MS),
    })
    .optional(),
  /** Without an answer of a custom policy by then, the action is denied. */
  deadlineMs: z.number().int().min(10).max(5000).default(DEFAULT_DEADLINE_MS),
  /** Keys that may sign custom policies; a key that is taken off the list is retired. */
  signers: z
    .array(
      z.strictObject({
        id: z.string().regex(/^[A-Za-z0-9._-]{1,64}$/),
        publicKeyFile: file.describe("PEM of a P-256 public key"),
      }),
    )
    .max(16)
    .refine((signers) => new Set(signers.map(({ id }) => id)).size === signers.length, "an id twice")
    .default([]),
});
export type PolicyConfig = z.output<typeof policySettings>;
