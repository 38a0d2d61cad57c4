/**
 * Must be imported before any schema: zod compiles parsers with `new Function` unless told not to, and the console's
 * content security policy reports even the attempt.
 */
import { config } from "zod";

config({ jitless: true });
