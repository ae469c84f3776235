/** Holds answers that were really given against the OpenAPI document: its paths, statuses, media types, schemas and error codes. */
import { z } from "zod";
import { ErrorEnvelope } from "#protocol/error.ts";
import { openApiDocument } from "#protocol/openapi.ts";
import type { Exchange } from "#tests/support/recording-proxy.ts";

const Response = z.object({
  content: z.record(z.string(), z.object({ schema: z.object({ $ref: z.string() }).optional() })).optional(),
  "x-error-codes": z.array(z.string()).optional(),
});
const Document = z.object({
  paths: z.record(z.string(), z.record(z.string(), z.object({ responses: z.record(z.string(), Response) }))),
  components: z.object({ schemas: z.record(z.string(), z.record(z.string(), z.unknown())) }),
});

const { paths, components } = Document.parse(JSON.parse(JSON.stringify(openApiDocument())));
const schemas = new Map<string, z.ZodType>();

export function undocumentedIn(exchanges: readonly Exchange[]): readonly string[] {
  const answered = exchanges.filter(({ injected, status }) => !injected && status !== null);
  return [...new Set(answered.flatMap((exchange) => faultsOf(exchange)))];
}

function faultsOf({ method, path, status, headers, body }: Exchange): readonly string[] {
  const pathname = path.split("?")[0] ?? "";
  const what = `${method} ${pathname} → ${status}`;
  const operation = templateOf(pathname)?.[method.toLowerCase()];
  if (operation === undefined) return status === 404 || status === 405 ? [] : [`${what}: no such operation`];
  const response = operation.responses[String(status === 206 ? 200 : status)];
  if (response === undefined) return [`${what}: the status is not documented`];
  const mediaType = (headers["content-type"] ?? "").split(";")[0] ?? "";
  const content = response.content?.[mediaType];
  return [
    ...(headers["x-request-id"] === undefined ? [`${what}: no x-request-id`] : []),
    ...(content === undefined ? [`${what}: ${mediaType} is not documented`] : []),
    ...(content?.schema === undefined ? [] : breachesOf(what, content.schema.$ref, body)),
    ...(status !== null && status >= 400 ? codeFaults(what, response["x-error-codes"] ?? [], body) : []),
  ];
}

/** The path that names most of it literally: `/v1/videos/edits` is no id. */
function templateOf(pathname: string): (typeof paths)[string] | undefined {
  const literal = paths[pathname];
  if (literal !== undefined) return literal;
  const found = Object.keys(paths).find((template) =>
    new RegExp(`^${template.replaceAll(/\{\w+\}/g, "[^/]+")}$`).test(pathname),
  );
  return found === undefined ? undefined : paths[found];
}

function breachesOf(what: string, ref: string, body: unknown): readonly string[] {
  const parsed = schemaOf(ref).safeParse(body);
  return parsed.success ? [] : [`${what}: ${z.prettifyError(parsed.error)}`];
}

function schemaOf(ref: string): z.ZodType {
  const known = schemas.get(ref);
  if (known !== undefined) return known;
  const schema = z.fromJSONSchema(components.schemas[ref.split("/").at(-1) ?? ""] ?? {});
  schemas.set(ref, schema);
  return schema;
}

function codeFaults(what: string, codes: readonly string[], body: unknown): readonly string[] {
  const envelope = ErrorEnvelope.safeParse(body);
  const code = envelope.success ? envelope.data.error.code : null;
  return code !== null && codes.includes(code) ? [] : [`${what}: the code '${code}' is not documented`];
}
