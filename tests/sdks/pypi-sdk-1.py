"""PyPI polar-sdk 1.x: every API version it has, sync and async."""

from importlib import import_module

import httpx
from orders import TOKEN, serve


def events(name, units):
    return [{"name": name, "external_customer_id": "user_123", "metadata": {"units": units}}]


def sync(api, address=lambda order: order["http"]):
    def open_client(order):
        polar = import_module(f"polar.{api}").Polar(TOKEN, base_url=address(order))
        return lambda name, units: polar.events.ingest(events=events(name, units))

    return open_client


async def tcp_async(order):
    polar = import_module("polar.v2026_10").PolarAsync(TOKEN, base_url=order["http"])
    return lambda name, units: polar.events.ingest(events=events(name, units))


def socket(order):
    polar = import_module("polar.v2026_10").Polar(TOKEN, base_url="http://localhost")
    # It has no option for this; what it keeps to itself can be replaced all the same.
    transport = httpx.HTTPTransport(uds=order["socket"])
    polar._client._client = httpx.Client(transport=transport, base_url="http://localhost", headers=polar._client._client.headers)
    return lambda name, units: polar.events.ingest(events=events(name, units))


serve(
    "pypi-sdk-1",
    {
        "tcp v2026_04": sync("v2026_04"),
        "tcp v2026_10": sync("v2026_10"),
        "tcp v2027_01": sync("v2027_01"),
        "tcp with a slash": sync("v2026_10", lambda order: order["http"] + "/"),
        "tcp async": tcp_async,
        "socket by a private attribute": socket,
    },
    lambda order: import_module("polar.v2026_10").Polar(TOKEN, base_url=order["http"]).meters.list().items,
)
