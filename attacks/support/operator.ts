/** The operator's view, over the admin socket. */
import { jsonOf, sendAdmin } from "../../test/support/http.ts";

/** JSON of a GET. @throws Error when the operator itself is refused. */
export async function readAsOperator(adminSocket: string, target: string): Promise<Record<string, unknown>> {
  const answer = await sendAdmin(adminSocket, { target });
  if (answer.status !== 200) throw new Error(`operator: ${target}: ${answer.status} ${answer.text}`);
  return jsonOf(answer);
}
