package main

import (
	"errors"
	"fmt"

	merkleproof "github.com/transparency-dev/merkle/proof"
	"golang.org/x/mod/sumdb/tlog"
)

// proofFile holds proofs that someone else made over entries that both know.
type proofFile struct {
	// Roots by size, beginning with 0.
	Roots       [][]byte      `json:"roots"`
	Entries     [][]byte      `json:"entries"`
	Inclusion   []inclusion   `json:"inclusion"`
	Consistency []consistency `json:"consistency"`
}

type inclusion struct {
	Index int64    `json:"index"`
	Size  int64    `json:"size"`
	Proof [][]byte `json:"proof"`
}

type consistency struct {
	Old   int64    `json:"old"`
	New   int64    `json:"new"`
	Proof [][]byte `json:"proof"`
}

// checkProofFile requires every proof to hold, and none of its mutations: one bit of each hash, of the leaf and of the
// root, the index and the size.
func checkProofFile(path string) (string, error) {
	var file proofFile
	if err := readJSON(path, &file); err != nil {
		return "", err
	}
	if len(file.Inclusion) == 0 || len(file.Consistency) == 0 {
		return "", errors.New("no proofs")
	}
	mutations := 0
	for _, claim := range file.Inclusion {
		count, err := file.checkInclusion(claim)
		if err != nil {
			return "", fmt.Errorf("entry %d of %d: %w", claim.Index, claim.Size, err)
		}
		mutations += count
	}
	for _, claim := range file.Consistency {
		count, err := file.checkConsistency(claim)
		if err != nil {
			return "", fmt.Errorf("size %d to %d: %w", claim.Old, claim.New, err)
		}
		mutations += count
	}
	return fmt.Sprintf("%d inclusion proofs, %d consistency proofs, %d mutations refused",
		len(file.Inclusion), len(file.Consistency), mutations), nil
}

func (f *proofFile) checkInclusion(claim inclusion) (int, error) {
	root := hashOf(f.Roots[claim.Size])
	leaf := tlog.RecordHash(f.Entries[claim.Index])
	hashes := hashesOf(claim.Proof)
	if err := tlog.CheckRecord(hashes, claim.Size, root, claim.Index, leaf); err != nil {
		return 0, fmt.Errorf("x/mod: %w", err)
	}
	if err := merkleproof.VerifyInclusion(hasher, uint64(claim.Index), uint64(claim.Size), leaf[:], claim.Proof, root[:]); err != nil {
		return 0, fmt.Errorf("transparency-dev: %w", err)
	}
	mutations := []error{
		tlog.CheckRecord(hashes, claim.Size, flip(root), claim.Index, leaf),
		tlog.CheckRecord(hashes, claim.Size, root, claim.Index, flip(leaf)),
		tlog.CheckRecord(append(hashesOf(claim.Proof), root), claim.Size, root, claim.Index, leaf),
	}
	if claim.Size > 1 {
		mutations = append(mutations, tlog.CheckRecord(hashes, claim.Size, root, (claim.Index+1)%claim.Size, leaf))
	}
	for i := range hashes {
		changed := hashesOf(claim.Proof)
		changed[i] = flip(changed[i])
		mutations = append(mutations, tlog.CheckRecord(changed, claim.Size, root, claim.Index, leaf))
	}
	return len(mutations), requireRefused(mutations)
}

func (f *proofFile) checkConsistency(claim consistency) (int, error) {
	before, after := hashOf(f.Roots[claim.Old]), hashOf(f.Roots[claim.New])
	hashes := tlog.TreeProof(hashesOf(claim.Proof))
	if err := tlog.CheckTree(hashes, claim.New, after, claim.Old, before); err != nil {
		return 0, fmt.Errorf("x/mod: %w", err)
	}
	if err := merkleproof.VerifyConsistency(hasher, uint64(claim.Old), uint64(claim.New), claim.Proof, before[:], after[:]); err != nil {
		return 0, fmt.Errorf("transparency-dev: %w", err)
	}
	mutations := []error{
		tlog.CheckTree(hashes, claim.New, flip(after), claim.Old, before),
		tlog.CheckTree(hashes, claim.New, after, claim.Old, flip(before)),
		tlog.CheckTree(append(hashesOf(claim.Proof), after), claim.New, after, claim.Old, before),
	}
	for i := range hashes {
		changed := tlog.TreeProof(hashesOf(claim.Proof))
		changed[i] = flip(changed[i])
		mutations = append(mutations, tlog.CheckTree(changed, claim.New, after, claim.Old, before))
	}
	return len(mutations), requireRefused(mutations)
}

func requireRefused(mutations []error) error {
	for i, err := range mutations {
		if err == nil {
			return fmt.Errorf("mutation %d was accepted", i)
		}
	}
	return nil
}

func hashOf(bytes []byte) (hash tlog.Hash) {
	copy(hash[:], bytes)
	return hash
}

func hashesOf(all [][]byte) []tlog.Hash {
	hashes := make([]tlog.Hash, 0, len(all)+1)
	for _, bytes := range all {
		hashes = append(hashes, hashOf(bytes))
	}
	return hashes
}

func flip(hash tlog.Hash) tlog.Hash {
	hash[int(hash[0])%len(hash)] ^= 1 << (hash[1] % 8)
	return hash
}
