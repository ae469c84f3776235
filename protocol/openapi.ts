/**
 * The public API as an OpenAPI 3.1 document, made from the schemas that parse and render it.
 *
 * `docs/openapi.json` is this document; tests fail when they differ, and when the edge serves a route that is not here.
 */
import { z } from "zod";
import { CreateVideo } from "./create-video.ts";
import {
  CreditBalance,
  CreditGrantList,
  CreditTransactionList,
  GrantId,
  TransactionId,
  VideoEstimate,
} from "./credits.ts";
import { ERROR_RULES, ErrorEnvelope } from "./error.ts";
import { Event } from "./event.ts";
import { VideoId, WebhookDeliveryId, WebhookEndpointId } from "./id.ts";
import { Video, VideoDeleted, VideoList } from "./video.ts";
import {
  CreateWebhookEndpoint,
  DeliveryStatus,
  ReplayWebhooks,
  RotateSecret,
  UpdateWebhookEndpoint,
  WebhookDelivery,
  WebhookDeliveryList,
  WebhookEndpoint,
  WebhookEndpointDeleted,
  WebhookEndpointList,
  WebhookReplay,
  WebhookSecret,
} from "./webhook.ts";

const SCHEMAS = {
  Video,
  VideoList,
  VideoDeleted,
  VideoEstimate,
  CreditBalance,
  CreditGrantList,
  CreditTransactionList,
  Event,
  ErrorEnvelope,
  WebhookEndpoint,
  WebhookEndpointList,
  WebhookEndpointDeleted,
  WebhookSecret,
  WebhookReplay,
  WebhookDelivery,
  WebhookDeliveryList,
};
type SchemaName = keyof typeof SCHEMAS;

interface Operation {
  readonly summary: string;
  /** The schema of a 200, or what else is answered. */
  readonly answer: SchemaName | { readonly status: number; readonly description: string; readonly mediaType?: string };
  readonly body?: Readonly<Record<string, unknown>>;
  readonly bodyOptional?: boolean;
  readonly query?: readonly { readonly name: string; readonly schema: object; readonly description: string }[];
}

const CREATE = z.toJSONSchema(CreateVideo, { io: "input" });
const CREATE_BODY = {
  "multipart/form-data": { schema: multipartOf(CREATE) },
  "application/json": { schema: CREATE },
} as const;

/** The parameters of a list whose entries have such ids. */
function listOf(id: z.ZodType) {
  return [
    {
      name: "limit",
      schema: { type: "integer", minimum: 0, maximum: 100, default: 20 },
      description: "Entries a page.",
    },
    { name: "order", schema: { enum: ["asc", "desc"], default: "desc" }, description: "By creation." },
    { name: "after", schema: inPlace(id), description: "The last id of the page before." },
  ] as const;
}

/** Path → method → operation; the paths are those of the edge. */
export const OPERATIONS: Readonly<Record<string, Readonly<Record<string, Operation>>>> = {
  "/v1/videos": {
    post: {
      summary: "Ask for a video",
      answer: "Video",
      body: CREATE_BODY,
    },
    get: { summary: "List the account's videos", answer: "VideoList", query: listOf(VideoId) },
  },
  "/v1/videos/estimate": {
    post: {
      summary: "What a video would cost and when it would start; stores and holds nothing",
      answer: "VideoEstimate",
      body: CREATE_BODY,
    },
  },
  "/v1/videos/{id}": {
    get: { summary: "Read a video", answer: "Video" },
    delete: { summary: "Delete a video; one that still runs is cancelled first", answer: "VideoDeleted" },
  },
  "/v1/videos/{id}/cancel": {
    post: { summary: "Cancel a video; without effect once it is over", answer: "Video" },
  },
  "/v1/videos/{id}/content": {
    get: {
      summary: "Download the MP4, whole or by Range",
      answer: { status: 200, description: "The video", mediaType: "video/mp4" },
      query: [{ name: "variant", schema: { const: "video" }, description: "Only the video itself so far." }],
    },
  },
  "/v1/videos/events": {
    get: {
      summary: "The account's events as a WebSocket",
      answer: {
        status: 101,
        description: "A session: `hello`, then `Event`s, `video.progress` and `video.queue_position` frames",
      },
      query: [
        {
          name: "starting_after",
          schema: { type: "integer", minimum: 0 },
          description: "Replay what came after this number.",
        },
      ],
    },
  },
  "/v1/credits/balance": { get: { summary: "What the account can spend", answer: "CreditBalance" } },
  "/v1/credits/grants": {
    get: {
      summary: "Where its credits come from, and when they end",
      answer: "CreditGrantList",
      query: listOf(GrantId),
    },
  },
  "/v1/credits/transactions": {
    get: { summary: "Every movement of its credits", answer: "CreditTransactionList", query: listOf(TransactionId) },
  },
  "/v1/webhook_endpoints": {
    post: {
      summary: "Have events delivered; the answer holds the secret, once",
      answer: "WebhookEndpoint",
      body: bodyOf(CreateWebhookEndpoint),
    },
    get: { summary: "List the account's webhook endpoints", answer: "WebhookEndpointList" },
  },
  "/v1/webhook_endpoints/{id}": {
    get: { summary: "Read a webhook endpoint", answer: "WebhookEndpoint" },
    patch: {
      summary: "Change an endpoint, or enable one that was disabled",
      answer: "WebhookEndpoint",
      body: bodyOf(UpdateWebhookEndpoint),
    },
    delete: { summary: "Remove an endpoint with its deliveries", answer: "WebhookEndpointDeleted" },
  },
  "/v1/webhook_endpoints/{id}/rotate_secret": {
    post: {
      summary: "Sign with a new secret, shown once; the old one signs beside it for a while",
      answer: "WebhookEndpoint",
      body: bodyOf(RotateSecret),
      bodyOptional: true,
    },
  },
  "/v1/webhook_endpoints/{id}/test": {
    post: { summary: "Send a test event, at once also to an endpoint that rests", answer: "WebhookDelivery" },
  },
  "/v1/webhook_endpoints/{id}/replay": {
    post: {
      summary: "Send again what the log has for an endpoint since a time or an event",
      answer: "WebhookReplay",
      body: bodyOf(ReplayWebhooks),
    },
  },
  "/v1/webhook_secret/rotate": {
    post: {
      summary: "Get a new secret for the `webhook_url` of videos, shown once; the old one signs beside it for a while",
      answer: "WebhookSecret",
      body: bodyOf(RotateSecret),
      bodyOptional: true,
    },
  },
  "/v1/webhook_deliveries": {
    get: {
      summary: "What was and will be sent to the account's endpoints",
      answer: "WebhookDeliveryList",
      query: [
        ...listOf(WebhookDeliveryId),
        { name: "webhook_endpoint_id", schema: inPlace(WebhookEndpointId), description: "Only those of an endpoint." },
        { name: "status", schema: { enum: DeliveryStatus.options }, description: "Only those that stand so." },
      ],
    },
  },
  "/v1/webhook_deliveries/{id}": { get: { summary: "Read a delivery", answer: "WebhookDelivery" } },
  "/v1/webhook_deliveries/{id}/redeliver": {
    post: { summary: "Send a delivery again, under its old `webhook-id`", answer: "WebhookDelivery" },
  },
};

export function openApiDocument(): object {
  return {
    openapi: "3.1.0",
    info: {
      title: "Callsheet",
      version: "0.1.0",
      description: "The OpenAI Videos shape, on your GPUs, fairly shared.",
    },
    security: [{ key: [] }],
    paths: Object.fromEntries(
      Object.entries(OPERATIONS).map(([path, methods]) => [
        path,
        Object.fromEntries(
          Object.entries(methods).map(([method, operation]) => [method, operationOf(path, operation)]),
        ),
      ]),
    ),
    components: {
      securitySchemes: { key: { type: "http", scheme: "bearer" } },
      schemas: Object.fromEntries(Object.entries(SCHEMAS).map(([name, schema]) => [name, z.toJSONSchema(schema)])),
    },
    "x-error-codes": Object.fromEntries(Object.entries(ERROR_RULES).map(([code, rule]) => [code, rule.status])),
  };
}

function operationOf(path: string, { summary, answer, body, bodyOptional = false, query = [] }: Operation): object {
  const ids = path.includes("{id}") ? [{ name: "id", in: "path", required: true, schema: { type: "string" } }] : [];
  return {
    summary,
    ...(ids.length + query.length === 0
      ? {}
      : { parameters: [...ids, ...query.map((entry) => ({ ...entry, in: "query" }))] }),
    ...(body === undefined ? {} : { requestBody: { required: !bodyOptional, content: body } }),
    responses: {
      ...(typeof answer === "string"
        ? { 200: { description: answer, content: jsonOf(answer) } }
        : {
            [answer.status]: {
              description: answer.description,
              ...(answer.mediaType === undefined ? {} : { content: { [answer.mediaType]: {} } }),
            },
          }),
      default: { description: "An error; `x-error-codes` lists the codes", content: jsonOf("ErrorEnvelope") },
    },
  };
}

function jsonOf(name: SchemaName): object {
  return { "application/json": { schema: { $ref: `#/components/schemas/${name}` } } };
}

/** Without the `$schema` of a document of its own. */
function inPlace(schema: z.ZodType): object {
  const { $schema: _own, ...rest } = z.toJSONSchema(schema);
  return rest;
}

function bodyOf(schema: z.ZodType): Readonly<Record<string, unknown>> {
  return { "application/json": { schema: z.toJSONSchema(schema, { io: "input" }) } };
}

/** In a form the reference is a file part; every other field is the same, as text. */
function multipartOf(create: { readonly properties?: object }): object {
  return { ...create, properties: { ...create.properties, input_reference: { type: "string", format: "binary" } } };
}
