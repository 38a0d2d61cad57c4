// Command workloadjudge asks a Workload API with SPIFFE's own Go library and writes what it saw, one JSON object a line.
//
//	workloadjudge live SOCKET AUDIENCE      fetch, JWT, bundles, WIT; then watches a rotation and the withdrawal
//	workloadjudge wit SOCKET AUDIENCE       WIT-SVIDs alone
//	workloadjudge serve SOCKET CALLER       mutual TLS as a server that lets only instances of CALLER in; prints its address
//	workloadjudge dial SOCKET SERVER ADDR   mutual TLS as a client that speaks only to instances of SERVER
//
// It holds no opinion of its own: what to expect is the caller's business.
package main

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/exp/svid/witsvid"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

// patience bounds every call; a watch is ended by its caller.
const patience = 10 * time.Second

func say(step string, facts map[string]any) {
	line := map[string]any{"step": step}
	for name, fact := range facts {
		line[name] = fact
	}
	_ = json.NewEncoder(os.Stdout).Encode(line)
}

func refused(step string, err error) { say(step, map[string]any{"said": err.Error()}) }

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "workloadjudge: live|serve|dial SOCKET ...")
		os.Exit(2)
	}
	ctx := context.Background()
	option := workloadapi.WithAddr(os.Args[2])
	client, err := workloadapi.New(ctx, option)
	if err != nil {
		refused("error", err)
		return
	}
	defer client.Close()
	switch os.Args[1] {
	case "live":
		live(ctx, client, os.Args[3])
	case "wit":
		short, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		wits(short, client)
	case "serve":
		err = serve(ctx, client, os.Args[3])
	case "dial":
		err = dial(ctx, client, os.Args[3], os.Args[4])
	}
	if err != nil {
		refused("error", err)
	}
}

func live(ctx context.Context, client *workloadapi.Client, audience string) {
	short, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	found, err := client.FetchX509Context(short)
	if err != nil {
		refused("x509-refused", err)
	} else {
		ids := []string{}
		for _, svid := range found.SVIDs {
			ids = append(ids, svid.ID.String())
		}
		say("x509", map[string]any{"ids": ids})
	}
	tokens(short, client, audience)
	bundles(short, client)
	wits(short, client)
	if err != nil {
		return
	}
	watcher := &watch{done: make(chan struct{})}
	watching, stop := context.WithCancel(ctx)
	go func() { _ = client.WatchX509Context(watching, watcher) }()
	<-watcher.done
	stop()
}

func tokens(ctx context.Context, client *workloadapi.Client, audience string) {
	svids, err := client.FetchJWTSVIDs(ctx, jwtsvid.Params{Audience: audience})
	if err != nil {
		refused("jwt-refused", err)
		return
	}
	set, err := client.FetchJWTBundles(ctx)
	if err != nil {
		refused("jwt-bundles-refused", err)
		return
	}
	for _, svid := range svids {
		token := svid.Marshal()
		if _, err := jwtsvid.ParseAndValidate(token, set, []string{audience}); err != nil {
			refused("jwt-untrusted", err)
			return
		}
		validated, err := client.ValidateJWTSVID(ctx, token, audience)
		if err != nil {
			refused("validate-refused", err)
			return
		}
		say("jwt", map[string]any{"ids": []string{validated.ID.String()}})
		if _, err := client.ValidateJWTSVID(ctx, token, audience+"/other"); err != nil {
			refused("audience-refused", err)
		}
	}
}

func bundles(ctx context.Context, client *workloadapi.Client) {
	set, err := client.FetchX509Bundles(ctx)
	if err != nil {
		refused("bundles-refused", err)
		return
	}
	domains := []string{}
	for _, bundle := range set.Bundles() {
		domains = append(domains, bundle.TrustDomain().Name())
	}
	say("bundles", map[string]any{"domains": domains})
}

// wits fetches WIT-SVIDs, proves them by the bundles, and sees that each has the private key that it is bound to.
func wits(ctx context.Context, client *workloadapi.Client) {
	svids, err := client.FetchWITSVIDs(ctx, "")
	if err != nil {
		refused("wit-refused", err)
		return
	}
	set, err := client.FetchWITBundles(ctx)
	if err != nil {
		refused("wit-bundles-refused", err)
		return
	}
	ids := []string{}
	for _, svid := range svids {
		proven, err := witsvid.ParseAndValidate(svid.Marshal(), set)
		if err != nil {
			refused("wit-untrusted", err)
			return
		}
		key, ok := svid.PrivateKey.(*ecdsa.PrivateKey)
		if !ok || !key.PublicKey.Equal(proven.PublicKey) {
			say("wit-untrusted", map[string]any{"said": "the private key is not the one that the token names"})
			return
		}
		ids = append(ids, proven.ID.String())
	}
	say("wit", map[string]any{"ids": ids})
}

// watch says what the stream brings: the first state, another one, and its end.
type watch struct {
	mutex sync.Mutex
	seen  string
	done  chan struct{}
}

func (w *watch) OnX509ContextUpdate(found *workloadapi.X509Context) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	serial := found.DefaultSVID().Certificates[0].SerialNumber.String()
	switch w.seen {
	case "":
		say("watching", nil)
	case serial:
		return
	default:
		say("rotated", nil)
	}
	w.seen = serial
}

func (w *watch) OnX509ContextWatchError(err error) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.seen != "done" {
		refused("withdrawn", err)
		w.seen = "done"
		close(w.done)
	}
}

func serve(ctx context.Context, client *workloadapi.Client, caller string) error {
	source, err := workloadapi.NewX509Source(ctx, workloadapi.WithClient(client))
	if err != nil {
		return err
	}
	listener, err := spiffetls.ListenWithMode(ctx, "tcp", "127.0.0.1:0",
		spiffetls.MTLSServerWithSource(instancesOf(caller), source))
	if err != nil {
		return err
	}
	say("serving", map[string]any{"address": listener.Addr().String()})
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go greet(conn)
	}
}

func instancesOf(class string) tlsconfig.Authorizer {
	return tlsconfig.AdaptMatcher(func(id spiffeid.ID) error {
		if !strings.HasPrefix(id.String(), class+"/") {
			return fmt.Errorf("%s is no instance of %s", id, class)
		}
		return nil
	})
}

func greet(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	buffer := make([]byte, 5)
	if _, err := io.ReadFull(conn, buffer); err != nil {
		refused("caller-refused", err)
		return
	}
	peer, err := spiffetls.PeerIDFromConn(conn)
	if err != nil {
		refused("caller-refused", err)
		return
	}
	_, _ = fmt.Fprintf(conn, "hello %s", peer)
	say("greeted", map[string]any{"ids": []string{peer.String()}})
}

func dial(ctx context.Context, client *workloadapi.Client, server, address string) error {
	short, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	source, err := workloadapi.NewX509Source(short, workloadapi.WithClient(client))
	if err != nil {
		return err
	}
	conn, err := spiffetls.DialWithMode(short, "tcp", address,
		spiffetls.MTLSClientWithSource(instancesOf(server), source))
	if err != nil {
		refused("server-refused", err)
		return nil
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, "hello"); err != nil {
		refused("server-refused", err)
		return nil
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		refused("server-refused", err)
		return nil
	}
	say("answered", map[string]any{"said": string(answer)})
	return nil
}
