// Command witnessjudge is a log that asks a witness for its cosignatures, made of the Go project's note and tlog
// packages and the transparency-dev project's cosignature verifier. It shares no code with the witness that it judges.
//
//	witnessjudge -new                                            a log's private and verifier key, as JSON
//	witnessjudge -key KEY -log VKEY -witness VKEY -url PREFIX    grows, and tries everything that must be refused
//
// One line a verdict: accept or refuse, what was expected, what came, and what it was about.
package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	f_note "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	origin   = "log.judge.test"
	sizeType = "text/x.tlog.size"
)

func main() {
	fresh := flag.Bool("new", false, "make a key")
	key := flag.String("key", "", "private key of the log")
	log := flag.String("log", "", "verifier key of the log")
	witness := flag.String("witness", "", "verifier key of the witness")
	url := flag.String("url", "", "submission prefix of the witness")
	flag.Parse()
	run := func() error { return judge(*key, *log, *witness, *url) }
	if *fresh {
		run = printKey
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func printKey() error {
	private, public, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]string{"key": private, "vkey": public})
}

// history is a tree in memory: the stored hashes of tlog.
type history struct {
	hashes []tlog.Hash
	size   int64
}

// ReadHashes implements tlog.HashReader.
func (h *history) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, 0, len(indexes))
	for _, index := range indexes {
		if index >= int64(len(h.hashes)) {
			return nil, errors.New("beyond the tree")
		}
		found = append(found, h.hashes[index])
	}
	return found, nil
}

func newHistory(size, fork int64) (*history, error) {
	h := &history{}
	for ; h.size < size; h.size++ {
		text := fmt.Sprintf("entry %d", h.size)
		if h.size >= fork {
			text = "other"
		}
		hashes, err := tlog.StoredHashes(h.size, []byte(text), h)
		if err != nil {
			return nil, err
		}
		h.hashes = append(h.hashes, hashes...)
	}
	return h, nil
}

func (h *history) checkpoint(signer note.Signer, name string, size int64) (string, error) {
	root, err := tlog.TreeHash(size, h)
	if err != nil {
		return "", err
	}
	text := fmt.Sprintf("%s\n%d\n%s\n", name, size, base64.StdEncoding.EncodeToString(root[:]))
	signed, err := note.Sign(&note.Note{Text: text}, signer)
	return string(signed), err
}

func (h *history) proof(from, to int64) ([]tlog.Hash, error) {
	if from == 0 || from == to {
		return nil, nil
	}
	return tlog.ProveTree(to, from, h)
}

type answer struct {
	status int
	kind   string
	body   string
}

func submit(url string, old int64, proof []tlog.Hash, checkpoint string) (answer, error) {
	var body strings.Builder
	fmt.Fprintf(&body, "old %d\n", old)
	for _, hash := range proof {
		fmt.Fprintln(&body, base64.StdEncoding.EncodeToString(hash[:]))
	}
	body.WriteString("\n" + checkpoint)
	return post(url, body.String())
}

func post(url, body string) (answer, error) {
	client := &http.Client{Timeout: 10 * time.Second}
	response, err := client.Post(url+"/add-checkpoint", "text/plain", strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	return answer{response.StatusCode, response.Header.Get("Content-Type"), string(data)}, err
}

// cosigned opens the checkpoint with the cosignature added, by the verifiers of both.
func cosigned(checkpoint, lines string, log, witness note.Verifier) error {
	opened, err := note.Open([]byte(checkpoint+lines), note.VerifierList(log, witness))
	if err != nil {
		return err
	}
	if len(opened.Sigs) != 2 {
		return fmt.Errorf("%d of 2 signatures", len(opened.Sigs))
	}
	at, err := f_note.CoSigV1Timestamp(opened.Sigs[1])
	if err != nil {
		return err
	}
	if age := time.Since(at); age > time.Hour || age < -time.Minute {
		return fmt.Errorf("cosigned at %v", at)
	}
	return nil
}
