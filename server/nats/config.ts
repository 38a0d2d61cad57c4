/**
 * Which NATS carries the notices of servers that share a store.
 *
 * Passwords and keys are in files of their own, never in a setting. Beyond this machine it goes over TLS; there is no setting
 * against it.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { z } from "zod";
import { isLoopback } from "../loopback.ts";

const PLACE = /^(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:]{2,39}\]):[1-9][0-9]{0,4}$/;
/** Words of a subject, without wildcards. */
const SUBJECT = /^[A-Za-z0-9_-]{1,64}(?:\.[A-Za-z0-9_-]{1,64}){0,7}$/;

const path = z.string().min(1).max(4096);

/** Of `state.notices` in the configuration. */
export const natsSettings = z
  .strictObject({
    kind: z.literal("nats"),
    servers: z
      .array(z.string().regex(PLACE))
      .min(1)
      .max(16)
      .describe("host:port of each, any of which will do"),
    subject: z.string().regex(SUBJECT).default("trustwarden").describe("what goes over it is below this"),
    user: z.string().min(1).max(255).optional(),
    passwordFile: path.optional(),
    credentialsFile: path.optional().describe("a user's JWT and seed, as `nsc` makes them"),
    tls: z
      .strictObject({ caFile: path, certFile: path.optional(), keyFile: path.optional() })
      .refine(({ certFile, keyFile }) => (certFile === undefined) === (keyFile === undefined), {
        message: "a certificate and its key come together",
      })
      .optional(),
  })
  .refine(({ user, passwordFile }) => (user === undefined) === (passwordFile === undefined), {
    message: "a user and its password come together",
  })
  .refine(({ user, credentialsFile }) => user === undefined || credentialsFile === undefined, {
    message: "either a password or credentials",
  });

export type NatsSettings = z.output<typeof natsSettings>;

/** @throws TrustWardenError `config_invalid` for a server beyond this machine without TLS. */
export function requireProtectedNats({ servers, tls }: Pick<NatsSettings, "servers" | "tls">): void {
  if (tls !== undefined || servers.every((server) => isLoopback(hostOf(server)))) return;
  const reason = "NATS is not on this machine";
  throw new TrustWardenError("config_invalid", { setting: "state.notices.tls", reason });
}

function hostOf(server: string): string {
  return server.slice(0, server.lastIndexOf(":")).replace(/^\[|\]$/g, "");
}
