#!/bin/sh
# curl: one ingest request over the Unix socket. With --fail a refusal is an exit code.
exec curl --silent --show-error --fail-with-body --max-time 10 \
  --unix-socket "${SLEDGE_SOCKET:-/run/sledge/sledge.sock}" http://localhost/v1/events/ingest \
  --header 'content-type: application/json' \
  --data '{"events":[{"name":"api_usage","external_customer_id":"user_123","external_id":"curl-1","metadata":{"units":3}}]}'
