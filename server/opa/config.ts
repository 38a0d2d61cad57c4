/** The `policy` section of the server's configuration: whose custom policies are taken, and who may ask from outside. */
import { z } from "zod";

const file = z.string().min(1).max(4096);
const port = z.coerce.number().int().min(0).max(65_535);

/** A listener for enforcement points and engines of others, with a certificate of the web. */
const listener = z.strictObject({
  host: z.string().min(1).max(255).default("127.0.0.1"),
  port: port.default(8444),
  certFile: file.describe("PEM: leaf, then intermediates"),
  keyFile: file.describe("PEM, readable by this user alone"),
});

/** See docs/guides/policy.md. */
export const policySettings = z.strictObject({
  listener: listener.optional(),
});
