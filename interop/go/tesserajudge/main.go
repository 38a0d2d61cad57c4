// Command tesserajudge keeps logs with Tessera, which has a witness cosign what it publishes: its own client of
// tlog-witness, and its own reading of a witness policy. It shares no code with the witness that it judges.
//
//	tesserajudge -key KEY -log VKEY -policy FILE -dir DIRECTORY
//
// One line a verdict: what was expected, whether it was accepted, what it was about, what was said.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
)

const (
	interval = 200 * time.Millisecond
	// For a checkpoint that comes, on a busy machine.
	patience = 60 * time.Second
	// For one that must not come.
	silence = 5 * time.Second
	poll    = 50 * time.Millisecond
)

// rounds is how many entries are added before each checkpoint: within a tile, across one, and after that.
var rounds = []int{1, 3, 300, 5}

type judge struct {
	witnesses tessera.WitnessGroup
	log       note.Verifier
}

func main() {
	key := flag.String("key", "", "private key of the log")
	log := flag.String("log", "", "verifier key of the log")
	policy := flag.String("policy", "", "tlog-policy file with the witness")
	dir := flag.String("dir", "", "where the logs are kept")
	flag.Parse()
	if err := run(*key, *log, *policy, *dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(key, logKey, policy, dir string) error {
	text, err := os.ReadFile(policy)
	if err != nil {
		return err
	}
	witnesses, err := tessera.NewWitnessGroupFromPolicy(text)
	if err != nil {
		return err
	}
	verifier, err := note.NewVerifier(logKey)
	if err != nil {
		return err
	}
	j := &judge{witnesses, verifier}
	sound := filepath.Join(dir, "sound")
	// Twice, since a log that is opened again does not know how far its witness is.
	for turn := range 2 {
		if err := j.grow(fmt.Sprintf("turn %d", turn+1), key, sound); err != nil {
			return err
		}
	}
	if err := j.fails("a log that begins anew under the key (26)", key, filepath.Join(dir, "fork")); err != nil {
		return err
	}
	stranger, _, err := note.GenerateKey(rand.Reader, "stranger.test")
	if err != nil {
		return err
	}
	return j.fails("a log that the witness does not know (28)", stranger, filepath.Join(dir, "stranger"))
}

func (j *judge) open(key, dir string) (*tessera.Appender, func(context.Context) error, tessera.LogReader, error) {
	signer, err := note.NewSigner(key)
	if err != nil {
		return nil, nil, nil, err
	}
	driver, err := posix.New(context.Background(), posix.Config{Path: dir})
	if err != nil {
		return nil, nil, nil, err
	}
	options := tessera.NewAppendOptions().WithCheckpointSigner(signer).WithCheckpointInterval(interval).
		WithBatching(256, 10*time.Millisecond).WithWitnesses(j.witnesses, nil)
	return tessera.NewAppender(context.Background(), driver, options)
}

// grow has each size on the way cosigned, and published with the cosignature.
func (j *judge) grow(about, key, dir string) error {
	appender, shutdown, reader, err := j.open(key, dir)
	if err != nil {
		return err
	}
	for _, count := range rounds {
		size, err := add(appender, about, count)
		if err != nil {
			return err
		}
		err = j.await(reader, size, patience)
		fmt.Printf("accept\t%t\t%s, size %d (22, 23)\t%v\n", err == nil, about, size, err)
	}
	return shutdown(context.Background())
}

// fails shows that a log which its witness refuses publishes nothing.
func (j *judge) fails(about, key, dir string) error {
	appender, _, reader, err := j.open(key, dir)
	// It begins with an empty checkpoint, for which it already needs its witness.
	if err == nil {
		var size uint64
		if size, err = add(appender, about, 7); err != nil {
			return err
		}
		err = j.await(reader, size, silence)
	} else if !strings.Contains(err.Error(), "witness policy was not satisfied") {
		return err
	}
	fmt.Printf("refuse\t%t\t%s\t%q\n", err == nil, about, fmt.Sprint(err))
	return nil
}

func add(appender *tessera.Appender, about string, count int) (uint64, error) {
	var added []tessera.IndexFuture
	for n := range count {
		added = append(added, appender.Add(context.Background(), tessera.NewEntry(fmt.Appendf(nil, "%s %d %d", about, count, n))))
	}
	last := uint64(0)
	for _, wait := range added {
		index, err := wait()
		if err != nil {
			return 0, err
		}
		last = max(last, index.Index)
	}
	return last + 1, nil
}

// await waits for a published checkpoint of at least a size, under the signatures of the log and of its witnesses.
func (j *judge) await(reader tessera.LogReader, size uint64, patience time.Duration) error {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(poll) {
		signed, err := reader.ReadCheckpoint(context.Background())
		if err != nil {
			continue
		}
		opened, err := note.Open(signed, note.VerifierList(j.log))
		if err != nil {
			return err
		}
		var origin string
		var published uint64
		if _, err := fmt.Sscanf(opened.Text, "%s\n%d\n", &origin, &published); err != nil {
			return err
		}
		if published < size {
			continue
		}
		if !j.witnesses.Satisfied(signed) {
			return errors.New("published without its witnesses")
		}
		return nil
	}
	return errors.New("nothing was published")
}
