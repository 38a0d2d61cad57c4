// Asks an ext_authz service as Envoy does: the published protos, gRPC over mutual TLS. Holds no opinion: prints what was
// answered to each question of its standard input, one JSON line each.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
)

type question struct {
	Principal   string            `json:"principal"`
	Certificate string            `json:"certificate"`
	Method      string            `json:"method"`
	Path        string            `json:"path"`
	Headers     map[string]string `json:"headers"`
}

type answer struct {
	Grpc    string            `json:"grpc"`
	Code    int32             `json:"code"`
	Allowed bool              `json:"allowed"`
	Denied  int32             `json:"denied"`
	Headers map[string]string `json:"headers"`
}

func main() {
	address := flag.String("address", "", "host:port")
	cert := flag.String("cert", "", "PEM of the client's certificate; none without it")
	key := flag.String("key", "", "PEM of its key")
	flag.Parse()
	// Envoy proves the server by its SPIFFE ID; who it is is not what is judged here.
	config := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}
	if *cert != "" {
		pair, err := tls.LoadX509KeyPair(*cert, *key)
		if err != nil {
			fail(err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	connection, err := grpc.NewClient(*address, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		fail(err)
	}
	defer connection.Close()
	client := auth.NewAuthorizationClient(connection)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var asked question
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			fail(err)
		}
		line, err := json.Marshal(ask(client, asked))
		if err != nil {
			fail(err)
		}
		fmt.Println(string(line))
	}
}

func ask(client auth.AuthorizationClient, asked question) answer {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	response, err := client.Check(ctx, &auth.CheckRequest{Attributes: &auth.AttributeContext{
		Source: &auth.AttributeContext_Peer{
			Address:     &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{Address: "127.0.0.1", PortSpecifier: &core.SocketAddress_PortValue{PortValue: 40000}}}},
			Principal:   asked.Principal,
			Certificate: asked.Certificate,
		},
		Destination:       &auth.AttributeContext_Peer{Service: "finance"},
		Request:           &auth.AttributeContext_Request{Http: &auth.AttributeContext_HttpRequest{Id: "1", Method: asked.Method, Path: asked.Path, Host: "finance.test", Scheme: "https", Protocol: "HTTP/2", Headers: asked.Headers}},
		ContextExtensions: map[string]string{"any": "thing"},
	}})
	if err != nil {
		return answer{Grpc: status.Code(err).String()}
	}
	given := answer{Grpc: "OK", Code: response.GetStatus().GetCode(), Headers: map[string]string{}}
	if ok := response.GetOkResponse(); ok != nil {
		given.Allowed = given.Code == 0
		for _, header := range ok.GetHeaders() {
			given.Headers[header.GetHeader().GetKey()] = header.GetHeader().GetValue()
		}
	}
	if denied := response.GetDeniedResponse(); denied != nil {
		given.Denied = int32(denied.GetStatus().GetCode())
	}
	return given
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
