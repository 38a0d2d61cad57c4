package main

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"

	f_note "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// sizes are those that the log grows through: on both sides of powers of two and of tiles.
var sizes = []int64{1, 2, 3, 7, 8, 64, 255, 256, 257, 600}

// grown is the last of them, and largest what there is to grow to.
const (
	grown   = 600
	largest = 1000
)

// scene is what every attempt needs.
type scene struct {
	url          string
	signer       note.Signer
	log, witness note.Verifier
	sound        *history
}

func judge(key, logKey, witnessKey, url string) error {
	signer, err := note.NewSigner(key)
	if err != nil {
		return err
	}
	log, err := note.NewVerifier(logKey)
	if err != nil {
		return err
	}
	witness, err := f_note.NewVerifierForCosignatureV1(witnessKey)
	if err != nil {
		return err
	}
	sound, err := newHistory(largest, largest)
	if err != nil {
		return err
	}
	s := &scene{url: url, signer: signer, log: log, witness: witness, sound: sound}
	if err := s.grow(); err != nil {
		return err
	}
	return s.refusals()
}

func say(expected string, isAccepted bool, about, said string) {
	fmt.Printf("%s\t%t\t%s\t%s\n", expected, isAccepted, about, strings.TrimSpace(said))
}

// grow has each size cosigned on the way, and the last one twice.
func (s *scene) grow() error {
	old := int64(0)
	for _, size := range append(sizes, grown) {
		checkpoint, err := s.sound.checkpoint(s.signer, origin, size)
		if err != nil {
			return err
		}
		proof, err := s.sound.proof(old, size)
		if err != nil {
			return err
		}
		got, err := submit(s.url, old, proof, checkpoint)
		if err != nil {
			return err
		}
		verdict := cosigned(checkpoint, got.body, s.log, s.witness)
		isAccepted := got.status == http.StatusOK && verdict == nil
		say("accept", isAccepted, fmt.Sprintf("%d to %d", old, size), fmt.Sprint(got.status, " ", verdict))
		old = size
	}
	return nil
}

// attempt is a submission that must be refused in one way.
type attempt struct {
	about      string
	status     int
	old        int64
	proof      []tlog.Hash
	checkpoint string
}

func (s *scene) refusals() error {
	attempts, err := s.attempts()
	if err != nil {
		return err
	}
	for _, try := range attempts {
		got, err := submit(s.url, try.old, try.proof, try.checkpoint)
		if err != nil {
			return err
		}
		isSize := got.kind == sizeType && got.body == fmt.Sprintf("%d\n", grown)
		isRight := got.status == try.status && (got.status != http.StatusConflict || isSize)
		say("refuse", !isRight, try.about, fmt.Sprint(got.status, " ", got.body))
	}
	for _, body := range []string{"", "old\n\n", "old 01\n\nx\n", "old 600\nAAAA\n\n" + attempts[0].checkpoint} {
		got, err := post(s.url, body)
		if err != nil {
			return err
		}
		say("refuse", got.status != http.StatusBadRequest, fmt.Sprintf("%.20q", body), fmt.Sprint(got.status))
	}
	return s.goOn()
}

func (s *scene) attempts() ([]attempt, error) {
	var failed error
	forked, err := newHistory(largest, 300)
	if err != nil {
		return nil, err
	}
	stranger, err := strangersKey(origin)
	if err != nil {
		return nil, err
	}
	foreign, err := strangersKey("log.other.test")
	if err != nil {
		return nil, err
	}
	sign := func(h *history, signer note.Signer, name string, size int64) string {
		checkpoint, err := h.checkpoint(signer, name, size)
		if err != nil {
			failed = err
		}
		return checkpoint
	}
	prove := func(h *history, from, to int64) []tlog.Hash {
		proof, err := h.proof(from, to)
		if err != nil {
			failed = err
		}
		return proof
	}
	good := sign(s.sound, s.signer, origin, 700)
	right := prove(s.sound, grown, 700)
	bent := append([]tlog.Hash{}, right...)
	bent[0][0] ^= 1
	return []attempt{
		{"an older old size (24)", 409, 256, prove(s.sound, 256, 700), good},
		{"old size 0 (24)", 409, 0, nil, good},
		{"an old size of a later tree (24)", 409, 650, prove(s.sound, 650, 700), good},
		{"the same size, another root (25)", 422, grown, nil, sign(forked, s.signer, origin, grown)},
		{"a forked history (26)", 422, grown, prove(forked, grown, 700), sign(forked, s.signer, origin, 700)},
		{"no proof (26)", 422, grown, nil, good},
		{"a bent proof (26)", 422, grown, bent, good},
		{"a proof too long (26)", 422, grown, append(append([]tlog.Hash{}, right...), right[0]), good},
		{"a smaller tree (27)", 400, grown, nil, sign(s.sound, s.signer, origin, 599)},
		{"an old size beyond the checkpoint (27)", 400, 701, nil, good},
		{"an unknown origin (28)", 404, 0, nil, sign(s.sound, foreign, "log.other.test", 700)},
		{"another key (29)", 403, grown, right, sign(s.sound, stranger, origin, 700)},
		{"a signature of another size (29)", 403, grown, right, strings.Replace(good, "\n700\n", "\n701\n", 1)},
	}, failed
}

func strangersKey(name string) (note.Signer, error) {
	private, _, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return nil, err
	}
	return note.NewSigner(private)
}

// goOn shows that nothing of what was refused was remembered.
func (s *scene) goOn() error {
	checkpoint, err := s.sound.checkpoint(s.signer, origin, largest)
	if err != nil {
		return err
	}
	proof, err := s.sound.proof(grown, largest)
	if err != nil {
		return err
	}
	got, err := submit(s.url, grown, proof, checkpoint)
	if err != nil {
		return err
	}
	verdict := cosigned(checkpoint, got.body, s.log, s.witness)
	say("accept", got.status == http.StatusOK && verdict == nil, "after the refusals", fmt.Sprint(got.status, " ", verdict))
	lines := strings.Replace(got.body, "A", "B", 1)
	say("refuse", lines == got.body || cosigned(checkpoint, lines, s.log, s.witness) == nil, "a bent cosignature", "opened")
	return nil
}
