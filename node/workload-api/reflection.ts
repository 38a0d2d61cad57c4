/**
 * Server reflection, so that a stranger's tool can ask the socket what it serves.
 *
 * The library names everything of a file without a package with a dot in front (`.SpiffeWorkloadAPI`), and finds it under
 * that name only; no client asks for it so. The dot is put on and taken off here.
 *
 * @see Workload Endpoint §7
 */
import type { Server, ServerDuplexStream } from "@grpc/grpc-js";
import { ReflectionService } from "@grpc/reflection";
import { PROTOCOL } from "./protocol.ts";

/** As far as names are in it. */
interface ReflectionRequest {
  fileContainingSymbol?: string;
}

/** As far as names are in it. */
interface ReflectionResponse {
  readonly listServicesResponse?: { readonly service: readonly { name: string }[] };
}

type ReflectionStream = ServerDuplexStream<ReflectionRequest, ReflectionResponse>;

const PACKAGED = /^(trustwarden|google|grpc)\./;

/** Adds both versions of reflection, over the Workload API and our own service. */
export function addReflection(server: Server): void {
  new ReflectionService(PROTOCOL).addToServer({
    addService: (definition, { ServerReflectionInfo: reflect, ...others }) => {
      server.addService(definition, {
        ...others,
        ServerReflectionInfo: (stream: ReflectionStream) => {
          rename(stream);
          Reflect.apply(Object(reflect), undefined, [stream]);
        },
      });
    },
  });
}

function rename(stream: ReflectionStream): void {
  // Before the library's own listener, which then sees the changed request.
  stream.on("data", (request: ReflectionRequest) => {
    const { fileContainingSymbol: symbol = "" } = request;
    if (symbol !== "" && !symbol.startsWith(".") && !PACKAGED.test(symbol))
      request.fileContainingSymbol = `.${symbol}`;
  });
  const write = stream.write.bind(stream);
  stream.write = (response: ReflectionResponse) => {
    for (const service of response.listServicesResponse?.service ?? [])
      service.name = service.name.replace(/^\./, "");
    return write(response);
  };
}
