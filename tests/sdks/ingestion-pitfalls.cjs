// What docs/sdks.md warns of: a cost with too many decimals, and an S3 client that two customers share. Says what came of
// the first; Polar's events tell the second.

const { createServer } = require("node:http");
const { S3Client, PutObjectCommand } = require("@aws-sdk/client-s3");
const { Ingestion } = require("@polar-sh/ingestion");
const { S3Strategy } = require("@polar-sh/ingestion/strategies/S3");

const ingestion = Ingestion({ serverURL: `http://${process.env.SLEDGE_HTTP}` });

const storage = createServer((request, response) => request.resume().on("end", () => response.end()));
storage.listen(0, "127.0.0.1", async () => {
  const cost = { amount: 0.1 + 0.2, currency: "usd" };
  const refused = await ingestion.ingest([{ name: "cost", externalCustomerId: "u", metadata: { _cost: cost } }]).catch((error) => error);
  console.log(refused.constructor.name);

  const client = new S3Client({
    region: "us-east-1",
    endpoint: `http://127.0.0.1:${storage.address().port}`,
    forcePathStyle: true,
    credentials: { accessKeyId: "played", secretAccessKey: "played" },
  });
  const metered = ingestion.strategy(new S3Strategy(client)).ingest("upload");
  for (const externalCustomerId of ["first", "second"]) {
    await metered.client({ externalCustomerId }).send(new PutObjectCommand({ Bucket: "b", Key: "k", Body: "12345" }));
  }
  client.destroy();
  storage.close();
});
