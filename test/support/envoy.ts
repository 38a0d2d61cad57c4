/** A proxy that asks by Envoy's external authorization: one call over HTTP/2, frame by frame. */
import { connect } from "node:http2";
import { concatBytes } from "@trustwarden/core/bytes.ts";
import { encodeField } from "../../server/envoy/protobuf.ts";
import type { ClientTls } from "./http.ts";
import type { TestServer } from "./server.ts";

const CHECK = "/envoy.service.auth.v3.Authorization/Check";

/** A `CheckRequest` about whom the proxy let in. */
export const requestFor = (principal: string, method: string, path: string, certificate = "") =>
  encodeField(
    1,
    concatBytes(
      encodeField(1, concatBytes(encodeField(4, principal), encodeField(5, certificate))),
      encodeField(4, encodeField(2, concatBytes(encodeField(2, method), encodeField(4, path)))),
    ),
  );

/** A message of gRPC. */
export function framed(message: Uint8Array): Uint8Array {
  const prefix = new Uint8Array(5);
  new DataView(prefix.buffer).setUint32(1, message.length);
  return concatBytes(prefix, message);
}

/** One call; the status of gRPC, and the message when there is one. */
export async function callEnvoy(
  { envoyPort }: Pick<TestServer, "envoyPort">,
  bytes: Uint8Array,
  { path = CHECK, tls }: { readonly path?: string; readonly tls?: ClientTls } = {},
): Promise<{ readonly status: string; readonly text: string }> {
  const session = connect(`https://127.0.0.1:${envoyPort}`, { rejectUnauthorized: false, ...tls });
  const stream = session.request({ ":method": "POST", ":path": path, "content-type": "application/grpc" });
  const parts: Buffer[] = [];
  let status = "";
  stream.on("response", (headers) => {
    status = String(headers["grpc-status"] ?? status);
  });
  stream.on("trailers", (headers) => {
    status = String(headers["grpc-status"] ?? status);
  });
  stream.on("data", (chunk: Buffer) => parts.push(chunk));
  stream.end(bytes);
  await new Promise((resolve) => stream.once("close", resolve));
  session.close();
  return { status, text: Buffer.concat(parts).toString("latin1") };
}
