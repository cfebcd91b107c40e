"""Python without any package: events as lines, each acknowledged when it is on disk."""

import json
import os
import socket

events = [
    {"name": "api_usage", "external_customer_id": "user_123", "external_id": f"python-{call}", "metadata": {"units": 1}}
    for call in range(3)
]

with socket.socket(socket.AF_UNIX) as connection:
    connection.settimeout(10)
    connection.connect(os.environ.get("SLEDGE_SOCKET", "/run/sledge/sledge.sock"))
    lines = connection.makefile("rw", encoding="utf-8", newline="\n")
    # Without this first line nothing comes back: fire and forget.
    lines.write('{"sledge":{"ack":"each"}}\n')
    for event in events:
        lines.write(json.dumps(event) + "\n")
    lines.flush()
    for event in events:
        ack = json.loads(lines.readline())
        print(ack["external_id"] if ack["ok"] else ack["error"]["message"])
