/**
 * Asks an endpoint what it serves.
 *
 * @see grpc.reflection.v1 (and v1alpha, with the same messages): request {3 file_by_filename; 4 file_containing_symbol; 7 list_services},
 *   response {4 file_descriptor_response; 6 list_services_response}.
 */
import { SERVICE } from "./api.ts";
import { type Connection, frame } from "./grpc.ts";
import { bytesOf, encodeField, parseFields, textOf } from "./wire.ts";

const PATHS = [
  "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
  "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/** What reflection tells of an endpoint. */
export interface Reflected {
  readonly services: readonly string[];
  /** Calls of the Workload API's service. */
  readonly methods: readonly string[];
  /** `number name` of each field, by message of the service's file. */
  readonly messages: ReadonlyMap<string, readonly string[]>;
}

/** Null when neither version of reflection is served. */
export async function readReflection(connection: Connection, patienceMs: number): Promise<Reflected | null> {
  for (const path of PATHS) {
    const listed = await ask(connection, { path, request: encodeField(7, "*"), patienceMs });
    if (listed === null) continue;
    const services = bytesOf(firstOf(listed, 6), 1).map((one) => textOf(parseFields(one), 1));
    const request = encodeField(4, SERVICE);
    const described = await ask(connection, { path, request, patienceMs });
    const files = described?.has(4) ? bytesOf(firstOf(described, 4), 1).map((file) => parseFields(file)) : [];
    return { services, ...describe(files) };
  }
  return null;
}

async function ask(
  connection: Connection,
  {
    path,
    request,
    patienceMs,
  }: { readonly path: string; readonly request: Uint8Array; readonly patienceMs: number },
) {
  const call = connection.call(path, request, {
    keepOpen: true,
    rawBody: frame(request, { isCompressed: false }),
  });
  const answer = await call.next(0, patienceMs);
  call.cancel();
  return answer === null ? null : parseFields(answer);
}

function firstOf(fields: ReturnType<typeof parseFields>, number: number): ReturnType<typeof parseFields> {
  return parseFields(bytesOf(fields, number)[0] ?? new Uint8Array());
}

/** FileDescriptorProto {4 message_type; 6 service}; DescriptorProto {1 name; 2 field}; FieldDescriptorProto {1 name; 3 number}. */
function describe(files: readonly ReturnType<typeof parseFields>[]): Omit<Reflected, "services"> {
  const services = files.flatMap((file) => bytesOf(file, 6)).map((bytes) => parseFields(bytes));
  const methods = services
    .filter((service) => textOf(service, 1) === SERVICE)
    .flatMap((service) => bytesOf(service, 2))
    .map((method) => textOf(parseFields(method), 1));
  const messages = files
    .filter((file) => bytesOf(file, 6).length > 0)
    .flatMap((file) => bytesOf(file, 4))
    .map((bytes) => {
      const message = parseFields(bytes);
      const fields = bytesOf(message, 2)
        .map((field) => parseFields(field))
        .map((field) => `${field.get(3)?.at(-1)} ${textOf(field, 1)}`);
      return [textOf(message, 1), fields.toSorted()] as const;
    });
  return { methods, messages: new Map(messages) };
}
