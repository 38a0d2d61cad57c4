/**
 * HTTP API: the transmitter of security events, its streams, and delivery by poll. Members that we do not read are not ours
 * to refuse: receivers are programs of others.
 *
 * @see OpenID Shared Signals Framework 1.0 §7, §8; RFC 8936
 */
import { z } from "zod";

const text = z.string().max(512);
const streamId = z.string().max(64);
/** Of one poll: as many as it may bring, and what is left of earlier ones. */
const MAX_TAKEN = 1_000;

/** `GET /.well-known/ssf-configuration` (public) @see §7.1 */
export const ssfConfiguration = z.object({
  spec_version: z.literal("1_0"),
  issuer: z.string(),
  jwks_uri: z.string(),
  delivery_methods_supported: z.array(z.string()),
  configuration_endpoint: z.string(),
  status_endpoint: z.string(),
  add_subject_endpoint: z.string(),
  remove_subject_endpoint: z.string(),
  verification_endpoint: z.string(),
  authorization_schemes: z.array(z.object({ spec_urn: z.string() })),
  default_subjects: z.literal("ALL"),
});
export type SsfConfiguration = z.infer<typeof ssfConfiguration>;

const delivery = z.object({ method: text, endpoint_url: z.string().max(2048).optional() });
const wanted = {
  delivery: delivery.optional(),
  events_requested: z.array(text).max(64).optional(),
  description: z.string().min(1).max(256).optional(),
};

/** `POST /ssf/stream` (verifier) @see §8.1.1.1 */
export const ssfStreamRequest = z.object(wanted);
export type SsfStreamRequest = z.infer<typeof ssfStreamRequest>;

/** `PATCH` and `PUT /ssf/stream` (verifier): what is absent stays, or is taken away. @see §8.1.1.3, §8.1.1.4 */
export const ssfStreamUpdate = z.object({ ...wanted, stream_id: streamId });
export type SsfStreamUpdate = z.infer<typeof ssfStreamUpdate>;

/** `GET` and `DELETE /ssf/stream`; without a name all of the receiver's are read. */
export const ssfStreamQuery = z.strictObject({ stream_id: streamId.optional() });
export type SsfStreamQuery = z.infer<typeof ssfStreamQuery>;
export const ssfStreamNamed = z.strictObject({ stream_id: streamId });
export type SsfStreamNamed = z.infer<typeof ssfStreamNamed>;

export const ssfStream = z.object({
  stream_id: z.string(),
  iss: z.string(),
  aud: z.string(),
  events_supported: z.array(z.string()),
  events_requested: z.array(z.string()).optional(),
  events_delivered: z.array(z.string()),
  delivery: z.object({ method: z.string(), endpoint_url: z.string() }),
  min_verification_interval: z.number().int(),
  /** Seconds for which a receiver may leave untaken what it could take. */
  inactivity_timeout: z.number().int(),
  description: z.string().optional(),
});
export type SsfStream = z.infer<typeof ssfStream>;
/** One by its name, or all of the receiver's. */
export const ssfStreams = z.union([z.array(ssfStream), ssfStream]);

/** `POST /ssf/status` (verifier) @see §8.1.2.2 */
export const ssfStatusRequest = z.object({
  stream_id: streamId,
  status: z.enum(["enabled", "paused", "disabled"]),
  reason: z.string().min(1).max(256).optional(),
});
export type SsfStatusRequest = z.infer<typeof ssfStatusRequest>;
export const ssfStatus = z.object({
  stream_id: z.string(),
  status: z.string(),
  reason: z.string().optional(),
});
export type SsfStatus = z.infer<typeof ssfStatus>;

/** `POST /ssf/subjects/added`, `/ssf/subjects/removed` (verifier) @see §8.1.3 */
export const ssfSubjectRequest = z.object({
  stream_id: streamId,
  subject: z.record(z.string().max(64), z.json()),
  verified: z.boolean().optional(),
});
export type SsfSubjectRequest = z.infer<typeof ssfSubjectRequest>;

/** `POST /ssf/verification` (verifier) @see §8.1.4.2 */
export const ssfVerificationRequest = z.object({
  stream_id: streamId,
  state: z.string().max(256).optional(),
});
export type SsfVerificationRequest = z.infer<typeof ssfVerificationRequest>;

/** `POST /ssf/streams/:stream_id/poll` (verifier) @see RFC 8936 §2.2 */
export const ssfPollRequest = z.object({
  maxEvents: z.number().int().min(0).optional(),
  returnImmediately: z.boolean().optional(),
  ack: z.array(text).max(MAX_TAKEN).optional(),
  setErrs: z
    .record(text, z.object({ err: text.optional(), description: z.string().max(4096).optional() }))
    .optional(),
});
export type SsfPollRequest = z.infer<typeof ssfPollRequest>;
export const ssfPollAnswer = z.object({
  sets: z.record(z.string(), z.string()),
  moreAvailable: z.boolean(),
});
export type SsfPollAnswer = z.infer<typeof ssfPollAnswer>;
