/** Where this layer says what it meets; agent.ts gives the real log. `message` is constant, `fields` vary. */
export type Log = (
  level: "info" | "warn" | "error",
  message: string,
  fields: Readonly<Record<string, unknown>>,
) => void;
