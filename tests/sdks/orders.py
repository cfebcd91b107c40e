"""What both Python clients have in common: they read one order a line, make the calls it asks for in each of their ways,
and say on one line how they ended. The orders are those of orders.cjs."""

import asyncio
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from platform import python_version

TOKEN = "polar_oat_of_the_app"


def say(answer):
    print(json.dumps(answer), flush=True)


class Answer:
    """How the calls of one way ended."""

    def __init__(self, way):
        self.way, self.sent, self.failed, self.slowest_ms, self.quickest_ms = way, [], [], 0, None

    def ended(self, name, begun, error=None):
        if error is None:
            self.sent.append(name)
        else:
            self.failed.append(f"{type(error).__name__}: {error}")
        took = round((time.monotonic() - begun) * 1000)
        self.slowest_ms = max(self.slowest_ms, took)
        self.quickest_ms = took if self.quickest_ms is None else min(self.quickest_ms, took)


# httpx keeps so many idle connections. With more threads than that it closes one that another thread is about to use, now and
# then (Errno 9), whoever the server is.
THREADS_MAX = 20


def one_after_another(answer, names, call):
    """The first alone, the others from threads of their own."""

    def one(name):
        begun = time.monotonic()
        try:
            call(name)
        except Exception as error:
            return answer.ended(name, begun, error)
        return answer.ended(name, begun)

    one(names[0])
    with ThreadPoolExecutor(min(THREADS_MAX, max(1, len(names) - 1))) as threads:
        list(threads.map(one, names[1:]))


async def at_the_same_time(answer, names, call):
    """The first alone, the others in one loop."""

    async def one(name):
        begun = time.monotonic()
        try:
            await call(name)
        except Exception as error:
            return answer.ended(name, begun, error)
        return answer.ended(name, begun)

    await one(names[0])
    await asyncio.gather(*map(one, names[1:]))


def serve(sdk, ways, read):
    """`ways` maps the name of a way to a function that opens a client and returns a call, (name, units) -> …; a coroutine
    function is called with the loop that its client lives in. `read` is given the order and asks Polar for its meters."""
    say({"versions": {"polar-sdk": version("polar-sdk"), "httpx": version("httpx"), "python": python_version()}})
    for line in sys.stdin:
        order = json.loads(line)
        if order.get("read"):
            try:
                say({"read": [meter.name for meter in read(order)]})
            except Exception as error:
                say({"read": [f"{type(error).__name__}: {error}"]})
            continue
        answers = []
        for way, open_client in ways.items():
            if order.get("only", way) != way:
                continue
            answer = Answer(way)
            names = [f"{sdk} {way} {order['weather']} {at}" for at in range(order["calls"])]
            if asyncio.iscoroutinefunction(open_client):

                async def work():
                    call = await open_client(order)
                    await at_the_same_time(answer, names, lambda name: call(name, order["units"]))

                asyncio.run(work())
            else:
                call = open_client(order)
                one_after_another(answer, names, lambda name: call(name, order["units"]))
            answers.append(vars(answer))
        say({"ways": answers})
