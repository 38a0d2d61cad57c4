/** HTTP API: what a transmitter of security events says of itself. */
import { z } from "zod";

/** `GET /.well-known/ssf-configuration` (public) @see OpenID Shared Signals Framework 1.0 §7.1 */
export const ssfConfiguration = z.object({
  spec_version: z.literal("1_0"),
  issuer: z.string(),
  jwks_uri: z.string(),
  delivery_methods_supported: z.array(z.string()),
  default_subjects: z.literal("ALL"),
});
export type SsfConfiguration = z.infer<typeof ssfConfiguration>;
