/** Writes `docs/openapi.json`. Run it after a change of the route table or of a schema; a test compares the two. */
import { writeFileSync } from "node:fs";
import { SERVER_VERSION } from "../version.ts";
import { formatOpenApi } from "./openapi.ts";
import { ROUTES } from "./routes.ts";

writeFileSync(
  new URL("../../docs/openapi.json", import.meta.url),
  await formatOpenApi(ROUTES, SERVER_VERSION),
);
