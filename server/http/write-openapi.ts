/**
 * Writes `docs/openapi.json`, and from it the types that the console is compiled against. Run it after a change of the route
 * table or of a schema; tests compare all of them.
 */
import { writeFileSync } from "node:fs";
import { parseJsonObject } from "@trustwarden/core/json.ts";
import { SERVER_VERSION } from "../version.ts";
import { formatClientTypes } from "./client-types.ts";
import { formatOpenApi } from "./openapi.ts";
import { ROUTES } from "./routes.ts";

const text = await formatOpenApi(ROUTES, SERVER_VERSION);
writeFileSync(new URL("../../docs/openapi.json", import.meta.url), text);
writeFileSync(
  new URL("../../console/src/api/rows.generated.ts", import.meta.url),
  formatClientTypes(parseJsonObject(text, text.length)),
);
