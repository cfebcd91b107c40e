#!/bin/sh
# socat: lines to the Unix socket. The first asks for an answer to each of the others; without it nothing comes back.
printf '%s\n' '{"sledge":{"ack":"each"}}' \
  '{"name":"api_usage","external_customer_id":"user_123","external_id":"socat-1","metadata":{"units":3}}' |
  socat -t 10 - "UNIX-CONNECT:${SLEDGE_SOCKET:-/run/sledge/sledge.sock}"
