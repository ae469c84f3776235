/**
 * `npm start`: the whole product on this machine. With a prompt it also renders that video, saves it and stops.
 *
 * Ctrl-C and SIGTERM stop everything in order; a second Ctrl-C ends everything at once. Exit codes: 0 done or stopped
 * on request, 1 failed, 130 stopped the hard way.
 */
import { HELP, readConfig, type Config } from "./config.ts";
import { holdHome } from "./home.ts";
import { renderPrompt } from "./render-prompt.ts";
import { Stack, type StackFacts } from "./stack.ts";
import { Terminal } from "./terminal.ts";

/** npm passes a Ctrl-C on to us that the terminal has sent us already: signals this close together are one. */
const ONE_SIGNAL_MS = 500;

const terminal = new Terminal();

async function main(): Promise<number> {
  const config = readConfig(process.argv.slice(2), process.env, process.cwd());
  if (config.help) {
    terminal.line(HELP);
    return 0;
  }
  const startedAt = Date.now();
  const asked = new AbortController();
  const home = holdHome(config.home);
  const stack = new Stack(config, home, (text) => terminal.line(text));
  onStopSignal(asked, stack);
  let failure: string | null = null;
  try {
    terminal.status("Starting PostgreSQL, control plane, edge and runners …");
    const facts = await untilAborted(stack.start(), asked.signal);
    terminal.status("");
    terminal.line(`Callsheet is up after ${((Date.now() - startedAt) / 1000).toFixed(1)} s.`);
    await serve(config, facts, asked.signal);
  } catch (error) {
    if (!asked.signal.aborted) failure = messageOf(error);
  }
  terminal.status("");
  if (failure !== null) terminal.line(failure);
  await stack.stop();
  return failure === null && (config.request === null || !asked.signal.aborted) ? 0 : 1;
}

async function serve(config: Config, facts: StackFacts, stop: AbortSignal): Promise<void> {
  const api = { edgeUrl: facts.edgeUrl, apiKey: facts.accounts.pro.api_key };
  if (config.request !== null) {
    await renderPrompt(config.request, api, terminal, stop);
    return;
  }
  terminal.line(welcome(config, facts));
  await new Promise((resolve) => stop.addEventListener("abort", resolve, { once: true }));
}

function welcome(config: Config, facts: StackFacts): string {
  const { free, plus, pro } = facts.accounts;
  return `
  API      ${facts.edgeUrl}/v1
  Admin    ${facts.adminUrl}   (token in ${config.home}/dev.json)
  Logs     ${config.home}/logs

  Demo keys
    free   ${free.api_key}
    plus   ${plus.api_key}
    pro    ${pro.api_key}

  Try it
    curl ${facts.edgeUrl}/v1/videos -H "Authorization: Bearer ${pro.api_key}" \\
      -F prompt="a red fox in the snow" -F size=832x480 -F seconds=2

  Ctrl-C stops everything.
`;
}

function onStopSignal(asked: AbortController, stack: Stack): void {
  let firstAt: number | null = null;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (firstAt === null) {
      firstAt = Date.now();
      terminal.status("");
      terminal.line(`${signal === "SIGINT" ? "Ctrl-C" : signal}: stopping in order. Once more stops at once.`);
      asked.abort(new Error("stopped"));
    } else if (Date.now() - firstAt > ONE_SIGNAL_MS) {
      stack.kill();
      process.exit(130);
    }
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, onSignal);
}

/** A stop during the start need not wait for the start; `Stack.stop` ends what it had begun. */
async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  signal.addEventListener("abort", () => aborted.reject(new Error("stopped")), { once: true });
  work.catch(() => undefined);
  return await Promise.race([work, aborted.promise]);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

try {
  process.exit(await main());
} catch (error) {
  terminal.status("");
  terminal.line(messageOf(error));
  process.exit(1);
}
