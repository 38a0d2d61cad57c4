// Command logjudge puts the judgement of the Go project's own transparency log library on a log directory and on
// proofs. It shares no code with the project that wrote them.
//
//	logjudge -dir log -vkey KEY [-old checkpoint]... [-proofs N]   a whole exported log
//	logjudge -records proofs.json                                  inclusion and consistency proofs made by others
//
// The last line of a success says how much was checked; a refusal exits with 1 and says why.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand"
	"os"
)

type list []string

func (l *list) String() string { return fmt.Sprint(*l) }

func (l *list) Set(value string) error {
	*l = append(*l, value)
	return nil
}

func main() {
	var old, acks list
	dir := flag.String("dir", "", "directory of an exported log")
	vkey := flag.String("vkey", "", "verifier key of the log")
	proofs := flag.Int("proofs", 500, "how many random inclusion proofs to make and check")
	seed := flag.Int64("seed", 1, "of the choice of indices")
	records := flag.String("records", "", "JSON file of proofs to check")
	flag.Var(&old, "old", "file of an earlier checkpoint of the same log; may be repeated")
	flag.Var(&acks, "note", "file of another note that the same key must have signed; may be repeated")
	flag.Parse()
	var summary string
	var err error
	switch {
	case *records != "":
		summary, err = checkProofFile(*records)
	case *dir != "":
		log := &logDirectory{path: *dir, vkey: *vkey}
		summary, err = log.check(old, acks, *proofs, rand.New(rand.NewSource(*seed)))
	default:
		flag.Usage()
		os.Exit(2)
	}
	if err != nil {
		fmt.Println("refused:", err)
		os.Exit(1)
	}
	fmt.Println("accepted:", summary)
}

func readJSON(path string, into any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}
