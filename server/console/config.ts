/** Settings of the console. */
import { z } from "zod";
import { isLoopback } from "../loopback.ts";
import { identityProviders } from "./oidc/config.ts";

/** Plain HTTP only to this machine, by name: browsers bind passkeys to names. */
const ORIGIN =
  /^(?:https:\/\/[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|http:\/\/localhost)(?::[1-9][0-9]{0,4})?$/;

const directory = z.string().min(1).max(4096);

/** `console` in the configuration. */
export const consoleSettings = z
  .strictObject({
    host: z.string().min(1).max(255).default("127.0.0.1"),
    port: z.coerce.number().int().min(0).max(65_535).default(7446),
    /** What browsers call it by, when that is not `localhost` and the port. */
    origin: z.string().max(512).regex(ORIGIN).optional(),
    /** Where nobody does alone what needs a second admin: in the console, or at the admin socket too. */
    secondAdmin: z.enum(["console", "everywhere"]).default("console"),
    /** Lines of everybody's events, agents and owners that one person reads alone in a day. See docs/decisions/0107. */
    linesPerDay: z.coerce.number().int().min(100).max(1_000_000_000).default(20_000),
    /** By which people may sign in, beside their passkeys. See docs/guides/people.md. */
    identityProviders: identityProviders.default([]),
    tls: z.strictObject({ certFile: directory, keyFile: directory }).optional(),
  })
  .refine(({ host, tls }) => isLoopback(host) || tls !== undefined, {
    path: ["tls"],
    message: "beyond this machine the console needs a certificate",
  })
  .refine(({ origin, tls }) => origin === undefined || origin.startsWith("https:") === (tls !== undefined), {
    path: ["origin"],
    message: "the origin's scheme is https exactly where there is a certificate",
  });

export type ConsoleSettings = Readonly<z.output<typeof consoleSettings>>;
