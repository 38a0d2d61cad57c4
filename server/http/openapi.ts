/**
 * The API as an OpenAPI document, generated from the route table and the schemas that every request is parsed by.
 */
import swagger from "@fastify/swagger";
import { parseJsonObject } from "@trustwarden/core/json.ts";
import Fastify from "fastify";
import { jsonSchemaTransform, serializerCompiler, validatorCompiler } from "fastify-type-provider-zod";
import { withOwnForms } from "./openapi-answers.ts";
import { withExamples } from "./openapi-examples.ts";
import { withSharedRefusals } from "./openapi-refusals.ts";
import { schemaOf } from "./register.ts";
import type { Route } from "./route.ts";

/** Several times what the table makes today. */
const MAX_DOCUMENT_CHARS = 4_000_000;

/** The document of all rows of a table, as JSON text that ends in a newline. */
export async function formatOpenApi(routes: readonly Route[], version: string): Promise<string> {
  const app = Fastify({ logger: false, exposeHeadRoutes: false });
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  await app.register(swagger, {
    openapi: { openapi: "3.1.0", info: { title: "TrustWarden", version } },
    transform: jsonSchemaTransform,
  });
  for (const route of routes) {
    app.route({
      method: route.method,
      url: route.path,
      schema: { ...schemaOf(route), ...describe(route) },
      handler: async () => ({}),
    });
  }
  await app.ready();
  const document = parseJsonObject(JSON.stringify(app.swagger()), MAX_DOCUMENT_CHARS);
  await app.close();
  const upgrades = new Set(routes.filter(({ answer }) => answer === "upgrade").map(({ path }) => path));
  const whole = withSharedRefusals(withExamples(withOwnForms(document, upgrades)));
  return `${JSON.stringify(whole, null, 2)}\n`;
}

/** Who may come, and where: what the schemas do not say. */
function describe(route: Route): { readonly tags: string[]; readonly description: string } {
  const access = route.access === "public" ? "public" : route.access.join(", ");
  return {
    tags: [...route.listeners],
    description: `For: ${access}. Listeners: ${route.listeners.join(", ")}.`,
  };
}
