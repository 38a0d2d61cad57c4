// Command proofjudge puts torchwood's judgement on proofs and on whole logs. It shares no code with the project that
// wrote them.
//
//	proofjudge -policy FILE -proofs proofs.json   c2sp.org/tlog-proof files, and every single bit of them flipped
//	proofjudge -policy FILE -dir log              a whole exported log, read by torchwood's client
//
// What came is one JSON object on standard output; a log that is refused exits with 1 and says why.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"
)

// claim is an entry and the proof that a log holds it.
type claim struct {
	Entry []byte `json:"entry"`
	Proof string `json:"proof"`
}

type claims struct {
	// Sound are to be accepted.
	Sound []claim `json:"sound"`
	// Broken are to be refused as they are.
	Broken []claim `json:"broken"`
	// Flipped are sound, and every bit of proof and entry is flipped once.
	Flipped []claim `json:"flipped"`
}

// place is a bit whose flip was not noticed.
type place struct {
	Claim int `json:"claim"`
	// Byte of the proof, or -1 for a bit of the entry.
	Byte int `json:"byte"`
	Bit  int `json:"bit"`
}

type report struct {
	Accepted int `json:"accepted"`
	Refused  int `json:"refused"`
	// Wrong says what was not accepted and should have been, or the other way round.
	Wrong []string `json:"wrong"`
	// Unnoticed are flips of a proof's text after which it proves the same.
	Unnoticed []place `json:"unnoticed"`
}

func main() {
	policyFile := flag.String("policy", "", "tlog-policy file")
	proofs := flag.String("proofs", "", "JSON file of entries with their proofs")
	dir := flag.String("dir", "", "directory of an exported log")
	flag.Parse()
	if err := run(*policyFile, *proofs, *dir); err != nil {
		fmt.Println("refused:", err)
		os.Exit(1)
	}
}

func run(policyFile, proofs, dir string) error {
	text, err := os.ReadFile(policyFile)
	if err != nil {
		return err
	}
	policy, err := torchwood.ParsePolicy(text)
	if err != nil {
		return err
	}
	if dir != "" {
		return readLog(policy, dir)
	}
	var given claims
	data, err := os.ReadFile(proofs)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, &given); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(judge(policy, given))
}

func judge(policy torchwood.Policy, given claims) report {
	found := report{Wrong: []string{}, Unnoticed: []place{}}
	for i, one := range given.Sound {
		if err := verify(policy, one.Entry, []byte(one.Proof)); err != nil {
			found.Wrong = append(found.Wrong, fmt.Sprintf("sound proof %d: %v", i, err))
		} else {
			found.Accepted++
		}
	}
	for i, one := range given.Broken {
		if verify(policy, one.Entry, []byte(one.Proof)) == nil {
			found.Wrong = append(found.Wrong, fmt.Sprintf("broken proof %d was accepted", i))
		} else {
			found.Refused++
		}
	}
	for i, one := range given.Flipped {
		if err := verify(policy, one.Entry, []byte(one.Proof)); err != nil {
			found.Wrong = append(found.Wrong, fmt.Sprintf("proof %d before it is bent: %v", i, err))
			continue
		}
		found.flip(policy, i, one)
	}
	return found
}

func (found *report) flip(policy torchwood.Policy, index int, one claim) {
	bent := []byte(one.Proof)
	for at := range bent {
		for bit := range 8 {
			bent[at] ^= 1 << bit
			if verify(policy, one.Entry, bent) == nil {
				found.Unnoticed = append(found.Unnoticed, place{index, at, bit})
			} else {
				found.Refused++
			}
			bent[at] ^= 1 << bit
		}
	}
	for at := range one.Entry {
		for bit := range 8 {
			one.Entry[at] ^= 1 << bit
			if verify(policy, one.Entry, bent) == nil {
				found.Unnoticed = append(found.Unnoticed, place{index, -1, bit})
			} else {
				found.Refused++
			}
			one.Entry[at] ^= 1 << bit
		}
	}
}

func verify(policy torchwood.Policy, entry, proof []byte) error {
	return torchwood.VerifyProof(policy, tlog.RecordHash(entry), proof)
}

// readLog has torchwood's client read every entry under the log's checkpoint; it holds each against the tree.
func readLog(policy torchwood.Policy, dir string) error {
	signed, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		return err
	}
	checkpoint, _, err := torchwood.VerifyCheckpoint(signed, policy)
	if err != nil {
		return err
	}
	tiles, err := torchwood.NewTileFS(os.DirFS(dir))
	if err != nil {
		return err
	}
	client, err := torchwood.NewClient(tiles)
	if err != nil {
		return err
	}
	count := int64(0)
	for index := range client.AllEntries(context.Background(), checkpoint.Tree, 0) {
		if index != count {
			return fmt.Errorf("entry %d in place of %d", index, count)
		}
		count++
	}
	if err := client.Err(); err != nil {
		return err
	}
	fmt.Printf("accepted: size %d, %d entries\n", checkpoint.N, count)
	return nil
}
