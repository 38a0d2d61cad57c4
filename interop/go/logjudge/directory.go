package main

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strings"

	"github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/merkle"
	merkleproof "github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// tileHeight is what tlog-tiles fixes: 256 hashes a tile.
const tileHeight = 8

const bundleWidth = 1 << tileHeight

var hasher merkle.LogHasher = rfc6962.DefaultHasher

// logDirectory is an exported log: checkpoint, tile/<L>/<N>, tile/entries/<N>.
type logDirectory struct {
	path string
	vkey string
}

type treeHead struct {
	tlog.Tree
	// signed is the note as it was read.
	signed []byte
}

func (d *logDirectory) check(old, notes []string, proofs int, random *rand.Rand) (string, error) {
	head, err := d.readHead(filepath.Join(d.path, "checkpoint"))
	if err != nil {
		return "", fmt.Errorf("checkpoint: %w", err)
	}
	// The reader checks each tile against the root before it hands out a hash of it.
	hashes := tlog.TileHashReader(head.Tree, d)
	root, err := tlog.TreeHash(head.N, hashes)
	if err != nil {
		return "", fmt.Errorf("tree: %w", err)
	}
	if root != head.Hash {
		return "", errors.New("the tiles have another root")
	}
	entries, err := d.checkEntries(head, hashes)
	if err != nil {
		return "", err
	}
	if err := d.checkInclusion(head, hashes, entries, proofs, random); err != nil {
		return "", err
	}
	for _, file := range old {
		if err := d.checkConsistency(head, hashes, file); err != nil {
			return "", fmt.Errorf("consistency with %s: %w", filepath.Base(file), err)
		}
	}
	for _, file := range notes {
		if _, err := d.openNote(file); err != nil {
			return "", fmt.Errorf("note %s: %w", filepath.Base(file), err)
		}
	}
	return fmt.Sprintf("size %d, %d entries, %d inclusion proofs, %d older checkpoints, %d notes",
		head.N, len(entries), proofs, len(old), len(notes)), nil
}

func (d *logDirectory) openNote(file string) ([]byte, error) {
	verifier, err := note.NewVerifier(d.vkey)
	if err != nil {
		return nil, err
	}
	signed, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if _, err := note.Open(signed, note.VerifierList(verifier)); err != nil {
		return nil, err
	}
	return signed, nil
}

func (d *logDirectory) readHead(file string) (*treeHead, error) {
	signed, err := d.openNote(file)
	if err != nil {
		return nil, err
	}
	name, _, _ := strings.Cut(d.vkey, "+")
	return parseHead(signed, name)
}

// parseHead reads the three lines of a checkpoint; the signature has been checked.
func parseHead(signed []byte, origin string) (*treeHead, error) {
	lines := strings.SplitN(string(signed), "\n", 5)
	if len(lines) != 5 || lines[3] != "" {
		return nil, errors.New("not three lines")
	}
	if lines[0] != origin {
		return nil, fmt.Errorf("origin %q", lines[0])
	}
	var size int64
	if _, err := fmt.Sscanf(lines[1], "%d", &size); err != nil || fmt.Sprint(size) != lines[1] {
		return nil, fmt.Errorf("size %q", lines[1])
	}
	hash, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(hash) != tlog.HashSize {
		return nil, fmt.Errorf("root %q", lines[2])
	}
	head := &treeHead{Tree: tlog.Tree{N: size}, signed: signed}
	copy(head.Hash[:], hash)
	return head, nil
}

// checkEntries reads every entry and compares its hash to the tree's.
func (d *logDirectory) checkEntries(head *treeHead, hashes tlog.HashReader) ([][]byte, error) {
	var entries [][]byte
	for n := int64(0); n*bundleWidth < head.N; n++ {
		width := min(head.N-n*bundleWidth, bundleWidth)
		bundle, err := d.readBundle(n, int(width))
		if err != nil {
			return nil, fmt.Errorf("bundle %d: %w", n, err)
		}
		var indexes []int64
		for i := range bundle {
			indexes = append(indexes, tlog.StoredHashIndex(0, n*bundleWidth+int64(i)))
		}
		leaves, err := hashes.ReadHashes(indexes)
		if err != nil {
			return nil, fmt.Errorf("leaves of bundle %d: %w", n, err)
		}
		for i, entry := range bundle {
			if tlog.RecordHash(entry) != leaves[i] {
				return nil, fmt.Errorf("entry %d is not the one in the tree", n*bundleWidth+int64(i))
			}
		}
		entries = append(entries, bundle...)
	}
	if int64(len(entries)) != head.N {
		return nil, fmt.Errorf("%d entries for a tree of %d", len(entries), head.N)
	}
	return entries, nil
}

// checkInclusion makes proofs from the tiles and has two libraries check each, also in its tlog-proof form.
func (d *logDirectory) checkInclusion(head *treeHead, hashes tlog.HashReader, entries [][]byte, count int, random *rand.Rand) error {
	if head.N == 0 {
		return errors.New("an empty log proves nothing")
	}
	for range count {
		index := random.Int63n(head.N)
		record, err := tlog.ProveRecord(head.N, index, hashes)
		if err != nil {
			return fmt.Errorf("proof of %d: %w", index, err)
		}
		leaf := tlog.RecordHash(entries[index])
		if err := tlog.CheckRecord(record, head.N, head.Hash, index, leaf); err != nil {
			return fmt.Errorf("x/mod about entry %d: %w", index, err)
		}
		if err := checkTlogProof(head, index, entries[index], record); err != nil {
			return fmt.Errorf("transparency-dev about entry %d: %w", index, err)
		}
	}
	return nil
}

// checkTlogProof writes a proof as c2sp.org/tlog-proof, reads it back, and checks what was read.
func checkTlogProof(head *treeHead, index int64, entry []byte, record tlog.RecordProof) error {
	written := proof.TLogProof{Index: uint64(index), Checkpoint: head.signed}
	for _, hash := range record {
		written.Hashes = append(written.Hashes, hash)
	}
	var read proof.TLogProof
	if err := read.Unmarshal(written.Marshal()); err != nil {
		return err
	}
	path := make([][]byte, 0, len(read.Hashes))
	for _, hash := range read.Hashes {
		path = append(path, hash[:])
	}
	return merkleproof.VerifyInclusion(hasher, read.Index, uint64(head.N), hasher.HashLeaf(entry), path, head.Hash[:])
}

func (d *logDirectory) checkConsistency(head *treeHead, hashes tlog.HashReader, file string) error {
	before, err := d.readHead(file)
	if err != nil {
		return err
	}
	if before.N == 0 {
		return nil
	}
	tree, err := tlog.ProveTree(head.N, before.N, hashes)
	if err != nil {
		return err
	}
	return tlog.CheckTree(tree, head.N, head.Hash, before.N, before.Hash)
}

func (d *logDirectory) readBundle(n int64, width int) ([][]byte, error) {
	tile := tlog.Tile{H: tileHeight, L: -1, N: n, W: width}
	data, err := d.readObject("tile/entries/"+strings.TrimPrefix(tile.Path(), "tile/8/data/"), width)
	if err != nil {
		return nil, err
	}
	var entries [][]byte
	for len(data) > 0 {
		if len(data) < 2 || len(data)-2 < int(binary.BigEndian.Uint16(data)) {
			return nil, errors.New("cut short")
		}
		end := 2 + int(binary.BigEndian.Uint16(data))
		entries = append(entries, data[2:end])
		data = data[end:]
	}
	if len(entries) < width {
		return nil, fmt.Errorf("%d entries of %d", len(entries), width)
	}
	return entries[:width], nil
}

// Height implements tlog.TileReader.
func (d *logDirectory) Height() int { return tileHeight }

// ReadTiles implements tlog.TileReader.
func (d *logDirectory) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	all := make([][]byte, len(tiles))
	for i, tile := range tiles {
		data, err := d.readObject("tile/"+strings.TrimPrefix(tile.Path(), "tile/8/"), tile.W)
		if err != nil {
			return nil, err
		}
		if len(data) < tile.W*tlog.HashSize {
			return nil, fmt.Errorf("%s is cut short", tile.Path())
		}
		all[i] = data[:tile.W*tlog.HashSize]
	}
	return all, nil
}

// SaveTiles implements tlog.TileReader; nothing is kept.
func (d *logDirectory) SaveTiles([]tlog.Tile, [][]byte) {}

// readObject reads a tile or bundle, a partial one also from its full version, as a client of tlog-tiles does.
func (d *logDirectory) readObject(path string, width int) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(d.path, path))
	if errors.Is(err, os.ErrNotExist) && width < bundleWidth {
		full, _, _ := strings.Cut(path, ".p/")
		return os.ReadFile(filepath.Join(d.path, full))
	}
	return data, err
}
