// Command spiffejudge puts the judgement of SPIFFE's own Go library on the artifacts it is given.
//
// It reads cases as JSON from standard input and writes one verdict a case to standard output. It holds no opinion of
// its own: what to expect is the caller's business.
package main

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// handshakeTimeout bounds a conversation on loopback.
const handshakeTimeout = 10 * time.Second

type namedBundle struct {
	TrustDomain string `json:"trustDomain"`
	Document    string `json:"document"`
}

// peer is one end of a TLS connection.
type peer struct {
	Chain [][]byte `json:"chain"`
	Pkcs8 []byte   `json:"pkcs8"`
}

type testCase struct {
	Name     string        `json:"name"`
	Kind     string        `json:"kind"`
	ID       string        `json:"id"`
	Chain    [][]byte      `json:"chain"`
	Token    string        `json:"token"`
	Audience string        `json:"audience"`
	Bundles  []namedBundle `json:"bundles"`
	// At is the instant of an X.509 verification in Unix seconds.
	At     int64 `json:"at"`
	Client peer  `json:"client"`
	Server peer  `json:"server"`
}

type verdict struct {
	Name     string `json:"name"`
	Accepted bool   `json:"accepted"`
	Error    string `json:"error,omitempty"`
	// ID is the identity that was proven; for mtls the client's.
	ID     string         `json:"id,omitempty"`
	Bundle *bundleVerdict `json:"bundle,omitempty"`
}

// bundleVerdict is what the library understood of a bundle, and its own writing of the same.
type bundleVerdict struct {
	X509Authorities    int     `json:"x509Authorities"`
	JwtAuthorities     int     `json:"jwtAuthorities"`
	Sequence           uint64  `json:"sequence"`
	RefreshHintSeconds float64 `json:"refreshHintSeconds"`
	Document           string  `json:"document"`
}

func main() {
	var cases []testCase
	if err := json.NewDecoder(os.Stdin).Decode(&cases); err != nil {
		fmt.Fprintln(os.Stderr, "spiffejudge:", err)
		os.Exit(2)
	}
	verdicts := make([]verdict, 0, len(cases))
	for _, c := range cases {
		v := verdict{Name: c.Name}
		if err := judge(c, &v); err != nil {
			v.Error = err.Error()
		} else {
			v.Accepted = true
		}
		verdicts = append(verdicts, v)
	}
	if err := json.NewEncoder(os.Stdout).Encode(verdicts); err != nil {
		os.Exit(2)
	}
}

func judge(c testCase, v *verdict) error {
	switch c.Kind {
	case "id":
		id, err := spiffeid.FromString(c.ID)
		v.ID = id.String()
		return err
	case "x509":
		set, err := bundleSet(c.Bundles)
		if err != nil {
			return err
		}
		id, _, err := x509svid.ParseAndVerify(c.Chain, set, x509svid.WithTime(time.Unix(c.At, 0)))
		v.ID = id.String()
		return err
	case "jwt":
		set, err := bundleSet(c.Bundles)
		if err != nil {
			return err
		}
		svid, err := jwtsvid.ParseAndValidate(c.Token, set, []string{c.Audience})
		if err != nil {
			return err
		}
		v.ID = svid.ID.String()
		return nil
	case "bundle":
		return judgeBundle(c, v)
	case "mtls":
		return judgeMutualTLS(c, v)
	}
	fmt.Fprintf(os.Stderr, "spiffejudge: no kind %q\n", c.Kind)
	os.Exit(2)
	return nil
}

func bundleSet(named []namedBundle) (*spiffebundle.Set, error) {
	set := spiffebundle.NewSet()
	for _, n := range named {
		bundle, err := parseBundle(n)
		if err != nil {
			return nil, err
		}
		set.Add(bundle)
	}
	return set, nil
}

func parseBundle(n namedBundle) (*spiffebundle.Bundle, error) {
	td, err := spiffeid.TrustDomainFromString(n.TrustDomain)
	if err != nil {
		return nil, err
	}
	return spiffebundle.Parse(td, []byte(n.Document))
}

func judgeBundle(c testCase, v *verdict) error {
	bundle, err := parseBundle(c.Bundles[0])
	if err != nil {
		return err
	}
	document, err := bundle.Marshal()
	if err != nil {
		return err
	}
	sequence, _ := bundle.SequenceNumber()
	hint, _ := bundle.RefreshHint()
	v.Bundle = &bundleVerdict{
		X509Authorities:    len(bundle.X509Authorities()),
		JwtAuthorities:     len(bundle.JWTAuthorities()),
		Sequence:           sequence,
		RefreshHintSeconds: hint.Seconds(),
		Document:           string(document),
	}
	return nil
}

// judgeMutualTLS has two peers meet over TLS, both as the library would run them.
func judgeMutualTLS(c testCase, v *verdict) error {
	set, err := bundleSet(c.Bundles)
	if err != nil {
		return err
	}
	client, err := svidOf(c.Client)
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	server, err := svidOf(c.Server)
	if err != nil {
		return fmt.Errorf("server: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer listener.Close()
	seen := make(chan error, 1)
	go func() {
		id, err := serve(listener, tlsconfig.MTLSServerConfig(server, set, tlsconfig.AuthorizeAny()))
		v.ID = id.String()
		seen <- err
	}()
	err = visit(listener.Addr().String(), tlsconfig.MTLSClientConfig(client, set, tlsconfig.AuthorizeID(server.ID)))
	if serverErr := <-seen; serverErr != nil {
		return fmt.Errorf("server: %w", serverErr)
	}
	return err
}

// serve answers one connection with one byte and says who came.
func serve(listener net.Listener, config *tls.Config) (spiffeid.ID, error) {
	socket, err := listener.Accept()
	if err != nil {
		return spiffeid.ID{}, err
	}
	defer socket.Close()
	_ = socket.SetDeadline(time.Now().Add(handshakeTimeout))
	conn := tls.Server(socket, config)
	if err := conn.Handshake(); err != nil {
		return spiffeid.ID{}, err
	}
	if _, err := conn.Write([]byte{1}); err != nil {
		return spiffeid.ID{}, err
	}
	return x509svid.IDFromCert(conn.ConnectionState().PeerCertificates[0])
}

// visit reads the one byte: in TLS 1.3 a client learns only then whether it was accepted.
func visit(address string, config *tls.Config) error {
	socket, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer socket.Close()
	_ = socket.SetDeadline(time.Now().Add(handshakeTimeout))
	conn := tls.Client(socket, config)
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		return fmt.Errorf("client: %w", err)
	}
	if version := conn.ConnectionState().Version; version != tls.VersionTLS13 {
		return fmt.Errorf("TLS version %x", version)
	}
	return nil
}

func svidOf(p peer) (*x509svid.SVID, error) {
	var der []byte
	for _, certificate := range p.Chain {
		der = append(der, certificate...)
	}
	return x509svid.ParseRaw(der, p.Pkcs8)
}
