// What every Node client here has in common: it reads one order a line, makes the calls that the order asks for in each of
// its ways, and says on one line how they ended.
//
//   {"calls":3,"weather":"slow","http":"http://127.0.0.1:1","socket":"/tmp/s.sock","only":"tcp","units":3}
//   {"ways":[{"way":"tcp","sent":["npm-sdk-1 tcp slow 0", …],"failed":[],"slowest_ms":12,"quickest_ms":3}]}
//   {"read":true,"http":"http://127.0.0.1:1"}
//   {"read":["API Calls"]}
//
// An event's name tells where it came from, so that nothing but the names at Polar has to be counted.

const { readFileSync } = require("node:fs");
const { createInterface } = require("node:readline");
const { join } = require("node:path");

const say = (answer) => process.stdout.write(JSON.stringify(answer) + "\n");

// The version in a package's own package.json, wherever `require` finds the package.
exports.version = (name) => {
  for (const folder of require.resolve.paths(name)) {
    try {
      return JSON.parse(readFileSync(join(folder, name, "package.json"), "utf8")).version;
    } catch {}
  }
  return "not installed";
};

// An application keeps one agent for a socket. Each has connections of its own, which stay open for a while.
const agents = new Map();
exports.agentOf = (socketPath) => {
  const { Agent } = require("undici");
  if (!agents.has(socketPath)) agents.set(socketPath, new Agent({ connect: { socketPath } }));
  return agents.get(socketPath);
};

// `ways` maps the name of a way to a function that is given the order and returns a call: (event's name, units) → promise.
// `read` is given the order and asks Polar for the names of its meters.
exports.serve = async (sdk, versions, ways, read) => {
  say({ versions: { ...versions, node: process.versions.node } });
  for await (const line of createInterface({ input: process.stdin })) {
    const order = JSON.parse(line);
    if (order.read) {
      say({ read: await read(order).catch((error) => [`${error.constructor.name}: ${error.message}`]) });
      continue;
    }
    const answers = [];
    for (const [way, open] of Object.entries(ways)) {
      if (order.only !== undefined && order.only !== way) continue;
      const answer = { way, sent: [], failed: [], slowest_ms: 0, quickest_ms: Infinity };
      const call = open(order);
      const one = async (name) => {
        const begun = performance.now();
        try {
          await call(name, order.units);
          answer.sent.push(name);
        } catch (error) {
          answer.failed.push(`${error.constructor.name}: ${error.message}`);
        }
        const took = Math.round(performance.now() - begun);
        answer.slowest_ms = Math.max(answer.slowest_ms, took);
        answer.quickest_ms = Math.min(answer.quickest_ms, took);
      };
      const names = Array.from({ length: order.calls }, (_, at) => `${sdk} ${way} ${order.weather} ${at}`);
      // One alone, the others at the same time over the connection that the first one opened and over new ones.
      await one(names[0]);
      await Promise.all(names.slice(1).map(one));
      answers.push(answer);
    }
    say({ ways: answers });
  }
};
