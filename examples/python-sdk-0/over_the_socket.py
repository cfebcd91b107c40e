"""PyPI polar-sdk 0.x over the Unix socket, sync and async."""

import asyncio
import os

import httpx
from polar_sdk import Polar

token = os.environ.get("POLAR_ACCESS_TOKEN", "none")
path = os.environ.get("SLEDGE_SOCKET", "/run/sledge/sledge.sock")
request = {"events": [{"name": "api_usage", "external_customer_id": "user_123", "metadata": {"units": 3}}]}

client = httpx.Client(transport=httpx.HTTPTransport(uds=path))
with Polar(access_token=token, server_url="http://localhost", client=client) as polar:
    print(polar.events.ingest(request=request).inserted)


async def main():
    client = httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=path))
    async with Polar(access_token=token, server_url="http://localhost", async_client=client) as polar:
        print((await polar.events.ingest_async(request=request)).inserted)


asyncio.run(main())
