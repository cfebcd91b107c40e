// Go, with its own net/http: one ingest request over the Unix socket.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {
	path := os.Getenv("SLEDGE_SOCKET")
	if path == "" {
		path = "/run/sledge/sledge.sock"
	}
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}}
	events := `{"events":[{"name":"api_usage","external_customer_id":"user_123","external_id":"go-1","metadata":{"units":3}}]}`
	answer, err := client.Post("http://localhost/v1/events/ingest", "application/json", strings.NewReader(events))
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		log.Fatal(answer.Status, string(body), err)
	}
	fmt.Println(string(body))
}
