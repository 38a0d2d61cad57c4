/**
 * HTTP API: OPA's management services, so that a stock `opa run` is governed. The shapes are OPA's; members that we do
 * not read are not ours to refuse.
 *
 * @see https://www.openpolicyagent.org/docs/management-introduction
 */
import { z } from "zod";

const text = z.string().max(1024);
/** Decisions of one upload; OPA cuts its uploads at 32 KiB compressed. */
const MAX_DECISIONS = 5000;
/** Unpacked; what compresses a hundredfold is no log. */
export const MAX_LOGS_BYTES = 3_000_000;

/** `GET /v1/opa/bundles/:name` (verifier) */
export const opaBundleParams = z.object({ name: z.string().max(64) });
export type OpaBundleParams = z.infer<typeof opaBundleParams>;

const revisions = z.record(text, z.object({ revision: text.optional() })).optional();

/** `POST /v1/opa/logs` (verifier), gzip accepted. Of input and result only what is named here is read. */
export const opaLogs = z
  .array(
    z.object({
      labels: z.record(text, text).default({}),
      decision_id: text,
      path: text.optional(),
      bundles: revisions,
      input: z.json().optional(),
      result: z.json().optional(),
      erased: z.array(text).max(1024).optional(),
      masked: z.array(text).max(1024).optional(),
      timestamp: text,
    }),
  )
  .max(MAX_DECISIONS);
export type OpaLogs = z.infer<typeof opaLogs>;

/** `POST /v1/opa/status` (verifier) */
export const opaStatus = z.object({
  labels: z.record(text, text).default({}),
  bundles: z
    .record(
      text,
      z.object({ active_revision: text.optional(), code: text.optional(), message: text.optional() }),
    )
    .default({}),
});
export type OpaStatus = z.infer<typeof opaStatus>;

/** OPA reads the status code alone. */
export const opaTaken = z.object({ recorded: z.number().int() });
export type OpaTaken = z.infer<typeof opaTaken>;
