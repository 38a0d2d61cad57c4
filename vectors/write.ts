/**
 * Writes the golden vectors: `node vectors/write.ts`. The same bytes come out of every run; `test/vectors.test.ts`
 * compares them with what is checked in, and both SDKs are held against the files.
 */
import { writeFileSync } from "node:fs";
import { VECTOR_FILES } from "./files.ts";

for (const [name, make] of Object.entries(VECTOR_FILES))
  writeFileSync(new URL(name, import.meta.url), make());
