# Ruby without gems: events as lines, each acknowledged when it is on disk.
require "json"
require "socket"

path = ENV.fetch("SLEDGE_SOCKET", "/run/sledge/sledge.sock")
event = { name: "api_usage", external_customer_id: "user_123", external_id: "ruby-1", metadata: { units: 3 } }

UNIXSocket.open(path) do |connection|
  connection.puts('{"sledge":{"ack":"each"}}', event.to_json)
  ack = JSON.parse(connection.gets)
  puts ack["ok"] ? ack["external_id"] : ack["error"]["message"]
end
