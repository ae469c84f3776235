/**
 * The public API as an OpenAPI 3.1 document, made from the schemas that parse and render it.
 *
 * `docs/openapi.json` is this document; tests fail when they differ, and when the edge serves a route that is not here.
 */
import { z } from "zod";
import { CreateVideo, PromoteVideo, RemixVideo } from "./create-video.ts";
import {
  CreditBalance,
  CreditGrantList,
  CreditTransactionList,
  GrantId,
  TransactionId,
  VideoEstimate,
} from "./credits.ts";
import { ERROR_RULES, ErrorEnvelope } from "./error.ts";
import type { ErrorCode } from "./error.ts";
import { Event } from "./event.ts";
import { IDEMPOTENCY_KEY_HEADER } from "./idempotency.ts";
import { VideoId, WebhookDeliveryId, WebhookEndpointId } from "./id.ts";
import { Limits, ModelList } from "./limits.ts";
import { CreateSession, SessionTicket } from "./live-session.ts";
import { THUMBNAIL_MEDIA_TYPE } from "./mp4-thumbnail.ts";
import { errorResponses, OF_CREATE } from "./openapi-errors.ts";
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
  Limits,
  ModelList,
  Event,
  SessionTicket,
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
  /** The schema of a 200, or what else is answered; null: nothing but errors. */
  readonly answer:
    | SchemaName
    | null
    | { readonly status: number; readonly description: string; readonly mediaType?: string | readonly string[] };
  /** When it is 204 instead. */
  readonly empty?: string;
  readonly body?: Readonly<Record<string, unknown>>;
  readonly bodyOptional?: boolean;
  /** Beside those that follow from what it takes. */
  readonly errors?: readonly ErrorCode[];
  readonly query?: readonly { readonly name: string; readonly schema: object; readonly description: string }[];
  readonly headers?: readonly { readonly name: string; readonly schema: object; readonly description: string }[];
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

const STARTING_AFTER = [
  {
    name: "starting_after",
    schema: { type: "integer", minimum: 0 },
    description: "Replay what came after this number.",
  },
] as const;

/** Path → method → operation; the paths are those of the edge. */
export const OPERATIONS: Readonly<Record<string, Readonly<Record<string, Operation>>>> = {
  "/v1/videos": {
    post: {
      summary: "Ask for a video",
      answer: "Video",
      body: CREATE_BODY,
      headers: [
        {
          name: IDEMPOTENCY_KEY_HEADER,
          schema: { type: "string", minLength: 1, maxLength: 255 },
          description: "For a day the same key with the same fields is answered with the same video.",
        },
      ],
      errors: OF_CREATE,
    },
    get: { summary: "List the account's videos", answer: "VideoList", query: listOf(VideoId) },
  },
  "/v1/videos/estimate": {
    post: {
      summary: "What a video would cost and when it would start; stores and holds nothing",
      answer: "VideoEstimate",
      body: CREATE_BODY,
      errors: OF_CREATE.slice(0, 3),
    },
  },
  "/v1/videos/{id}": {
    get: { summary: "Read a video", answer: "Video" },
    delete: { summary: "Delete a video; one that still runs is cancelled first", answer: "VideoDeleted" },
  },
  "/v1/videos/{id}/cancel": {
    post: { summary: "Cancel a video; without effect once it is over", answer: "Video" },
  },
  "/v1/videos/{id}/remix": {
    post: {
      summary:
        "Ask for a completed video again under a new prompt: same model, size, seconds, steps, seed and reference",
      answer: "Video",
      body: bodyOf(RemixVideo),
      errors: [...OF_CREATE, "video_not_ready"],
    },
  },
  "/v1/videos/{id}/promote": {
    post: {
      summary: "Do the rest of a completed draft, as a video of its own, for the price of the steps that are left",
      answer: "Video",
      body: bodyOf(PromoteVideo),
      bodyOptional: true,
      errors: [...OF_CREATE, "video_not_ready", "video_expired", "unsupported_operation"],
    },
  },
  "/v1/videos/edits": { post: { summary: "Not offered", answer: null, errors: ["unsupported_operation"] } },
  "/v1/videos/extensions": { post: { summary: "Not offered", answer: null, errors: ["unsupported_operation"] } },
  "/v1/videos/characters": { post: { summary: "Not offered", answer: null, errors: ["unsupported_operation"] } },
  "/v1/videos/characters/{id}": { get: { summary: "Not offered", answer: null, errors: ["unsupported_operation"] } },
  "/v1/videos/{id}/content": {
    get: {
      summary: "Download the MP4, whole or by Range, or its thumbnail",
      answer: {
        status: 200,
        description: "The video, or one frame of it",
        mediaType: ["video/mp4", THUMBNAIL_MEDIA_TYPE],
      },
      errors: ["unsupported_operation", "video_not_ready", "video_expired", "range_not_satisfiable"],
      query: [{ name: "variant", schema: { enum: ["video", "thumbnail"], default: "video" }, description: "Which." }],
    },
  },
  "/v1/videos/{id}/events": {
    get: {
      summary: "One video's events as server-sent events, until it has ended",
      answer: { status: 200, description: "Frames of a session, each an event", mediaType: "text/event-stream" },
      empty: "The video has ended, and the reader knows it: do not come back",
      query: STARTING_AFTER,
    },
  },
  "/v1/videos/events": {
    get: {
      summary: "The account's events as a WebSocket, or as server-sent events with `Accept: text/event-stream`",
      answer: {
        status: 101,
        description:
          "A session: `hello`, `snapshot`, missed events, `caught_up`, then `Event`s, `video.progress` and `video.queue_position`",
      },
      query: [
        ...STARTING_AFTER,
        { name: "replaces", schema: { type: "string" }, description: "The client's session that this one takes over." },
      ],
      errors: ["upgrade_required"],
    },
  },
  "/v1/sessions": {
    post: {
      summary: "Get a ticket: a browser opens one WebSocket with it, within a minute",
      answer: "SessionTicket",
      body: bodyOf(CreateSession),
      bodyOptional: true,
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
  "/v1/limits": {
    get: { summary: "What the account's tier allows, and how much of it is left", answer: "Limits" },
  },
  "/v1/models": { get: { summary: "List the models, and what may be asked of each", answer: "ModelList" } },
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
      bodyOptional: true,
    },
    delete: { summary: "Remove an endpoint with its deliveries", answer: "WebhookEndpointDeleted" },
  },
  "/v1/webhook_endpoints/{id}/rotate_secret": {
    post: {
      summary: "Sign with a new secret, shown once; the old one signs beside it for a while",
      answer: "WebhookEndpoint",
      body: bodyOf(RotateSecret),
      bodyOptional: true,
      errors: ["unsupported_operation"],
    },
  },
  "/v1/webhook_endpoints/{id}/test": {
    post: {
      summary: "Send a test event, at once also to an endpoint that rests",
      answer: "WebhookDelivery",
      errors: ["webhook_endpoint_disabled"],
    },
  },
  "/v1/webhook_endpoints/{id}/replay": {
    post: {
      summary: "Send again what the log has for an endpoint since a time or an event",
      answer: "WebhookReplay",
      body: bodyOf(ReplayWebhooks),
      errors: ["webhook_endpoint_disabled"],
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
    post: {
      summary: "Send a delivery again, under its old `webhook-id`",
      answer: "WebhookDelivery",
      errors: ["webhook_endpoint_disabled"],
    },
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

function operationOf(path: string, operation: Operation): object {
  const { summary, body, bodyOptional = false, query = [], headers = [], errors = [] } = operation;
  const shape = { path, hasBody: body !== undefined, hasQuery: query.length > 0, errors };
  const parameters = [
    ...(path.includes("{id}") ? [{ name: "id", in: "path", required: true, schema: { type: "string" } }] : []),
    ...query.map((entry) => ({ ...entry, in: "query" })),
    ...headers.map((entry) => ({ ...entry, in: "header" })),
  ];
  return {
    summary,
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined ? {} : { requestBody: { required: !bodyOptional, content: body } }),
    responses: {
      ...successOf(operation),
      ...(operation.empty === undefined ? {} : { 204: { description: operation.empty } }),
      ...errorResponses(shape, jsonOf("ErrorEnvelope")),
    },
  };
}

function successOf({ answer }: Operation): object {
  if (answer === null) return {};
  if (typeof answer === "string") return { 200: { description: answer, content: jsonOf(answer) } };
  const types = [answer.mediaType ?? []].flat();
  const content = types.length === 0 ? {} : { content: Object.fromEntries(types.map((type) => [type, {}])) };
  return { [answer.status]: { description: answer.description, ...content } };
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
