/**
 * Every method of A2A's JSON-RPC binding, in the spelling of 1.0 and of 0.3, and what each means to the gateway. Closed: a
 * method that is not on this list is refused.
 *
 * Push notifications are refused in every form: they would make another agent send to an address that ours chose, past
 * the gateway (SSRF), and nothing would be decided when they come. A list of tasks is refused since the other agent sees one
 * client where we have many. The extended card is refused: the card that counts is the one that was approved.
 *
 * @see A2A 1.0.1 §9 (JSON-RPC binding), §5.3 (method mapping)
 */

/** What a served method does. */
export type A2aSubject = "send" | "stream" | "get" | "cancel" | "subscribe";

/** Of a method that the protocol has and the gateway refuses. */
export type A2aRefusal = "push" | "list" | "card";

/** Methods that are served. */
export const A2A_METHODS: Readonly<Record<string, A2aSubject>> = {
  SendMessage: "send",
  SendStreamingMessage: "stream",
  GetTask: "get",
  CancelTask: "cancel",
  SubscribeToTask: "subscribe",
  "message/send": "send",
  "message/stream": "stream",
  "tasks/get": "get",
  "tasks/cancel": "cancel",
  "tasks/resubscribe": "subscribe",
};

/** Methods that are refused on purpose. */
export const A2A_REFUSED: Readonly<Record<string, A2aRefusal>> = {
  ListTasks: "list",
  CreateTaskPushNotificationConfig: "push",
  GetTaskPushNotificationConfig: "push",
  ListTaskPushNotificationConfigs: "push",
  DeleteTaskPushNotificationConfig: "push",
  GetExtendedAgentCard: "card",
  "tasks/list": "list",
  "tasks/pushNotificationConfig/set": "push",
  "tasks/pushNotificationConfig/get": "push",
  "tasks/pushNotificationConfig/list": "push",
  "tasks/pushNotificationConfig/delete": "push",
  "agent/getAuthenticatedExtendedCard": "card",
};

/** What a method does; undefined for one that is refused, on purpose or because nobody knows it. */
export function subjectOfA2a(method: string): A2aSubject | undefined {
  return Object.hasOwn(A2A_METHODS, method) ? A2A_METHODS[method] : undefined;
}

/** Whether the answer may be several messages. */
export function isStreamed(subject: A2aSubject): boolean {
  return subject === "stream" || subject === "subscribe";
}
