#!/usr/bin/env node
// Runs an app that is metered by Polar's ingestion SDK while Polar fails, twice: as it is, and with one line changed so
// that it meters through sledge. Polar is its simulator; everything is on this machine, on free ports, and gone afterwards.
//
//   cargo build --release && examples/install && examples/before-after/run.mjs

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const EVENTS = 4;
const PATIENCE_MS = 60_000;

const built = ["release", "debug"].map((kind) => join(here, "../../target", kind, "sledge"));
const sledge = process.env.SLEDGE_BIN ?? built.find(existsSync);
if (!sledge) fail("there is no sledge yet: cargo build --release makes it, or SLEDGE_BIN names one");

const folder = mkdtempSync(join(tmpdir(), "sledge-before-after-"));
const children = new Set();
const ended = () => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
};
process.on("exit", ended);
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));
setTimeout(() => fail("this took too long"), 2 * PATIENCE_MS).unref();

function fail(why) {
  console.error(`before-after: ${why}`);
  process.exit(1);
}

function start(command, words, variables) {
  const child = spawn(command, words, { env: { PATH: process.env.PATH, ...variables }, stdio: ["ignore", "pipe", "pipe"] });
  children.add(child);
  child.on("close", () => children.delete(child));
  child.on("error", (error) => fail(`${command}: ${error.message}`));
  return child;
}

// The first line that holds a JSON object as wanted; what follows is read and dropped.
async function announced(stream, isWanted) {
  const lines = createInterface({ input: stream });
  const found = await new Promise((resolve) => {
    lines.on("line", (line) => {
      if (line.startsWith("{") && isWanted(JSON.parse(line))) resolve(JSON.parse(line));
    });
    lines.on("close", () => fail("sledge ended before it listened"));
  });
  lines.removeAllListeners("close");
  return found;
}

// Runs the app: what it said, and how it ended.
async function app(program, variables) {
  const child = start(process.execPath, [join(here, program)], { POLAR_ACCESS_TOKEN: "polar_oat_example", ...variables });
  const said = { stdout: "", stderr: "" };
  for (const stream of ["stdout", "stderr"]) child[stream].setEncoding("utf8").on("data", (text) => (said[stream] += text));
  const code = await new Promise((resolve) => child.on("close", resolve));
  const thrown = said.stderr.match(/^\w*Error: .*?(?= Content-Type|$)/m);
  return { lines: said.stdout.trimEnd().split("\n"), ending: `exit code ${code}${thrown ? `, unhandled ${thrown[0]}` : ""}` };
}

async function ask(method, path, body) {
  const answer = await fetch(polar + path, { method, body });
  if (!answer.ok && answer.status !== 408) fail(`the simulator answered ${answer.status} to ${path}`);
  return answer.json().catch(() => ({}));
}

// The one line in which the two programs differ, as each has it.
function difference() {
  const [before, after] = ["before.mjs", "after.mjs"].map((name) => readFileSync(join(here, name), "utf8").split("\n"));
  const differing = before.flatMap((line, at) => (line === after[at] ? [] : [at]));
  if (differing.length !== 1 || before.length !== after.length) fail("before.mjs and after.mjs differ in more than one line");
  return [before[differing[0]], after[differing[0]]];
}

// Polar fails, the app runs to its end, Polar is well again: what is seen of that, and what Polar has in the end.
async function act(title, line, program, variables, delivers) {
  await ask("POST", "/simulator/replies", JSON.stringify({ status: 503, times: 1_000_000 }));
  const { lines, ending } = await app(program, variables);
  await ask("DELETE", "/simulator/replies");
  await delivers();
  const { events_inserted: inserted, events_duplicate: again } = await ask("GET", "/simulator/state");
  const polarHas = `Polar is well again and has ${inserted} of ${EVENTS} events${inserted > 0 && again === 0 ? ", each once" : ""}`;
  console.log([title, ...[line, ...lines, `the app ended: ${ending}`, polarHas].map((text) => `  ${text}`)].join("\n"));
}

const simulator = start(sledge, ["simulate", "--json", "--listen", "127.0.0.1:0"]);
const polar = (await announced(simulator.stdout, (line) => line.listening)).listening;
const daemon = start(
  sledge,
  ["run", "--polar-url", polar, "--data-dir", join(folder, "data"), "--socket", join(folder, "sledge.sock"),
    "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--log-format", "json"],
  { POLAR_ACCESS_TOKEN: "polar_oat_example" },
);
const { http } = await announced(daemon.stderr, (line) => line.message === "ready");

const version = JSON.parse(readFileSync(join(here, "../node_modules/@polar-sh/ingestion/package.json"), "utf8")).version;
const [before, after] = difference();
console.log(`Polar answers 503. An app, metered by @polar-sh/ingestion ${version}, is asked three questions and runs a job.`);
await act("before, straight to Polar:", before, "before.mjs", { POLAR: polar }, () => {});
await act("after, with one changed line:", after, "after.mjs", { SLEDGE: `http://${http}` }, async () => {
  await ask("GET", `/simulator/wait?events=${EVENTS}&timeout_ms=${PATIENCE_MS}`);
  // It delivers what it still has before it ends: nothing comes after this.
  daemon.kill("SIGTERM");
  await new Promise((resolve) => daemon.on("close", resolve));
});
process.exit(0);
