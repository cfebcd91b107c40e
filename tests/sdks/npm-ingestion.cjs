// npm @polar-sh/ingestion with each of its strategies. What is not Polar's is played: the model that answers, and the
// storage that takes uploads; the AI SDK, the S3 client and the tracer between them are the real ones.
//
// Most strategies send behind the caller's back and tell nobody: a failure is an unhandled rejection, which ends this
// process. Their calls end here when the answer to their request has come.

const { createServer } = require("node:http");
const { Readable } = require("node:stream");
const { S3Client, PutObjectCommand } = require("@aws-sdk/client-s3");
const { BasicTracerProvider, SimpleSpanProcessor } = require("@opentelemetry/sdk-trace-base");
const { Ingestion } = require("@polar-sh/ingestion");
const { PolarTraceExporter } = require("@polar-sh/ingestion/opentelemetry");
const { DeltaTimeStrategy } = require("@polar-sh/ingestion/strategies/DeltaTime");
const { LLMStrategy } = require("@polar-sh/ingestion/strategies/LLM");
const { S3Strategy } = require("@polar-sh/ingestion/strategies/S3");
const { StreamStrategy } = require("@polar-sh/ingestion/strategies/Stream");
const { HTTPClient } = require("@polar-sh/sdk");
const { generateText, streamText } = require("ai");
const { agentOf, serve, version } = require("./orders.cjs");

const customer = { externalCustomerId: "user_123" };

const usage = { inputTokens: 11, outputTokens: 2, totalTokens: 13 };
const model = {
  specificationVersion: "v2",
  provider: "played",
  modelId: "played-1",
  supportedUrls: {},
  doGenerate: async () => ({ content: [{ type: "text", text: "yes" }], finishReason: "stop", usage, warnings: [] }),
  doStream: async () => ({
    stream: new ReadableStream({
      start(controller) {
        controller.enqueue({ type: "stream-start", warnings: [] });
        controller.enqueue({ type: "text-start", id: "1" });
        controller.enqueue({ type: "text-delta", id: "1", delta: "yes" });
        controller.enqueue({ type: "text-end", id: "1" });
        controller.enqueue({ type: "finish", finishReason: "stop", usage });
        controller.close();
      },
    }),
  }),
};

const storage = createServer((request, response) => request.resume().on("end", () => response.end()));

// Each call with a configuration of its own, and a client that tells when its request was answered.
const strategies = {
  "ingest": async (config, name, units) => Ingestion(config).ingest([{ ...customer, name, metadata: { units } }]),
  "llm": async (config, name) => {
    const metered = Ingestion(config).strategy(new LLMStrategy(model)).cost(() => ({ amount: 1.5, currency: "usd" }));
    const { text } = await generateText({ model: metered.ingest(name).client(customer), prompt: "?" });
    if (text !== "yes") throw new Error(`the model's answer became ${text}`);
  },
  "llm stream": async (config, name) => {
    const metered = Ingestion(config).strategy(new LLMStrategy(model)).ingest(name);
    let failure;
    const onError = ({ error }) => (failure = error);
    let text = "";
    for await (const part of streamText({ model: metered.client(customer), prompt: "?", onError }).textStream) text += part;
    if (failure) throw failure;
    if (text !== "yes") throw new Error(`the model's answer became ${text}`);
  },
  "delta time": async (config, name) => {
    const start = Ingestion(config).strategy(new DeltaTimeStrategy(() => performance.now())).ingest(name).client(customer);
    start()();
  },
  "s3": async (config, name) => {
    const client = new S3Client({
      region: "us-east-1",
      endpoint: `http://127.0.0.1:${storage.address().port}`,
      forcePathStyle: true,
      credentials: { accessKeyId: "played", secretAccessKey: "played" },
    });
    const metered = Ingestion(config).strategy(new S3Strategy(client)).ingest(name).client(customer);
    await metered.send(new PutObjectCommand({ Bucket: "b", Key: "k", Body: "12345", ContentType: "text/plain" }));
  },
  "stream": async (config, name) => {
    const stream = Ingestion(config).strategy(new StreamStrategy(Readable.from([Buffer.from("12345")]))).ingest(name).client(customer);
    for await (const _ of stream);
  },
  "opentelemetry": async (config, name) => {
    let told;
    const outcome = new Promise((resolve) => (told = resolve));
    const exporter = new PolarTraceExporter(config);
    const watched = { export: (spans) => exporter.export(spans, told), shutdown: () => exporter.shutdown() };
    const tracer = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(watched)] }).getTracer("app");
    tracer.startSpan(name, { attributes: customer }).end();
    const { code, error } = await outcome;
    if (code !== 0) throw error;
  },
};

const by = (strategy, address) => (order) => {
  const { serverURL, fetcher } = address(order);
  return async (name, units) => {
    const httpClient = new HTTPClient({ fetcher });
    const answered = new Promise((resolve, reject) => {
      httpClient.addHook("response", resolve);
      httpClient.addHook("requestError", reject);
    });
    const config = { accessToken: "polar_oat_of_the_app", serverURL, httpClient };
    await Promise.all([strategy(config, name, units), answered]);
  };
};

const tcp = ({ http }) => ({ serverURL: http });
const socket = (order) => {
  const dispatcher = agentOf(order.socket);
  return { serverURL: "http://localhost", fetcher: (input, init) => fetch(input, { ...init, dispatcher }) };
};

const ways = {};
for (const [name, strategy] of Object.entries(strategies)) {
  ways[`tcp ${name}`] = by(strategy, tcp);
  ways[`socket ${name}`] = by(strategy, socket);
}
storage.listen(0, "127.0.0.1", async () => {
  await serve("npm-ingestion", { "@polar-sh/ingestion": version("@polar-sh/ingestion"), ai: version("ai"), "@aws-sdk/client-s3": version("@aws-sdk/client-s3") }, ways);
  storage.close();
});
