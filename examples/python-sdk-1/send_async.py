"""PyPI polar-sdk 1.x, async."""

import asyncio
import os

from polar.v2026_10 import PolarAsync


async def main():
    address = os.environ.get("SLEDGE_HTTP", "127.0.0.1:9465")
    async with PolarAsync(os.environ.get("POLAR_ACCESS_TOKEN", "none"), base_url=f"http://{address}") as polar:
        answer = await polar.events.ingest(
            events=[{"name": "api_usage", "external_customer_id": "user_123", "metadata": {"units": 3}}]
        )
        print(answer.inserted, answer.duplicates)


asyncio.run(main())
