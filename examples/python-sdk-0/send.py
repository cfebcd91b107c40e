"""PyPI polar-sdk 0.x: the address is the one changed line."""

import os

from polar_sdk import Polar

address = os.environ.get("SLEDGE_HTTP", "127.0.0.1:9465")
with Polar(access_token=os.environ.get("POLAR_ACCESS_TOKEN", "none"), server_url=f"http://{address}") as polar:
    answer = polar.events.ingest(
        request={"events": [{"name": "api_usage", "external_customer_id": "user_123", "metadata": {"units": 3}}]}
    )
    print(answer.inserted, answer.duplicates)
