/** Secrets of the broker: what operators do to them. No answer holds a value. */
import {
  type SecretAnswer,
  type SecretKeyAnswer,
  type SecretKeyRequest,
  type SecretList,
  type SecretPath,
  type SecretRemoval,
  type SecretRequest,
  type SecretRollbackRequest,
  type SecretScopeRequest,
  type SecretStateRequest,
  type SecretVersionRequest,
  secretAnswer,
} from "@trustwarden/core/api/secrets.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { KeyProgress, SecretOrder } from "../../broker/administration.ts";
import { parseSettings, readSettings } from "../../broker/settings.ts";
import type { SecretState } from "../../store/broker-ports.ts";
import { contextOf } from "../command-context.ts";
import type { Visit } from "../route.ts";
import type { Services } from "../services.ts";

type AboutOne<Body> = Visit<Body, unknown, SecretPath>;

/** @throws TrustWardenError `secret_malformed`, `secret_exists`, `quota_exceeded`. */
export async function putSecret(services: Services, visit: Visit<SecretRequest>): Promise<SecretAnswer> {
  const { name, kind, value, upstreams, agents, injection, source } = visit.body;
  const settings = parseSettings({ upstreams, agents, injection, source }, kind);
  const { administration } = services.broker;
  return formatSecret(await administration.put({ name, kind, settings, value }, orderOf(services, visit)));
}

export async function listSecrets({ reads }: Services): Promise<SecretList> {
  return { secrets: reads.listSecrets().map(formatSecret) };
}

/** @throws TrustWardenError `not_found`, `secret_malformed`, `secret_conflict`. */
export async function rotateSecret(
  services: Services,
  visit: AboutOne<SecretVersionRequest>,
): Promise<SecretAnswer> {
  const { value, grace_seconds: graceSeconds } = visit.body;
  const next = { name: visit.params.name, value, graceSeconds };
  return formatSecret(await services.broker.administration.rotate(next, orderOf(services, visit)));
}

/** @throws TrustWardenError `not_found`, `secret_conflict`. */
export async function rollbackSecret(
  services: Services,
  visit: AboutOne<SecretRollbackRequest>,
): Promise<SecretAnswer> {
  const back = { name: visit.params.name, graceSeconds: visit.body.grace_seconds };
  return formatSecret(await services.broker.administration.rollback(back, orderOf(services, visit)));
}

/** @throws TrustWardenError `not_found`, `secret_malformed`, `secret_conflict`. */
export async function scopeSecret(
  services: Services,
  visit: AboutOne<SecretScopeRequest>,
): Promise<SecretAnswer> {
  const { name } = visit.params;
  const state = services.reads.findSecret(name);
  if (state === undefined) throw new TrustWardenError("not_found", { name });
  const before = readSettings(state);
  const { upstreams = before.upstreams, agents = before.agents, injection = before.injection } = visit.body;
  const next = {
    upstreams: upstreams.map((upstream) => ({ name: upstream.name, origin: upstream.origin })),
    agents,
    injection: injection === null ? null : { ...injection },
    source: before.source,
  };
  const settings = parseSettings(next, state.kind);
  return formatSecret(await services.broker.administration.bind(name, settings, orderOf(services, visit)));
}

/** @throws TrustWardenError `not_found`. */
export async function disableSecret(
  services: Services,
  visit: AboutOne<SecretStateRequest>,
): Promise<SecretAnswer> {
  const { administration } = services.broker;
  return formatSecret(await administration.stop(visit.params.name, "disable", orderOf(services, visit)));
}

/** @throws TrustWardenError `not_found`. */
export async function enableSecret(
  services: Services,
  visit: AboutOne<SecretStateRequest>,
): Promise<SecretAnswer> {
  return formatSecret(
    await services.broker.administration.enable(visit.params.name, orderOf(services, visit)),
  );
}

/** @throws TrustWardenError `not_found`. */
export async function removeSecret(
  services: Services,
  visit: AboutOne<SecretStateRequest>,
): Promise<SecretRemoval> {
  const { administration } = services.broker;
  const { name, secretId } = await administration.stop(visit.params.name, "delete", orderOf(services, visit));
  return { name, secret_id: secretId };
}

export async function readSecretKeys({ broker }: Services): Promise<SecretKeyAnswer> {
  return formatKeys(broker.administration.keyProgress());
}

/** @throws TrustWardenError `secret_unavailable` when a data key does not open. */
export async function rotateSecretKey(
  services: Services,
  visit: Visit<SecretKeyRequest>,
): Promise<SecretKeyAnswer> {
  const { administration } = services.broker;
  if (visit.body.begin) await administration.beginKeyRotation();
  return formatKeys(await administration.rewrap(orderOf(services, visit)));
}

function orderOf(
  services: Services,
  visit: Pick<Visit<{ readonly reason: string }>, "caller" | "arrival" | "body">,
): SecretOrder {
  return { context: contextOf(services, visit), reason: visit.body.reason };
}

function formatSecret(state: SecretState): SecretAnswer {
  const { upstreams, agents, injection, source } = readSettings(state);
  return {
    name: state.name,
    secret_id: state.secretId,
    kind: state.kind,
    is_disabled: state.isDisabled,
    upstreams: [...upstreams],
    agents: [...agents],
    injection,
    source: secretAnswer.shape.source.parse(source),
    created_at: state.createdAt,
    changed_at: state.changedAt,
    versions: state.versions.map(({ version, keyId, createdAt, endsAt }) => ({
      version,
      key_id: keyId,
      created_at: createdAt,
      ends_at: endsAt,
    })),
  };
}

function formatKeys({ keyId, remaining, keys }: KeyProgress): SecretKeyAnswer {
  return {
    key_id: keyId,
    remaining,
    keys: keys.map(({ id, versions, isHere }) => ({ id, versions, is_here: isHere })),
  };
}
