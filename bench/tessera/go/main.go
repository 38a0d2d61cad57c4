// Command tesserabench adds signed entries to a Tessera POSIX log and says how fast it was.
//
// It has no opinion about TrustWarden: entries are DSSE envelopes, each { uint16 length, bytes } in the file -entries,
// all signed by the P-256 key of -spki. Each line on standard input is one run; each run is answered by one line of JSON.
//
//	closed <memory|disk> <plain|verified> <at once> <milliseconds>
//	paced  <memory|disk> <plain|verified> <a second> <milliseconds>
package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"math/big"
	"os"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
)

const (
	// As many as are added at once, or after this time: the log waits for nothing that could matter to a rate.
	batchSize = 1024
	batchAge  = 5 * time.Millisecond
	interval  = time.Second
	// Entries that a paced run adds at one time.
	tick = 10 * time.Millisecond
)

type bench struct {
	entries [][]byte
	key     *ecdsa.PublicKey
	logs    map[string]*tessera.Appender
}

type answer struct {
	Rate float64 `json:"rate"`
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
}

func main() {
	entries := flag.String("entries", "", "file of entries")
	spki := flag.String("spki", "", "file of the signer's public key, DER")
	disk := flag.String("disk", "", "directory of a log on a disk")
	memory := flag.String("memory", "", "directory of a log in memory; none without it")
	flag.Parse()
	b := bench{entries: readEntries(*entries), key: readKey(*spki), logs: map[string]*tessera.Appender{}}
	for name, dir := range map[string]string{"disk": *disk, "memory": *memory} {
		if dir != "" {
			b.logs[name] = openLog(dir)
		}
	}
	fmt.Println(`{"ready":true}`)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var kind, where, how string
		var number, ms int
		_, err := fmt.Sscan(lines.Text(), &kind, &where, &how, &number, &ms)
		must(err)
		must(json.NewEncoder(os.Stdout).Encode(b.run(kind, where, how == "verified", number, time.Duration(ms)*time.Millisecond)))
	}
}

func (b *bench) run(kind, where string, verify bool, number int, d time.Duration) answer {
	log := b.logs[where]
	if log == nil {
		must(fmt.Errorf("there is no log in %q", where))
	}
	if kind == "paced" {
		return b.paced(log, verify, number, d)
	}
	return b.closed(log, verify, number, d)
}

// closed keeps a number of entries on their way.
func (b *bench) closed(log *tessera.Appender, verify bool, atOnce int, d time.Duration) answer {
	var next atomic.Int64
	var wg sync.WaitGroup
	took := make([][]float64, atOnce)
	start := time.Now()
	for worker := range atOnce {
		wg.Go(func() {
			for time.Since(start) < d {
				took[worker] = append(took[worker], b.add(log, verify, int(next.Add(1)), time.Now()))
			}
		})
	}
	wg.Wait()
	return summarise(took, time.Since(start))
}

// paced adds entries at a rate, whatever became of those before.
func (b *bench) paced(log *tessera.Appender, verify bool, perSecond int, d time.Duration) answer {
	each := perSecond * int(tick) / int(time.Second)
	ticks := int(d / tick)
	took := make([][]float64, ticks)
	var wg sync.WaitGroup
	start := time.Now()
	for t := range ticks {
		due := start.Add(time.Duration(t) * tick)
		time.Sleep(time.Until(due))
		took[t] = make([]float64, each)
		for n := range each {
			wg.Go(func() { took[t][n] = b.add(log, verify, t*each+n, due) })
		}
	}
	wg.Wait()
	return summarise(took, time.Since(start))
}

// add returns milliseconds until the entry is durable in its place.
func (b *bench) add(log *tessera.Appender, verify bool, number int, since time.Time) float64 {
	entry := b.entries[number%len(b.entries)]
	if verify {
		b.verify(entry)
	}
	_, err := log.Add(context.Background(), tessera.NewEntry(entry))()
	must(err)
	return float64(time.Since(since).Microseconds()) / 1000
}

type envelope struct {
	Payload     string `json:"payload"`
	PayloadType string `json:"payloadType"`
	Signatures  []struct {
		Sig string `json:"sig"`
	} `json:"signatures"`
}

func (b *bench) verify(entry []byte) {
	var e envelope
	must(json.Unmarshal(entry, &e))
	payload, err := base64.StdEncoding.DecodeString(e.Payload)
	must(err)
	var claims map[string]any
	must(json.Unmarshal(payload, &claims))
	sig, err := base64.StdEncoding.DecodeString(e.Signatures[0].Sig)
	must(err)
	pae := fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(e.PayloadType), e.PayloadType, len(payload), payload)
	digest := sha256.Sum256(pae)
	r, s := new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])
	if !ecdsa.Verify(b.key, digest[:], r, s) {
		must(fmt.Errorf("a good signature was refused"))
	}
}

func summarise(took [][]float64, d time.Duration) answer {
	var all []float64
	for _, some := range took {
		all = append(all, some...)
	}
	sort.Float64s(all)
	at := func(percent int) float64 { return all[min(len(all)-1, len(all)*percent/100)] }
	return answer{Rate: float64(len(all)) / d.Seconds(), P50: at(50), P99: at(99)}
}

func openLog(dir string) *tessera.Appender {
	key, _, err := note.GenerateKey(rand.Reader, "tessera.bench.test")
	must(err)
	signer, err := note.NewSigner(key)
	must(err)
	driver, err := posix.New(context.Background(), posix.Config{Path: dir})
	must(err)
	options := tessera.NewAppendOptions().WithCheckpointSigner(signer).WithBatching(batchSize, batchAge).WithCheckpointInterval(interval)
	appender, _, _, err := tessera.NewAppender(context.Background(), driver, options)
	must(err)
	return appender
}

func readEntries(path string) [][]byte {
	bytes, err := os.ReadFile(path)
	must(err)
	var entries [][]byte
	for len(bytes) > 0 {
		end := 2 + int(binary.BigEndian.Uint16(bytes))
		entries = append(entries, bytes[2:end])
		bytes = bytes[end:]
	}
	return entries
}

func readKey(path string) *ecdsa.PublicKey {
	der, err := os.ReadFile(path)
	must(err)
	key, err := x509.ParsePKIXPublicKey(der)
	must(err)
	return key.(*ecdsa.PublicKey)
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
