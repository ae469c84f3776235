/**
 * What may stand in a log: named fields only, errors without what a database or a parser quotes, and nothing that looks like a
 * secret. Prompts are users' content and have no field.
 *
 * A field that is not in the list is dropped, and its name told, so that whoever needs it adds it here.
 */

const FIELDS: ReadonlySet<string> = new Set(
  // who and where
  (
    "account job epoch runner delivery request program pid loop subject url port admin_port control_planes engine devices " +
    "count vramBytes slots leases kind resume step bytes t said model from seconds " +
    // what and why
    "err error code reason why delay_ms unanswered rule row rules entries ledger_breaches audit_breaches audit_rows audit_head"
  ).split(" "),
);

const CAUSES_MAX = 5;
const MESSAGE_CHARS_MAX = 1_000;
/** Keys, join tokens, runners' and webhooks' secrets, bearer tokens, signatures of URLs. */
const SECRET =
  /\b(?:cs_(?:dev|test|live)_[0-9a-z]{16}_|csj_|csr_|whsec_)[A-Za-z0-9+/=_-]+|\bBearer\s+[^\s"\\]+|\bsignature=[0-9a-f]+|:\/\/[^/@\s:"]+:[^/@\s"]+@/gi;

type Fields = Readonly<Record<string, unknown>>;

interface LoggedCause {
  readonly type: string;
  readonly message: string;
  readonly code?: string | number;
  readonly stack: string;
}
interface LoggedError extends LoggedCause {
  readonly causes?: readonly LoggedCause[];
}

/** Which fields of a line, or of a logger's bindings, are written. */
export function loggable(fields: Fields): Record<string, unknown> {
  const kept: Record<string, unknown> = {};
  const dropped: string[] = [];
  for (const [name, value] of Object.entries(fields)) {
    if (FIELDS.has(name)) kept[name] = name === "error" ? classAndCode(value) : withoutSecrets(value);
    else dropped.push(name);
  }
  return dropped.length === 0 ? kept : { ...kept, dropped };
}

/** Kind, message, code, stack and causes; never `detail`, `query`, `parameters` or the like. */
export function loggableError(error: unknown): LoggedError {
  const causes: LoggedCause[] = [];
  for (let next = error; next instanceof Error && causes.length < CAUSES_MAX; next = next.cause) causes.push(one(next));
  const [first = { type: typeof error, message: "no error was thrown, but something else", stack: "" }, ...rest] =
    causes;
  return rest.length === 0 ? first : { ...first, causes: rest };
}

/** For pino. The whole line is looked through once more: a child's bindings pass no formatter. */
export const SAFE_LOG = {
  serializers: { err: loggableError },
  formatters: { log: loggable, bindings: loggable },
  hooks: { streamWrite: redact },
} as const;

export function redact(text: string): string {
  return text.replace(SECRET, "[secret]");
}

function one(error: Error): LoggedCause {
  const code =
    "code" in error && (typeof error.code === "string" || typeof error.code === "number") ? error.code : null;
  // A parser's message quotes what it could not parse; a stack begins with the message.
  const message = error instanceof SyntaxError ? "text that could not be parsed" : error.message;
  const stack = (error.stack ?? "").split("\n").filter((line) => /^\s+at /.test(line));
  return {
    type: error.name,
    message: redact(message.slice(0, MESSAGE_CHARS_MAX)),
    ...(code === null ? {} : { code }),
    stack: stack.join("\n"),
  };
}

/** What an engine says of a broken attempt may quote the request. */
function classAndCode(value: unknown): unknown {
  if (typeof value !== "object" || value === null || !("class" in value) || !("code" in value)) return null;
  return { class: value.class, code: value.code };
}

function withoutSecrets(value: unknown): unknown {
  if (typeof value === "string") return redact(value);
  if (Array.isArray(value)) return value.map(withoutSecrets);
  return value;
}
