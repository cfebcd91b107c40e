"""PyPI polar-sdk 1.x: the address is the one changed line."""

import os

from polar.v2026_10 import Polar

address = os.environ.get("SLEDGE_HTTP", "127.0.0.1:9465")
with Polar(os.environ.get("POLAR_ACCESS_TOKEN", "none"), base_url=f"http://{address}") as polar:
    answer = polar.events.ingest(
        events=[{"name": "api_usage", "external_customer_id": "user_123", "metadata": {"units": 3}}]
    )
    print(answer.inserted, answer.duplicates)
