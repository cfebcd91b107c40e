<?php
// PHP without extensions: events as lines, each acknowledged when it is on disk.
$path = getenv('SLEDGE_SOCKET') ?: '/run/sledge/sledge.sock';
$connection = stream_socket_client("unix://$path", $code, $why, 10) or exit("$why\n");
stream_set_timeout($connection, 10);

$event = ['name' => 'api_usage', 'external_customer_id' => 'user_123', 'external_id' => 'php-1', 'metadata' => ['units' => 3]];
fwrite($connection, '{"sledge":{"ack":"each"}}' . "\n" . json_encode($event) . "\n");
$ack = json_decode(fgets($connection), true);
echo $ack['ok'] ? $ack['external_id'] : $ack['error']['message'], "\n";
