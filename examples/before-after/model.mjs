// A language model that always answers, as the AI SDK sees one: the only thing here that is not real.
export const model = {
  specificationVersion: "v2",
  provider: "example",
  modelId: "always-answers",
  supportedUrls: {},
  doGenerate: async () => ({
    content: [{ type: "text", text: "answered" }],
    finishReason: "stop",
    usage: { inputTokens: 12, outputTokens: 3, totalTokens: 15 },
    warnings: [],
  }),
};
