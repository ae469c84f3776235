import { Writable } from "node:stream";
import { pino } from "pino";
import { expect, test } from "vitest";
import { loggableError, redact, SAFE_LOG } from "#protocol/log-line.ts";

/** One of each kind of secret, and of what users wrote. */
const CANARIES = {
  apiKey: `cs_live_${"a1".repeat(8)}_CanaryCanaryCanaryCanaryCanar0_00ABCD`,
  joinToken: `csj_${"ca".repeat(32)}`,
  runnerSecret: `csr_${"fe".repeat(32)}`,
  webhookSecret: "whsec_Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5",
  bearer: "Bearer canary-of-an-operator",
  url: `https://store.test/store/v1/jobs/x?expires=1&signature=${"cafe".repeat(16)}`,
  database: "postgres://callsheet:canary-password@127.0.0.1/callsheet",
} as const;
const PROMPT = "a canary in a coal mine";

function written(log: (logger: ReturnType<typeof aLogger>["logger"]) => void): string {
  const { logger, lines } = aLogger();
  log(logger);
  return lines.join("");
}

/** As the programs make theirs. */
function aLogger() {
  const lines: string[] = [];
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      lines.push(chunk.toString());
      done();
    },
  });
  return { logger: pino({ ...SAFE_LOG, base: { program: "test" } }, stream), lines };
}

test("a field that is not in the list is dropped, and only its name is told", () => {
  const line = written((log) => log.info({ job: "video_1", prompt: PROMPT, headers: { authorization: "x" } }, "said"));
  expect(JSON.parse(line)).toMatchObject({ job: "video_1", msg: "said", dropped: ["prompt", "headers"] });
  expect(line).not.toContain(PROMPT);
});

test.each(Object.entries(CANARIES))("a %s is never written, wherever it stands", (_kind, canary) => {
  const line = written((log) => {
    log.info({ reason: `because of ${canary}`, control_planes: [canary] }, "a reason");
    log.warn({ err: new Error(`failed with ${canary}`, { cause: new TypeError(canary) }) }, "an error");
    log.error({ url: canary, row: canary }, `a message with ${canary}`);
    log.child({ runner: canary }).info({}, "a child");
  });
  const secret = canary.replace(/^Bearer |^.*signature=|^postgres:\/\/callsheet:|@.*$/g, "");
  expect(line).not.toContain(secret);
  expect(line).toContain("[secret]");
  for (const one of line.trim().split("\n")) JSON.parse(one);
  expect(redact(`x ${canary} y`)).not.toContain(secret);
});

test("of an error of the database, of a parser or of an engine nothing is written that quotes what they were given", () => {
  const database = Object.assign(new Error("new row violates a constraint"), {
    code: "23514",
    detail: `Failing row contains (${PROMPT}).`,
    query: `insert into job values ('${PROMPT}')`,
    parameters: [PROMPT],
  });
  const line = written((log) => {
    log.error({ err: database }, "a row");
    try {
      JSON.parse(`{"p": ${PROMPT}`);
    } catch (error) {
      log.error({ err: error }, "a body");
    }
    log.warn({ error: { class: "user", code: "refused", detail: PROMPT } }, "an attempt");
  });
  expect(line).not.toContain(PROMPT);
  expect(line).not.toContain(PROMPT.slice(0, 8));
  expect(line).toContain("23514");
  expect(line).toContain('"error":{"class":"user","code":"refused"}');
});

test("the chain of causes is kept, and ends", () => {
  const loop = new Error("outer");
  loop.cause = loop;
  expect(loggableError(loop).causes).toHaveLength(4);
  expect(loggableError("text")).toMatchObject({ type: "string" });
  const { causes, stack } = loggableError(new Error("outer", { cause: new RangeError("inner") }));
  expect(causes).toMatchObject([{ type: "RangeError", message: "inner" }]);
  expect(stack).toMatch(/^\s+at /);
});
