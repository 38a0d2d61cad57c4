/**
 * For tests: the three functions of `reflect-metadata` that `@peculiar/x509` asks for at import. Import this first.
 */
const metadata = new WeakMap<object, Map<unknown, unknown>>();

function entriesOf(target: object): Map<unknown, unknown> {
  const entries = metadata.get(target) ?? new Map<unknown, unknown>();
  metadata.set(target, entries);
  return entries;
}

function getMetadata(key: unknown, target: object): unknown {
  return entriesOf(target).get(key);
}

function defineMetadata(key: unknown, value: unknown, target: object): void {
  entriesOf(target).set(key, value);
}

Object.assign(Reflect, { getMetadata, getOwnMetadata: getMetadata, defineMetadata });
