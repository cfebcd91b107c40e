"""PyPI polar-sdk 0.x, sync and async."""

import httpx
from orders import TOKEN, serve
from polar_sdk import Polar


def request(name, units):
    return {"events": [{"name": name, "external_customer_id": "user_123", "metadata": {"units": units}}]}


def sync(**options):
    polar = Polar(access_token=TOKEN, **options)
    return lambda name, units: polar.events.ingest(request=request(name, units))


def asynchronous(**options):
    polar = Polar(access_token=TOKEN, **options)
    return lambda name, units: polar.events.ingest_async(request=request(name, units))


async def tcp_async(order):
    return asynchronous(server_url=order["http"])


async def socket_async(order):
    transport = httpx.AsyncHTTPTransport(uds=order["socket"])
    return asynchronous(server_url="http://localhost", async_client=httpx.AsyncClient(transport=transport))


serve(
    "pypi-sdk-0",
    {
        "tcp": lambda order: sync(server_url=order["http"]),
        "tcp with a slash": lambda order: sync(server_url=order["http"] + "/"),
        "tcp async": tcp_async,
        "socket": lambda order: sync(
            server_url="http://localhost", client=httpx.Client(transport=httpx.HTTPTransport(uds=order["socket"]))
        ),
        "socket async": socket_async,
    },
    lambda order: Polar(access_token=TOKEN, server_url=order["http"]).meters.list().result.items,
)
