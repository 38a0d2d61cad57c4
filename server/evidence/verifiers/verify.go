// Command verify checks a TrustWarden evidence bundle (.twb) with the standard library and golang.org/x/mod only, and
// answers for each event: which agent did this, who authorized it, what stops or stopped it.
//
//	verify (-vkey KEY | -policy FILE) (-bundle FILE | -root SHA256...) [-since FILE] file.twb
//
// Whom to believe comes from these arguments and never from the bundle: the log's key (alone, or in a C2SP tlog-policy
// with witnesses and their quorum), and the trust roots (a SPIFFE bundle that you kept, or fingerprints of roots). With a
// checkpoint that you kept, also that the log was not rewritten since.
// Shares no code with the project or with verify.mjs, whose output is the same.
//
// Exit code 0: verified; 3: verified, and something is missing that somebody must explain; 1: not verified; 2: usage.
package main

import (
	"bytes"
	"cmp"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"hash/crc32"
	"maps"
	"math"
	"math/big"
	"os"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// refusal is what a check panics with; main turns it into the verdict.
type refusal string

func refuse(format string, args ...any) { panic(refusal(fmt.Sprintf(format, args...))) }

func need(ok bool, format string, args ...any) {
	if !ok {
		refuse(format, args...)
	}
}

func digest(parts ...[]byte) []byte {
	sum := sha256.Sum256(bytes.Join(parts, nil))
	return sum[:]
}

func base64url(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

func unbase64(text string) []byte {
	data, err := base64.StdEncoding.Strict().DecodeString(text)
	need(err == nil && base64.StdEncoding.EncodeToString(data) == text, "base64 is not canonical")
	return data
}

// ---- 1. The container: a zip of stored files in which no byte is free ----

const maxBytes = 24_000_000

var filePath = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$`)

type archive struct {
	names   []string
	content map[string][]byte
}

func (a *archive) file(name string) []byte {
	content, ok := a.content[name]
	need(ok, "%s is missing", name)
	return content
}

func readZip(data []byte) *archive {
	need(len(data) <= maxBytes, "the file is too long")
	files := &archive{content: map[string][]byte{}}
	little := binary.LittleEndian
	var directory []byte
	at := 0
	for at+30 <= len(data) && little.Uint32(data[at:]) == 0x04034b50 {
		start := at + 30 + int(little.Uint16(data[at+26:]))
		end := start + int(little.Uint32(data[at+22:]))
		need(start <= len(data) && end <= len(data), "the file is cut off")
		name := string(data[at+30 : start])
		isNext := len(files.names) == 0 || name > files.names[len(files.names)-1]
		need(filePath.MatchString(name) && len(name) <= 128 && isNext, "a file's name")
		content := data[start:end]
		fields := make([]byte, 26)
		little.PutUint16(fields[0:], 20)
		little.PutUint16(fields[8:], 0x21)
		little.PutUint32(fields[10:], crc32.ChecksumIEEE(content))
		little.PutUint32(fields[14:], uint32(len(content)))
		little.PutUint32(fields[18:], uint32(len(content)))
		little.PutUint16(fields[22:], uint16(len(name)))
		need(bytes.Equal(data[at+4:at+30], fields), "a header of %s", name)
		tail := make([]byte, 14)
		little.PutUint32(tail[10:], uint32(at))
		directory = slices.Concat(directory, []byte("PK\x01\x02\x14\x00"), fields, tail, []byte(name))
		files.names = append(files.names, name)
		files.content[name] = content
		at = end
	}
	last := make([]byte, 22)
	little.PutUint32(last[0:], 0x06054b50)
	little.PutUint16(last[8:], uint16(len(files.names)))
	little.PutUint16(last[10:], uint16(len(files.names)))
	little.PutUint32(last[12:], uint32(len(directory)))
	little.PutUint32(last[16:], uint32(at))
	need(bytes.Equal(data[at:], append(directory, last...)), "the directory of the zip")
	return files
}

// ---- 2. JSON and DSSE ----

type object = map[string]any

// canonical writes RFC 8785 text; only this spelling is accepted, so no key can be there twice.
func canonical(value any) string {
	switch v := value.(type) {
	case nil:
		return "null"
	case bool:
		return strconv.FormatBool(v)
	case json.Number:
		return canonicalNumber(v)
	case string:
		return canonicalText(v)
	case []any:
		parts := make([]string, len(v))
		for i, item := range v {
			parts[i] = canonical(item)
		}
		return "[" + strings.Join(parts, ",") + "]"
	case object:
		keys := make([]string, 0, len(v))
		for key := range v {
			keys = append(keys, key)
		}
		sort.Slice(keys, func(i, j int) bool {
			return slices.Compare(utf16.Encode([]rune(keys[i])), utf16.Encode([]rune(keys[j]))) < 0
		})
		parts := make([]string, len(keys))
		for i, key := range keys {
			parts[i] = canonicalText(key) + ":" + canonical(v[key])
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	refuse("a value that JSON does not have")
	return ""
}

func canonicalNumber(number json.Number) string {
	f, err := number.Float64()
	need(err == nil, "a number out of range")
	if f == 0 {
		return "0"
	}
	if magnitude := math.Abs(f); magnitude >= 1e-6 && magnitude < 1e21 {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	text := strconv.FormatFloat(f, 'e', -1, 64)
	return regexp.MustCompile(`e([+-])0+`).ReplaceAllString(text, "e$1")
}

func canonicalText(text string) string {
	var out strings.Builder
	out.WriteByte('"')
	for _, r := range text {
		if at := strings.IndexRune("\b\t\n\f\r\"\\", r); at >= 0 {
			out.WriteByte('\\')
			out.WriteByte(`btnfr"\`[at])
		} else if r < 0x20 {
			fmt.Fprintf(&out, `\u%04x`, r)
		} else {
			out.WriteRune(r)
		}
	}
	out.WriteByte('"')
	return out.String()
}

func parseCanonical(data []byte) object {
	need(utf8.Valid(data), "text that is not UTF-8")
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var value object
	need(decoder.Decode(&value) == nil && canonical(value) == string(data), "JSON is not canonical")
	return value
}

func text(value object, name string) string {
	found, ok := value[name].(string)
	need(ok, "%s is missing", name)
	return found
}

func optional(value object, name string) string {
	found, _ := value[name].(string)
	return found
}

func number(value any) int64 {
	found, ok := value.(json.Number)
	need(ok, "a number is missing")
	n, err := found.Int64()
	need(err == nil && n >= 0 && n < 1<<53, "a number out of range")
	return n
}

func sub(value object, name string) object {
	found, _ := value[name].(object)
	return found
}

func texts(value any) []string {
	list, _ := value.([]any)
	found := make([]string, len(list))
	for i, item := range list {
		found[i], _ = item.(string)
	}
	return found
}

type envelope struct {
	kind, payloadType, keyid string
	raw, sig                 []byte
	value                    object
	webauthn                 object
}

var payloadType = regexp.MustCompile(`^application/vnd\.trustwarden\.([a-z-]+)\.v1\+json$`)

func parseEnvelope(data []byte) envelope {
	value := parseCanonical(data)
	match := payloadType.FindStringSubmatch(text(value, "payloadType"))
	signatures, _ := value["signatures"].([]any)
	need(match != nil && len(signatures) == 1 && len(value) == 3, "not one signature, or an unknown payload type")
	signature, _ := signatures[0].(object)
	webauthn, isAssertion := signature["webauthn"].(object)
	need(len(signature) == 2 || (len(signature) == 3 && isAssertion), "a signature with more members")
	raw := unbase64(text(value, "payload"))
	return envelope{
		kind: match[1], payloadType: match[0], keyid: text(signature, "keyid"), webauthn: webauthn,
		raw: raw, sig: unbase64(text(signature, "sig")), value: parseCanonical(raw),
	}
}

func (e envelope) paeDigest() []byte {
	return digest([]byte(fmt.Sprintf("DSSEv1 %d %s %d ", len(e.payloadType), e.payloadType, len(e.raw))), e.raw)
}

func (e envelope) isDigestSigned(key *ecdsa.PublicKey, hash []byte) bool {
	if len(e.sig) != 64 {
		return false
	}
	return ecdsa.Verify(key, hash, new(big.Int).SetBytes(e.sig[:32]), new(big.Int).SetBytes(e.sig[32:]))
}

// isSignedBy checks a DSSE signature: over type and payload, each behind its length.
func (e envelope) isSignedBy(key *ecdsa.PublicKey) bool {
	return e.webauthn == nil && e.isDigestSigned(key, e.paeDigest())
}

// passkey is a key that only a device has, bound to a host; the log of before did not say which.
type passkey struct {
	key        *ecdsa.PublicKey
	rpID       string
	isBound    bool
	credential string
}

var clientData = regexp.MustCompile(
	`^\{"type":"webauthn\.get","challenge":"([A-Za-z0-9_-]{43})","origin":"(https?://([a-z0-9.-]{1,253})(?::[0-9]{1,5})?)","crossOrigin":false[,}]`)

// isAsserted checks WebAuthn: an assertion whose challenge is the digest of what a file's key would sign, by a user
// whom the device verified, at an origin of the host that the key is bound to.
func (e envelope) isAsserted(by passkey) bool {
	device, browser := unbase64(text(e.webauthn, "authenticator_data")), unbase64(text(e.webauthn, "client_data"))
	isGood := func(hash []byte) bool { return e.isDigestSigned(by.key, hash) }
	return len(e.webauthn) == 2 && by.isAsserting(e.paeDigest(), device, browser, isGood)
}

// isAsserting checks the device's word for a digest, whatever form its signature has.
func (by passkey) isAsserting(asked, device, browser []byte, isGood func(hash []byte) bool) bool {
	match := clientData.FindSubmatch(browser)
	if match == nil || len(device) != 37 || len(browser) > 1024 {
		return false
	}
	challenge, origin, host := string(match[1]), string(match[2]), string(match[3])
	isVerified := device[32]&0xc5 == 0x05
	isOfHost := bytes.Equal(device[:32], digest([]byte(host))) && (!by.isBound || by.rpID == host)
	isSecure := strings.HasPrefix(origin, "https://") || host == "localhost"
	isForThis := challenge == base64url(asked)
	return isVerified && isOfHost && isSecure && isForThis && isGood(digest(device, digest(browser)))
}

// ---- 3. The log: notes, cosignatures, policy, proofs ----

// witness is a note.Verifier for C2SP cosignature/v1 that keeps the time of what it verified.
type witness struct {
	name   string
	hash   uint32
	key    ed25519.PublicKey
	signed int64
}

func (w *witness) Name() string    { return w.name }
func (w *witness) KeyHash() uint32 { return w.hash }
func (w *witness) Verify(msg, sig []byte) bool {
	if len(sig) != 72 {
		return false
	}
	at := binary.BigEndian.Uint64(sig)
	if !ed25519.Verify(w.key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at, msg), sig[8:]) {
		return false
	}
	w.signed = int64(at)
	return true
}

func parseWitness(vkey string) *witness {
	parts := strings.SplitN(vkey, "+", 3)
	need(len(parts) == 3, "malformed key")
	typed := unbase64(parts[2])
	need(len(typed) == 33 && typed[0] == 4, "a witness's key")
	id := digest([]byte(parts[0]+"\n"), typed)[:4]
	need(hex.EncodeToString(id) == parts[1], "a key does not match its id")
	return &witness{name: parts[0], hash: binary.BigEndian.Uint32(id), key: typed[1:]}
}

type group struct {
	count   string
	members []string
}

type policy struct {
	vkey      string
	key       []byte
	log       note.Verifier
	names     []string
	witnesses map[string]*witness
	groups    map[string]group
	quorum    string
}

// parsePolicy reads a C2SP tlog-policy: one log, witnesses, groups of them, and which group is the quorum. Nothing is
// said twice.
func parsePolicy(source string) *policy {
	p := &policy{witnesses: map[string]*witness{}, groups: map[string]group{}}
	define := func(name string) {
		_, isGroup := p.groups[name]
		need(name != "none" && p.witnesses[name] == nil && !isGroup, "a name stands twice in the policy")
	}
	for line := range strings.SplitSeq(source, "\n") {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || strings.HasPrefix(words[0], "#"):
		case words[0] == "log" && len(words) >= 2:
			need(p.log == nil, "a policy of several logs")
			verifier, err := note.NewVerifier(words[1])
			need(err == nil, "malformed key of the log")
			p.vkey, p.log, p.key = words[1], verifier, unbase64(strings.SplitN(words[1], "+", 3)[2])
		case words[0] == "witness" && len(words) >= 3:
			define(words[1])
			p.names = append(p.names, words[1])
			p.witnesses[words[1]] = parseWitness(words[2])
		case words[0] == "group" && len(words) >= 4:
			define(words[1])
			p.groups[words[1]] = group{words[2], words[3:]}
		case words[0] == "quorum" && len(words) == 2:
			need(p.quorum == "", "a policy of several quorums")
			p.quorum = words[1]
		default:
			refuse("an unknown line in the policy")
		}
	}
	need(p.log != nil && p.quorum != "", "a policy without log or quorum")
	// One witness under two names, or twice in a group, must not count twice.
	seen := map[string]bool{}
	count := func(name string) {
		need(!seen[name], "a witness counts twice")
		seen[name] = true
	}
	for _, w := range p.witnesses {
		count("key " + string(w.key))
	}
	for _, g := range p.groups {
		for _, member := range g.members {
			count("member " + member)
		}
	}
	return p
}

func (p *policy) isMet(name string, depth int) bool {
	if name == "none" {
		return true
	}
	if w, ok := p.witnesses[name]; ok {
		return w.signed > 0
	}
	g, ok := p.groups[name]
	need(ok && depth < 8, "the policy names somebody unknown")
	wanted, err := strconv.Atoi(strings.NewReplacer("any", "1", "all", strconv.Itoa(len(g.members))).Replace(g.count))
	need(err == nil && wanted > 0 && wanted <= len(g.members), "a group's number")
	met := 0
	for _, member := range g.members {
		if p.isMet(member, depth+1) {
			met++
		}
	}
	return met >= wanted
}

type head struct {
	// first is the position in the ledger of the tree's entry 0, and path where the proof of a range in it is.
	first                          int64
	note, origin, root, vkey, path string
	// key is the one that signed the tree; next is the key of the next shard, when its last entry is here and names it.
	key  []byte
	next string
	rank, size                     int64
	hash                           tlog.Hash
	witnesses                      []string
}

// A ledger is one log, or several one after the other: the next ones have a quarter behind its name.
var shardName = regexp.MustCompile(`^([1-9]\d{3})q([1-4])(?:\.([2-9]|[1-9]\d{1,2}))?$`)

// rankOf says where a log stands among those of the ledger: 0 is the first.
func (p *policy) rankOf(origin string) int64 {
	if origin == p.log.Name() {
		return 0
	}
	name, found := strings.CutPrefix(origin, p.log.Name()+"/")
	match := shardName.FindStringSubmatch(name)
	need(found && match != nil, "the checkpoint is not signed by your log")
	if match[3] == "" {
		match[3] = "1"
	}
	var rank int64
	for i, unit := range []int64{4000, 1000, 1} {
		part, err := strconv.ParseInt(match[i+1], 10, 64)
		need(err == nil, "the name of a log")
		rank += part * unit
	}
	return rank
}

// keyUnder is the key of one of the ledger's logs: the bytes of the key in force under the log's own name.
func keyUnder(key []byte, origin string) string {
	id := digest([]byte(origin+"\n"), key)[:4]
	return fmt.Sprintf("%s+%x+%s", origin, id, base64.StdEncoding.EncodeToString(key))
}

// originOf is the log that a checkpoint says to be of; nothing is verified.
func originOf(data []byte) string {
	origin, _, _ := strings.Cut(string(data), "\n")
	return origin
}

var checkpointText = regexp.MustCompile(`^([^\n]+)\n(0|[1-9]\d{0,15})\n([^\n]{44})\n$`)

// verifyLogged reads a checkpoint that a key of the ledger signed, and looks at the lines of others as well.
func (p *policy) verifyLogged(data, key []byte, others ...note.Verifier) head {
	origin := originOf(data)
	h := head{note: string(data), origin: origin, rank: p.rankOf(origin), vkey: keyUnder(key, origin), key: key}
	log, err := note.NewVerifier(h.vkey)
	need(err == nil, "the name of a log")
	opened, err := note.Open(data, note.VerifierList(append(others, log)...))
	need(err == nil, "the checkpoint: %v", err)
	isLogs := slices.ContainsFunc(opened.Sigs, func(s note.Signature) bool {
		return s.Name == log.Name() && s.Hash == log.KeyHash()
	})
	match := checkpointText.FindStringSubmatch(opened.Text)
	need(isLogs && match != nil && match[1] == origin, "the checkpoint is not signed by your log")
	size, err := strconv.ParseInt(match[2], 10, 64)
	hash, hashErr := tlog.ParseHash(match[3])
	need(err == nil && hashErr == nil && base64.StdEncoding.EncodeToString(hash[:]) == match[3], "the checkpoint's form")
	need(size <= maxSafe, "the checkpoint's form")
	h.size, h.root, h.hash = size, match[3], hash
	return h
}

func verifyCheckpoint(data, key []byte, p *policy) head {
	var verifiers []note.Verifier
	for _, name := range p.names {
		// What a witness said of another tree is not said of this one.
		p.witnesses[name].signed = 0
		verifiers = append(verifiers, p.witnesses[name])
	}
	h := p.verifyLogged(data, key, verifiers...)
	need(p.isMet(p.quorum, 0), "too few of your witnesses signed the checkpoint")
	h.witnesses = witnessLines(p)
	return h
}

func parseHashes(lines []string) []tlog.Hash {
	hashes := make([]tlog.Hash, len(lines))
	for i, line := range lines {
		data := unbase64(line)
		need(len(data) == 32, "a hash in a proof")
		hashes[i] = tlog.Hash(data)
	}
	return hashes
}

func requireProof(h head, index int64, entry, proof []byte) {
	top, rest, found := strings.Cut(string(proof), "\n\n")
	lines := strings.Split(top, "\n")
	isForm := found && len(lines) >= 2 && lines[0] == "c2sp.org/tlog-proof@v1" && lines[1] == fmt.Sprintf("index %d", index)
	need(isForm && rest == h.note && index < h.size, "a proof of another entry or tree")
	err := tlog.CheckRecord(parseHashes(lines[2:]), h.size, h.hash, index, tlog.RecordHash(entry))
	need(err == nil, "a proof does not lead to the root")
}

// rangeTree folds the leaves of a range and the hashes of everything outside into a root.
type rangeTree struct {
	start, end int64
	leaves     []tlog.Hash
	proof      []tlog.Hash
}

func (t *rangeTree) root(from, to int64) tlog.Hash {
	if to <= t.start || from >= t.end {
		need(len(t.proof) > 0, "a proof is too short")
		next := t.proof[0]
		t.proof = t.proof[1:]
		return next
	}
	if to-from == 1 {
		return t.leaves[from-t.start]
	}
	half := int64(1)
	for half*2 < to-from {
		half *= 2
	}
	left := t.root(from, from+half)
	return tlog.NodeHash(left, t.root(from+half, to))
}

// requireRange looks at a range in the tree of the head, whose entry 0 is at h.first of the ledger.
func requireRange(h head, start, end int64, entries map[int64][]byte, proof []byte) {
	lines := strings.Split(string(proof), "\n")
	isForm := len(lines) >= 3 && lines[0] == "trustwarden.dev/range-proof@v1" && lines[len(lines)-1] == ""
	need(isForm && lines[1] == fmt.Sprintf("range %d %d", start, end), "a proof of another range")
	need(start < end && end <= h.size && end-start <= int64(len(entries)), "the range is not of the tree")
	tree := &rangeTree{start: start, end: end, proof: parseHashes(lines[2 : len(lines)-1])}
	for index := start; index < end; index++ {
		entry, ok := entries[h.first+index]
		need(ok, "an entry of the range is missing")
		tree.leaves = append(tree.leaves, tlog.RecordHash(entry))
	}
	need(tree.root(0, h.size) == h.hash && len(tree.proof) == 0, "a proof does not lead to the root")
}

// ---- 4. The bundle: manifest, digests, entries in the log ----

type eventIndexes struct {
	id      string
	indexes []int64
}

type bundle struct {
	files    *archive
	envelope envelope
	manifest object
	events   []eventIndexes
	order    []int64
	entries  map[int64][]byte
}

var entryPath = regexp.MustCompile(`^entries/(0|[1-9]\d{0,15})\.json$`)

func openBundle(data []byte) *bundle {
	files := readZip(data)
	b := &bundle{files: files, envelope: parseEnvelope(files.file("manifest.json")), entries: map[int64][]byte{}}
	b.manifest = b.envelope.value
	need(b.envelope.kind == "evidence" && number(b.manifest["v"]) == 1, "the manifest is another document")
	var sums strings.Builder
	for _, name := range files.names {
		if name == "manifest.json" || name == "SHA256SUMS" {
			continue
		}
		fmt.Fprintf(&sums, "%x  %s\n", digest(files.content[name]), name)
		if match := entryPath.FindStringSubmatch(name); match != nil {
			index, _ := strconv.ParseInt(match[1], 10, 64)
			b.order = append(b.order, index)
			b.entries[index] = files.content[name]
		}
	}
	need(sums.String() == string(files.file("SHA256SUMS")), "a file is not what SHA256SUMS says")
	need(base64url(digest([]byte(sums.String()))) == text(b.manifest, "sums_sha256"), "SHA256SUMS is not what the manifest says")
	slices.Sort(b.order)
	b.readEvents(parseCanonical(files.file("events.json")))
	return b
}

func (b *bundle) readEvents(list object) {
	named := map[int64]bool{}
	count := 0
	take := func(value any) []int64 {
		items, _ := value.([]any)
		var indexes []int64
		for _, item := range items {
			index := number(item)
			_, ok := b.entries[index]
			need(ok && !named[index], "entries that events.json does not name")
			named[index] = true
			count++
			indexes = append(indexes, index)
		}
		return indexes
	}
	events, _ := list["events"].([]any)
	for _, item := range events {
		event, _ := item.(object)
		b.events = append(b.events, eventIndexes{text(event, "event_id"), take(event["indexes"])})
	}
	take(list["support"])
	need(count == len(b.entries) && int64(count) == number(b.manifest["entries"]), "entries that events.json does not name")
	need(len(b.events) > 0 && int64(len(b.events)) == number(b.manifest["events"]), "another number of events")
}

// maxSafe is the largest integer that every language holds exactly.
const maxSafe = 1<<53 - 1

var shardPath = regexp.MustCompile(`^shards/(0|[1-9]\d{0,15})\.checkpoint$`)

var shardEnd = regexp.MustCompile(`^trustwarden\.dev/shard-end@v1\nnext ([^\n]+)\n$`)

// readHeads gives the trees that entries are in, oldest first: that of `checkpoint`, or those of `shards/`, the newest of
// which it is. From your key on: the end of a shard may name another key for the next one. That the end is in its tree is
// shown like of any other entry.
func (b *bundle) readHeads(p *policy) []head {
	var heads []head
	newest := b.files.file("checkpoint")
	for _, name := range b.files.names {
		if match := shardPath.FindStringSubmatch(name); match != nil {
			first, err := strconv.ParseInt(match[1], 10, 64)
			need(err == nil && first <= maxSafe, "a shard begins elsewhere")
			heads = append(heads, head{first: first, note: string(b.files.content[name]), path: fmt.Sprintf("shards/%d.range.proof", first)})
		}
	}
	if heads == nil {
		heads = []head{{note: string(newest), path: "range.proof"}}
	}
	slices.SortFunc(heads, func(left, right head) int { return cmp.Compare(left.first, right.first) })
	need(heads[len(heads)-1].note == string(newest), "the newest shard is not the one of the checkpoint")
	key := p.key
	for i, named := range heads {
		h := verifyCheckpoint([]byte(named.note), key, p)
		h.first, h.path = named.first, named.path
		need((h.first == 0) == (h.rank == 0), "a shard begins elsewhere")
		if match := shardEnd.FindSubmatch(b.entries[h.first+h.size-1]); match != nil {
			h.next = string(match[1])
			_, err := note.NewVerifier(h.next)
			need(err == nil, "a shard's end names no key of a log")
			key = unbase64(strings.SplitN(h.next, "+", 3)[2])
		}
		heads[i] = h
	}
	return heads
}

func (b *bundle) requireInLog(heads []head) (start, end int64) {
	log, newest := sub(b.manifest, "log"), heads[len(heads)-1]
	need(number(log["size"]) == newest.size && text(log, "root") == newest.root, "the manifest names another tree")
	scope := sub(b.manifest, "range")
	need((text(sub(b.manifest, "selection"), "kind") == "range") == (scope != nil), "the manifest's range")
	if scope != nil {
		start, end = number(scope["start"]), number(scope["end"])
		b.requireRangeInLogs(heads, start, end)
	}
	for _, index := range b.order {
		h := heads[0]
		for _, one := range heads {
			if one.first <= index {
				h = one
			}
		}
		need(h.first <= index, "an entry of no shard")
		// The beginning of a shard is proven by itself also where it lies in the range.
		isStart := index > 0 && h.first == index
		if index < start || index >= end || isStart {
			requireProof(h, index-h.first, b.entries[index], b.files.file(fmt.Sprintf("proofs/%d.tlog-proof", index)))
		}
	}
	return start, end
}

// requireRangeInLogs: a range is whole in each shard that it touches, and these follow one another.
func (b *bundle) requireRangeInLogs(heads []head, start, end int64) {
	next := start
	for _, h := range heads {
		if next < h.first || next >= min(end, h.first+h.size) {
			continue
		}
		until := min(end-h.first, h.size)
		requireRange(h, next-h.first, until, b.entries, b.files.file(h.path))
		next = h.first + until
	}
	need(next == end && start < end, "the range is not of the tree")
}

var shardStart = regexp.MustCompile(`(?s)^trustwarden\.dev/shard-start@v1\nfirst (0|[1-9]\d{0,15})\n\n(.*)$`)

// requireShardStarts: each shard but the first begins where its own entry 0 says, with the final checkpoint of the one
// before, and is the one that this one's end names. It takes the entries that are no records, which are beginnings and ends,
// out of the order.
func (b *bundle) requireShardStarts(heads []head, p *policy) {
	for i, h := range heads {
		if h.next != "" {
			need(p.isNamed(h, heads[i+1:]), "a shard names another one than follows")
			b.order = slices.DeleteFunc(b.order, func(index int64) bool { return index == h.first+h.size-1 })
		}
		if h.first == 0 {
			continue
		}
		match := shardStart.FindSubmatch(b.entries[h.first])
		need(match != nil && string(match[1]) == strconv.FormatInt(h.first, 10), "a shard begins elsewhere")
		// A shard between two that are here has the key of the later one: every end that changes it is brought along.
		key := h.key
		if i > 0 && heads[i-1].origin == originOf(match[2]) {
			key = heads[i-1].key
		}
		need(isBehind(h, p.verifyLogged(match[2], key), heads[:i]), "a shard does not follow the one before")
		b.order = slices.DeleteFunc(b.order, func(index int64) bool { return index == h.first })
	}
}

// isNamed says whether what a shard's end names is a later shard, and the next one here, where that begins right behind.
func (p *policy) isNamed(h head, after []head) bool {
	named := p.rankOf(strings.SplitN(h.next, "+", 2)[0])
	if named <= h.rank {
		return false
	}
	end := h.first + h.size
	switch {
	case len(after) == 0:
		return true
	case after[0].first == end:
		return after[0].vkey == h.next
	default:
		return after[0].first > end && after[0].rank > named
	}
}

// isBehind says whether a shard can follow the one that ended so, and that one the last of those which the bundle has
// before it.
func isBehind(h, ended head, known []head) bool {
	if ended.size == 0 || ended.rank >= h.rank || ended.size > h.first || (ended.rank == 0) != (ended.size == h.first) {
		return false
	}
	if len(known) == 0 {
		return true
	}
	before := known[len(known)-1]
	if before.rank != ended.rank {
		return before.first+before.size < h.first && before.rank < ended.rank
	}
	isSame := before.size < ended.size || (before.size == ended.size && before.hash == ended.hash)
	return before.first+ended.size == h.first && isSame
}

func isSameTree(left, right head) bool {
	return left.origin == right.origin && left.size == right.size && left.hash == right.hash
}

// readGrowth gives what the log grew out of, shard by shard, without being rewritten; nil when the bundle does not show it.
// held is the checkpoint that you kept, if any.
func (b *bundle) readGrowth(heads []head, p *policy, held []byte) *head {
	_, hasNote := b.files.content["checkpoint.prev"]
	_, hasProof := b.files.content["consistency.txt"]
	if !hasNote && !hasProof {
		return nil
	}
	prev := b.files.file("checkpoint.prev")
	at := slices.IndexFunc(heads, func(h head) bool { return h.origin == originOf(prev) })
	need(at >= 0, "the shard of the earlier checkpoint is not here")
	earlier := p.verifyLogged(prev, heads[at].key)
	lines := strings.Split(string(b.files.file("consistency.txt")), "\n")
	isForm := len(lines) >= 3 && lines[0] == "trustwarden.dev/consistency-proof@v1" && lines[len(lines)-1] == ""
	need(isForm && lines[1] == fmt.Sprintf("sizes %d %d", earlier.size, heads[at].size), "a proof of other trees")
	need(earlier.size > 0 && earlier.size <= heads[at].size, "the log is shorter than the earlier checkpoint")
	err := tlog.CheckTree(parseHashes(lines[2:len(lines)-1]), heads[at].size, heads[at].hash, earlier.size, earlier.hash)
	need(err == nil, "the log did not grow out of the earlier checkpoint")
	for i, h := range heads[at+1:] {
		match := shardStart.FindSubmatch(b.entries[h.first])
		before := heads[at+i]
		need(match != nil && isSameTree(p.verifyLogged(match[2], before.key), before), "a shard does not begin with the tree before")
	}
	need(held == nil || isSameTree(p.verifyLogged(held, heads[at].key), earlier), "another tree than you hold")
	return &earlier
}

var policyPath = regexp.MustCompile(`^policies/([0-9a-f]{64})/(policy\.wasm|data\.json|parts)$`)

// maxParts is how many policies decide together.
const maxParts = 8

// readPolicies proves the policies, code and data, under the digests by which decisions name them; it returns the digests.
func readPolicies(files *archive) map[string]bool {
	folders := map[string]map[string][]byte{}
	for _, name := range files.names {
		if !strings.HasPrefix(name, "policies/") {
			continue
		}
		match := policyPath.FindStringSubmatch(name)
		need(match != nil, "%s is no policy's", name)
		if folders[match[1]] == nil {
			folders[match[1]] = map[string][]byte{}
		}
		folders[match[1]][match[2]] = files.content[name]
	}
	proven := map[string]bool{}
	for folder, content := range folders {
		wasm, hasWasm := content["policy.wasm"]
		data, hasData := content["data.json"]
		parts, hasParts := content["parts"]
		isWhole := hasWasm && hasData && !hasParts
		sum := digest(digest(wasm), digest(data))
		if hasParts && !hasWasm && !hasData {
			digests := strings.Split(string(parts), " ")
			isWhole, sum = len(digests) <= maxParts, digest(parts)
			for _, part := range digests {
				isWhole = isWhole && folders[hex.EncodeToString(unbase64url(part))] != nil
			}
		}
		need(isWhole, "policies/%s is not whole", folder)
		need(hex.EncodeToString(sum) == folder, "policies/%s is another policy", folder)
		proven[base64url(sum)] = true
	}
	return proven
}

// ---- 5. Certificates ----

func parseCertificate(der []byte) *x509.Certificate {
	certificate, err := x509.ParseCertificate(der)
	need(err == nil, "a certificate: %v", err)
	return certificate
}

func parseCertificates(value any) []*x509.Certificate {
	var list []*x509.Certificate
	for _, item := range texts(value) {
		list = append(list, parseCertificate(unbase64(item)))
	}
	return list
}

func rootsOf(data []byte) []*x509.Certificate {
	var document struct {
		Keys []struct {
			Use string   `json:"use"`
			X5c []string `json:"x5c"`
		} `json:"keys"`
	}
	need(json.Unmarshal(data, &document) == nil, "the trust bundle is not JSON")
	var roots []*x509.Certificate
	for _, key := range document.Keys {
		if key.Use == "x509-svid" && len(key.X5c) == 1 {
			roots = append(roots, parseCertificate(unbase64(key.X5c[0])))
		}
	}
	return roots
}

func uriOf(certificate *x509.Certificate) string {
	names := len(certificate.DNSNames) + len(certificate.EmailAddresses) + len(certificate.IPAddresses)
	need(len(certificate.URIs) == 1 && names == 0, "not exactly one URI name")
	return certificate.URIs[0].String()
}

func domainOf(id string) string {
	parts := strings.Split(id, "/")
	need(len(parts) >= 3 && parts[0] == "spiffe:", "not a SPIFFE ID")
	return parts[2]
}

type signer struct {
	id        string
	key       *ecdsa.PublicKey
	isForeign bool
}

func parseTime(at string) time.Time {
	parsed, err := time.Parse("2006-01-02T15:04:05.000Z", at)
	need(err == nil, "a time")
	return parsed
}

// verifySvid follows a certificate of the log to a root that was valid, as everything between, at that time.
func (l *ledger) verifySvid(keyid, at string) signer {
	chain := l.chains[keyid]
	need(len(chain) > 0, "the bundle does not carry the signer's certificate")
	leaf := chain[0]
	id := uriOf(leaf)
	domain := domainOf(id)
	isForeign := !slices.ContainsFunc(l.roots, func(root *x509.Certificate) bool { return uriOf(root) == "spiffe://"+domain })
	trusted := l.roots
	if isForeign {
		trusted = l.foreign[domain]
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, root := range trusted {
		if uriOf(root) == "spiffe://"+domain {
			roots.AddCert(root)
		}
	}
	for _, certificate := range chain[1:] {
		between.AddCert(certificate)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: parseTime(at).Truncate(time.Second),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	need(err == nil, "a certificate: %v", err)
	key, ok := leaf.PublicKey.(*ecdsa.PublicKey)
	need(ok && key.Curve == elliptic.P256() && !leaf.IsCA, "a certificate's key or role")
	l.verified[keyid] = true
	return signer{id, key, isForeign}
}

// ---- 6. Records ----

type record struct {
	envelope
	index  int64
	sha256 string
	signer signer
	// token is the one that was presented instead of an intent.
	token *token
	// isRepeated: the record is there already, and says nothing new.
	isRepeated bool
}

func (r *record) isIntent() bool { return r.kind == "intent" || r.kind == "presented-intent" }

func (r *record) group() string {
	if r.isIntent() {
		return r.sha256
	}
	if of := optional(r.value, "intent_sha256"); of != "" {
		return of
	}
	return "control:" + r.sha256
}

type issue struct {
	subject, time, enrolment string
	index, epoch             int64
	chain, scope             []string
	details                  object
	by, what, how            string
}

// revocation is the end of everything below its subject; to names who has an agent since, when it was given away.
type revocation struct {
	subject, time, to string
	epoch, index      int64
}

// holding says who has an agent from an epoch on.
type holding struct {
	since int64
	owner string
}

type token struct {
	isWit       bool
	client, jkt string
	end, index  int64
}

// ownerKeys are a file's key, or the passkeys of a person by the keyid of what they sign.
type ownerKeys struct {
	ofFile   *ecdsa.PublicKey
	passkeys map[string]passkey
}

// approval is an owner's yes to one question, by the names of what it was asked.
type approval struct {
	text  string
	value object
}

// narrowing is a smaller scope of an instance from an epoch on.
type narrowing struct {
	scope any
	epoch int64
}

// confirmation is a request that waits for a second person, or has its word.
type confirmation struct {
	asker, digest, by string
	// An ended one stays known: asked anew under the same id, its one signature would serve again.
	isEnded bool
}

type ledger struct {
	confirmations map[string]*confirmation
	domain        string
	roots         []*x509.Certificate
	foreign       map[string][]*x509.Certificate
	chains        map[string][]*x509.Certificate
	verified      map[string]bool
	owners        map[string]*ownerKeys
	approvals     map[string]*approval
	issues        map[string][]*issue
	revocations   []revocation
	holders       map[string][]holding
	transfers     map[string]bool
	tokens        map[string]*token
	endedTokens   map[string]time.Time
	proofs        map[string]bool
	order         []*record
	records       map[int64]*record
	missing       []string
	// narrowed scopes, used tickets and grants, admitted nodes, removed entries, uses of approvals and erased payloads.
	narrowed      map[string][]narrowing
	used          map[string]bool
	nodes         map[string]string
	removed       map[string]bool
	approvalUses  map[string]string
	approvalsUsed map[string]bool
	erased        map[string]int64
	// payloads of records by what each is alone under, and what intents were made with.
	payloads    map[string]string
	credentials map[string]string
}

var serverID = regexp.MustCompile(`^spiffe://[^/]+/trustwarden/server/[^/]+$`)

func readRecords(b *bundle, roots []*x509.Certificate) *ledger {
	l := &ledger{
		roots: roots, domain: text(b.manifest, "trust_domain"), verified: map[string]bool{},
		foreign: map[string][]*x509.Certificate{}, chains: map[string][]*x509.Certificate{},
		holders: map[string][]holding{}, transfers: map[string]bool{}, confirmations: map[string]*confirmation{},
		owners: map[string]*ownerKeys{}, approvals: map[string]*approval{}, issues: map[string][]*issue{},
		narrowed: map[string][]narrowing{}, used: map[string]bool{}, nodes: map[string]string{}, removed: map[string]bool{},
		approvalUses: map[string]string{}, approvalsUsed: map[string]bool{}, erased: map[string]int64{},
		payloads: map[string]string{}, credentials: map[string]string{},
		records: map[int64]*record{}, tokens: map[string]*token{}, endedTokens: map[string]time.Time{}, proofs: map[string]bool{},
	}
	for _, index := range b.order {
		l.read(index, b.entries[index])
	}
	return l
}

var recordKinds = []string{"intent", "presented-intent", "decision", "outcome", "control"}

func (l *ledger) read(index int64, entry []byte) {
	defer func() {
		if caught, ok := recover().(refusal); ok {
			refuse("entry %d: %s", index, caught)
		}
	}()
	r := &record{envelope: parseEnvelope(entry), index: index, sha256: base64url(digest(entry))}
	// A certificate needs nobody's word: it leads to a root or it does not.
	if chain := parseCertificates(sub(r.value, "details")["svid_chain"]); len(chain) > 0 {
		l.chains[base64url(digest(chain[0].Raw))] = chain
	}
	need(slices.Contains(recordKinds, r.kind), "a %s is no record", r.kind)
	r.signer = l.verifySvid(r.keyid, text(r.value, "time"))
	need(r.isSignedBy(r.signer.key), "the signature is bad")
	isServer := serverID.MatchString(r.signer.id) && !r.signer.isForeign
	need(isServer || r.kind == "intent" || r.kind == "outcome", "a %s that no server signed", r.kind)
	if r.kind == "intent" {
		agent := sub(r.value, "agent")
		isOwn := r.signer.id == text(agent, "spiffe_id") && r.keyid == text(agent, "svid_sha256")
		need(isOwn, "the intent names another agent than signed it")
	}
	l.order = append(l.order, r)
	l.records[index] = r
	if r.isRepeated = l.isRepeated(r); r.isRepeated {
		return
	}
	if r.kind == "presented-intent" {
		r.token = l.requirePresented(r.value)
	}
	if r.kind == "control" && r.value["allow"] == true {
		l.collect(r)
	}
}

// isRepeated says whether a record is there already: the same payload by the same signer about the same intent, however its
// signature is spelled. Another payload in its place contradicts it.
func (l *ledger) isRepeated(r *record) bool {
	credential := "-"
	switch {
	case r.kind == "intent":
		credential = text(sub(r.value, "agent"), "svid_sha256")
	case r.kind == "presented-intent":
		credential = text(sub(r.value, "token"), "jkt")
	case l.credentials[optional(r.value, "intent_sha256")] != "":
		credential = l.credentials[optional(r.value, "intent_sha256")]
	}
	if r.isIntent() && l.credentials[r.sha256] == "" {
		l.credentials[r.sha256] = credential
	}
	key := strings.Join([]string{r.kind, r.keyid, credential, text(r.value, "event_id")}, " ")
	payload := base64url(digest(r.raw))
	known, isKnown := l.payloads[key]
	need(!isKnown || known == payload, "another record of the same event by the same signer")
	l.payloads[key] = payload
	return isKnown
}

func (l *ledger) collect(r *record) {
	details, subject := sub(r.value, "details"), optional(r.value, "subject")
	switch text(r.value, "kind") {
	case "owner":
		if optional(details, "spki") != "" {
			need(l.owners[subject] == nil, "an owner registered twice")
			_, isPasskey := details["credential_id"]
			l.collectKey(subject, details, isPasskey)
		}
		if person := optional(details, "person"); person != "" && optional(details, "spki") != "" {
			l.collectPerson(person, details)
		}
	case "person":
		if chain := texts(r.value["chain"]); len(chain) > 0 {
			l.collectPerson(strings.Replace(chain[0], "owner:", "", 1), details)
		}
		// People confirm in their own name, whether they are owners or not.
		l.collectPerson(subject, details)
	case "confirmation":
		l.collectConfirmation(subject, text(r.value, "principal"), details)
	case "revoke":
		l.revocations = append(l.revocations, revocation{subject, text(r.value, "time"), "", number(r.value["epoch"]), r.index})
	case "transfer":
		l.collectTransfer(r, subject, details)
	case "approval":
		switch details["change"] {
		case "approve":
			l.collectApproval(r, subject, details)
		case "use":
			l.collectUse(r, subject, details)
		}
	case "narrow":
		l.narrowed[subject] = append(l.narrowed[subject], narrowing{details["scope"], number(r.value["epoch"])})
	case "node":
		l.collectNode(r, subject, details)
	case "entry":
		l.collectEntry(subject, details)
	case "admin":
		if id := optional(details, "event_id"); details["change"] == "erasure" {
			if _, ok := l.erased[id]; !ok {
				l.erased[id] = r.index
			}
		}
	case "token", "wit":
		l.collectToken(r, subject, details)
	case "federation":
		if _, ok := details["x509_authorities"]; ok || details["change"] == "removal" {
			domain := text(details, "trust_domain")
			isOwn := slices.ContainsFunc(l.roots, func(root *x509.Certificate) bool { return uriOf(root) == "spiffe://"+domain })
			need(!isOwn, "a federation with our own trust domain")
			l.foreign[domain] = parseCertificates(details["x509_authorities"])
		}
	case "issue":
		made := &issue{
			subject: subject, time: text(r.value, "time"), enrolment: text(details, "enrolment"), index: r.index,
			epoch: number(r.value["epoch"]), chain: texts(r.value["chain"]), scope: texts(details["scope"]), details: details,
		}
		l.verifyIssue(made)
		l.requireHolder(made)
		l.issues[subject] = append(l.issues[subject], made)
	}
}

func parseKey(spki []byte) *ecdsa.PublicKey {
	key, err := x509.ParsePKIXPublicKey(spki)
	found, ok := key.(*ecdsa.PublicKey)
	need(err == nil && ok && found.Curve == elliptic.P256(), "an owner's key")
	return found
}

// collectKey learns an owner's key: a file's, or one of the passkeys of a person.
func (l *ledger) collectKey(owner string, details object, isPasskey bool) {
	spki := unbase64(text(details, "spki"))
	if l.owners[owner] == nil {
		l.owners[owner] = &ownerKeys{passkeys: map[string]passkey{}}
	}
	if !isPasskey {
		l.owners[owner].ofFile = parseKey(spki)
		return
	}
	host, isBound := details["rp_id"].(string)
	known := passkey{parseKey(spki), host, isBound, optional(details, "credential_id")}
	l.owners[owner].passkeys[base64url(digest(spki))] = known
}

// collectPerson follows a person: one that was recovered has other passkeys from then on.
func (l *ledger) collectPerson(owner string, details object) {
	change := optional(details, "change")
	if keys := l.owners[owner]; keys != nil && (change == "recover" || change == "end") {
		clear(keys.passkeys)
	}
	if optional(details, "spki") != "" {
		// What a person comes with is never a file's key.
		l.collectKey(owner, details, true)
		return
	}
	if keys := l.owners[owner]; keys != nil {
		gone := optional(details, "credential_id")
		maps.DeleteFunc(keys.passkeys, func(_ string, known passkey) bool { return known.credential == gone })
	}
}

// isOwners tells whether a document is signed by its owner: by a file's key plainly, by a passkey as an assertion.
func (l *ledger) isOwners(owner string, document envelope) bool {
	keys, ok := l.owners[owner]
	need(ok, "a document of an owner whose key is not here")
	if document.webauthn == nil {
		return keys.ofFile != nil && document.isSignedBy(keys.ofFile)
	}
	by, known := keys.passkeys[document.keyid]
	return known && document.isAsserted(by)
}

var approvalTexts = []string{
	"id", "intent_sha256", "owner", "agent", "action", "resource", "audience", "parameters", "policy_sha256", "aud", "answer",
}

// collectApproval takes an answer that its owner signed, here and in time: yes to one question.
func (l *ledger) collectApproval(r *record, subject string, details object) {
	source := text(details, "approval")
	document := parseEnvelope([]byte(source))
	said := document.value
	isForm := document.kind == "approval" && number(said["v"]) == 1 && number(said["exp"])-number(said["iat"]) <= 900
	need(isForm && len(said) == len(approvalTexts)+3, "an approval's form")
	for _, name := range approvalTexts {
		text(said, name)
	}
	need(said["id"] == subject && said["answer"] == "approve", "an approval under another id, or a no")
	need(said["aud"] == "spiffe://"+domainOf(r.signer.id), "an approval in another trust domain")
	owner := text(said, "owner")
	need(l.isOwners(owner, document) && l.isNamedKey(owner, document), "its approval is not the owner's")
	need(isCurrent(document.value, text(r.value, "time"), 0), "an approval that had expired, or of later")
	l.approvals[subject] = &approval{source, document.value}
}

// isNamedKey tells whether an envelope says by which of the owner's keys it is signed; a passkey is found by that.
func (l *ledger) isNamedKey(owner string, document envelope) bool {
	if document.webauthn != nil {
		return true
	}
	spki, err := x509.MarshalPKIXPublicKey(l.owners[owner].ofFile)
	return err == nil && document.keyid == base64url(digest(spki))
}

// collectUse: the time of the use counts; the decision is written after it, and may be written late.
func (l *ledger) collectUse(r *record, subject string, details object) {
	given, ok := l.approvals[subject]
	need(ok, "a use of an approval that nobody gave")
	need(text(details, "envelope_sha256") == base64url(digest([]byte(given.text))), "a use of another approval")
	_, isUsed := l.approvalUses[subject]
	need(!isUsed, "an approval that was used before")
	need(parseTime(text(r.value, "time")).Before(time.Unix(number(given.value["exp"]), 0)), "an approval that had expired")
	l.approvalUses[subject] = text(details, "used_by")
}

// issueOf gives the last issue of a name before an entry: a workload of elsewhere may be registered anew when it had ended.
func (l *ledger) issueOf(id string, before int64) *issue {
	var last *issue
	for _, made := range l.issues[id] {
		if made.index < before {
			last = made
		}
	}
	return last
}

// collectNode takes a node under its own name, which held its key when it came.
func (l *ledger) collectNode(r *record, subject string, details object) {
	parts := strings.Split(subject, "/")
	isNamed := len(parts) > 5 && parts[3] == "trustwarden" && parts[4] == "node" && parts[5] == text(details, "name")
	need(isNamed, "a node under another name")
	l.requireHeld(subject, text(r.value, "time"), text(details, "evidence_sha256"), details)
	l.nodes[subject] = parts[5]
}

// collectEntry: a registered entry is its owner's before any instance of it.
func (l *ledger) collectEntry(subject string, details object) {
	if details["change"] == "remove" {
		l.removed[subject] = true
	}
	if details["change"] != "create" || details["entry_kind"] != "agent" {
		return
	}
	document := parseEnvelope([]byte(text(details, "entry")))
	need(document.kind == "entry" && subject == "ent_"+text(document.value, "jti"), "an entry under another id")
	isSigned := document.webauthn == nil && l.isOwners(text(document.value, "owner"), document)
	need(isSigned, "the owner did not sign its entry")
}

// collectConfirmation follows a request: one asks, another confirms by a passkey exactly that, and the asker does it, once.
func (l *ledger) collectConfirmation(id, principal string, details object) {
	change, asker, person := text(details, "change"), text(details, "asked_by"), optional(details, "answered_by")
	asked := l.confirmations[id]
	if change == "ask" {
		need(asked == nil && asker == principal, "a confirmation asked twice, or in another's name")
		l.confirmations[id] = &confirmation{asker: asker, digest: text(details, "digest")}
		return
	}
	need(asked != nil && !asked.isEnded, "a confirmation that nobody asked for, or that was used")
	need(asked.asker == asker && asked.digest == text(details, "digest"), "a confirmation of another request")
	if change == "confirm" {
		isOther := person != "" && principal == "person:"+person && principal != asker && asked.by == ""
		need(isOther && l.isConfirmed(id, person, details), "a confirmation that no second person signed")
		asked.by = person
		return
	}
	need(change == "refuse" || change == "use", "an unknown change of a confirmation")
	isUse := asked.by != "" && asked.by == person && principal == asker
	need(change == "refuse" || isUse, "used without the word of a second one")
	asked.isEnded = true
}

func (l *ledger) isConfirmed(id, person string, details object) bool {
	keys, credential := l.owners[person], text(details, "credential_id")
	if keys == nil {
		return false
	}
	device, browser := unbase64url(text(details, "authenticator_data")), unbase64url(text(details, "client_data_json"))
	signature := unbase64url(text(details, "signature"))
	lines := []string{"trustwarden-confirmation-v1", id, text(details, "asked_by"), text(details, "digest")}
	asked := digest([]byte(strings.Join(lines, "\n")))
	for _, by := range keys.passkeys {
		isGood := func(hash []byte) bool { return ecdsa.VerifyASN1(by.key, hash, signature) }
		if by.credential == credential && by.isAsserting(asked, device, browser, isGood) {
			return true
		}
	}
	return false
}

// holdersOf tells who has had an agent; known from its first event here, which need not be its birth.
func (l *ledger) holdersOf(agent, owner string) []holding {
	if l.holders[agent] == nil {
		l.holders[agent] = []holding{{-1, owner}}
	}
	return l.holders[agent]
}

// collectTransfer follows an agent to another owner: by one document that both have signed, once.
func (l *ledger) collectTransfer(r *record, subject string, details object) {
	offer := l.verifyTransfer(r, subject, details, "offer", "from")
	if details["change"] == "offer" {
		return
	}
	signed := l.verifyTransfer(r, subject, details, "acceptance", "to")
	isSame := details["change"] == "accept" && bytes.Equal(signed.raw, offer.raw)
	need(isSame, "two owners signed different transfers")
	key := base64url(digest(signed.raw))
	need(!l.transfers[key], "a transfer that was used before")
	l.transfers[key] = true
	from, to, epoch := text(signed.value, "from"), text(signed.value, "to"), number(r.value["epoch"])
	holders := l.holdersOf(subject, from)
	last := holders[len(holders)-1]
	need(last.owner == from && epoch > last.since, "a transfer by who did not have the agent")
	l.holders[subject] = append(holders, holding{epoch, to})
	l.revocations = append(l.revocations, revocation{subject, text(r.value, "time"), to, epoch, r.index})
}

func (l *ledger) verifyTransfer(r *record, subject string, details object, name, side string) envelope {
	document := parseEnvelope([]byte(text(details, name)))
	from, to := text(document.value, "from"), text(document.value, "to")
	isNamed := document.kind == "transfer" && text(document.value, "agent") == subject && from == optional(details, "from")
	need(isNamed && slices.Equal(texts(r.value["chain"]), []string{"owner:" + from, subject}), "another transfer")
	need(from != to && to == optional(details, "owner"), "a transfer to another owner")
	issued, end := number(document.value["iat"]), number(document.value["exp"])
	at := parseTime(text(r.value, "time"))
	need(text(document.value, "aud") == "spiffe://"+domainOf(r.signer.id), "a transfer in another trust domain")
	need(end-issued <= 3600 && at.Before(time.Unix(end, 0)), "a transfer that expired")
	need(issued < end && at.Unix() >= issued-30, "a transfer of later")
	need(l.isOwners(text(document.value, side), document), "an owner did not sign the transfer")
	return document
}

func (l *ledger) requireHolder(i *issue) {
	if len(i.chain) < 2 {
		return
	}
	owner, found := strings.Replace(i.chain[0], "owner:", "", 1), ""
	for _, one := range l.holdersOf(i.chain[1], owner) {
		if one.since <= i.epoch {
			found = one.owner
		}
	}
	need(found == owner, "an agent of another owner")
}

// ---- 7. Who let each instance be: a document of its owner or parent, and a proof of the new key ----

func (l *ledger) verifyIssue(i *issue) {
	document := parseEnvelope([]byte(i.enrolment))
	via := optional(i.details, "via")
	l.requireInForce(i, document, via)
	if via != "foreign" {
		requireKeyNamed(document.value, l.requirePossession(i))
	}
	kind := optional(document.value, "kind")
	isService := kind == "verifier" || kind == "relay"
	if via != "foreign" {
		path := "trustwarden/" + kind
		if !isService {
			path = text(document.value, "path")
		}
		parts := []string{text(document.value, "aud"), path, text(document.value, "name")}
		place := strings.Join(slices.DeleteFunc(parts, func(part string) bool { return part == "" }), "/")
		need(i.subject[:max(0, strings.LastIndex(i.subject, "/"))] == place, "another name than was signed")
	}
	if isService {
		maker := l.verifySvid(document.keyid, i.time)
		isSigned := serverID.MatchString(maker.id) && document.isSignedBy(maker.key)
		need(document.kind == "ticket" && via != "foreign" && isSigned, "a service's ticket that no server signed")
		i.by, i.what, i.scope = maker.id, "ticket", nil
		return
	}
	need(canonical(document.value["scope"]) == canonical(i.details["scope"]), "another scope than was signed")
	if document.kind == "grant" {
		l.requireParent(i, document)
		return
	}
	i.what = "ticket"
	switch via {
	case "entry":
		i.what = "entry"
	case "foreign":
		i.what = "registration"
		need(optional(document.value, "spiffe_id") == i.subject, "a registration of another workload")
	}
	need((document.kind == "ticket") == (i.what == "ticket"), "another document than the event says")
	need(document.kind == "ticket" || document.kind == "entry", "another document than the event says")
	i.by = text(document.value, "owner")
	isForm := i.what == "ticket" || document.webauthn == nil
	need(isForm && l.isOwners(i.by, document), "the owner did not sign it")
	if document.webauthn != nil {
		i.how = " by a passkey, the user verified,"
	}
	need(len(i.chain) == 2 && i.chain[0] == "owner:"+i.by, "a document of another owner")
	if i.what == "entry" {
		l.requireEntry(i, document.value)
	}
}

// skew: clocks differ, and an event is written a moment after its document was looked at. Seconds.
const skew = 30

// isCurrent tells whether a document says from when until when it is good, and a time is between.
func isCurrent(document object, at string, late int64) bool {
	begin, end, when := number(document["iat"]), number(document["exp"]), parseTime(at).Unix()
	return begin < end && begin <= when+skew && when < end+late
}

// requireInForce: what was signed is in force, was not used before, and is of after every revocation of those whom it lets be.
func (l *ledger) requireInForce(i *issue, document envelope, via string) {
	need(isCurrent(document.value, i.time, skew), "a document that had expired, or of later")
	if via == "foreign" {
		return
	}
	names, signed := namesOf(i.subject, i.chain), number(document.value["iat"])
	for _, r := range l.revocations {
		isBefore := slices.Contains(names, r.subject) && r.epoch <= i.epoch && signed <= parseTime(r.time).Unix()
		need(!isBefore, "a document of before a revocation")
	}
	if via == "entry" {
		return
	}
	key := base64url(digest(document.raw))
	need(!l.used[key], "a ticket or grant that was used before")
	l.used[key] = true
}

// requireEntry: an instance of an entry is the one that was signed, in force, for what was attested, at a node that it names.
func (l *ledger) requireEntry(i *issue, entry object) {
	id := "ent_" + text(entry, "jti")
	need(optional(i.details, "entry_id") == id, "another entry than was signed")
	need(!l.removed[id], "an entry that had been removed")
	need(isCurrent(entry, i.time, 0), "an entry that had expired")
	attested := sub(i.details, "attested")
	need(attested != nil, "nothing was attested")
	known := texts(attested["selectors"])
	for _, selector := range texts(entry["selectors"]) {
		need(slices.Contains(known, selector), "a selector that nobody attested")
	}
	if attested["type"] != "node" {
		return
	}
	name, ok := l.nodes[text(attested, "node")]
	need(ok, "%s: a node that nobody admitted", i.subject)
	nodes := texts(entry["nodes"])
	need(slices.Contains(nodes, "*") || slices.Contains(nodes, name), "a node that the entry does not name")
	hasNode := false
	for _, selector := range known {
		if strings.HasPrefix(selector, "node:") {
			need(selector == "node:"+name, "a selector of another node")
			hasNode = true
		}
	}
	need(hasNode, "a selector of another node")
}

var permissionWord = regexp.MustCompile(`^(\*|[a-z][a-z0-9_-]*)$`)
var permissionSegment = regexp.MustCompile(`^(\*|[A-Za-z0-9_.-]+)$`)

// wordsOf gives the words of a permission verb:type[:path]; no path means everything below.
func wordsOf(atom string) []string {
	parts := strings.Split(atom, ":")
	isForm := len(atom) <= 256 && (len(parts) == 2 || len(parts) == 3)
	need(isForm && permissionWord.MatchString(parts[0]) && permissionWord.MatchString(parts[1]), "a permission's form")
	if len(parts) == 2 {
		return append(parts, "**")
	}
	path := strings.Split(parts[2], "/")
	for at, segment := range path {
		isEnd := segment == "**" && at == len(path)-1 && (at == 0 || path[at-1] != "*")
		isPlain := permissionSegment.MatchString(segment) && segment != "." && segment != ".."
		need(isEnd || isPlain, "a permission's form")
	}
	return append(parts[:2:2], path...)
}

// isCovering: * stands for one word, ** at the end for any number of them.
func isCovering(parent, child []string) bool {
	count, isFit := len(parent), len(parent) == len(child)
	if parent[count-1] == "**" {
		count--
		isFit = len(child) >= count
	}
	for at := 0; isFit && at < count; at++ {
		isFit = child[at] != "**" && (parent[at] == "*" || parent[at] == child[at])
	}
	return isFit
}

// isWithin: each permission of a child is one of its parent's.
func isWithin(scope, parents any) bool {
	atoms, isList := scope.([]any)
	above, isParentList := parents.([]any)
	need(isList && isParentList && len(atoms) <= 64, "a scope's form")
	var known [][]string
	for _, atom := range texts(above) {
		known = append(known, wordsOf(atom))
	}
	for _, atom := range texts(atoms) {
		words := wordsOf(atom)
		if !slices.ContainsFunc(known, func(parent []string) bool { return isCovering(parent, words) }) {
			return false
		}
	}
	return true
}

func (l *ledger) requireParent(i *issue, document envelope) {
	parent := text(document.value, "parent")
	maker := l.verifySvid(text(document.value, "svid_sha256"), i.time)
	above := l.issueOf(parent, i.index)
	need(above != nil, "the issue event of the parent is not here")
	need(maker.id == parent && document.isSignedBy(maker.key), "the parent did not sign it")
	need(len(i.chain) > 0 && slices.Equal(above.chain, i.chain[:len(i.chain)-1]), "a grant of another parent")
	names := namesOf(parent, above.chain)
	for _, r := range l.revocations {
		isDead := slices.Contains(names, r.subject) && r.epoch > above.epoch && r.epoch <= i.epoch
		need(!isDead, "a grant of a parent that was revoked")
	}
	need(isWithin(i.details["scope"], above.details["scope"]), "a grant of more than the parent had")
	for _, one := range l.narrowed[parent] {
		need(one.epoch > i.epoch || isWithin(i.details["scope"], one.scope), "a grant of more than the parent had")
	}
	i.by, i.what = parent, "grant"
}

func (l *ledger) requirePossession(i *issue) *ecdsa.PublicKey {
	bound := base64url(digest([]byte(i.enrolment)))
	if attested := sub(i.details, "attested"); attested != nil && attested["type"] != "node" {
		bound = text(attested, "evidence_sha256")
	}
	return l.requireHeld(i.subject, i.time, bound, i.details)
}

// requireHeld: the new key signed for this very document or evidence.
func (l *ledger) requireHeld(subject, at, bound string, details object) *ecdsa.PublicKey {
	proof := parseEnvelope([]byte(text(details, "possession")))
	holder := l.verifySvid(text(details, "svid_sha256"), at)
	isBound := holder.id == subject && proof.kind == "possession" && proof.value["enrolment_sha256"] == bound
	need(isBound && proof.isSignedBy(holder.key), "%s did not prove that it holds its key", subject)
	return holder.key
}

// requireKeyNamed lets in no other key than the one that a document names, where it names one.
func requireKeyNamed(document object, key *ecdsa.PublicKey) {
	for _, member := range []string{"child_thumbprint", "holder_thumbprint"} {
		named := document[member]
		need(named == nil || named == thumbprintOf(key), "a document for another key")
	}
}

// ---- 8. What an agent presents instead of an intent: a token, and a proof that it holds the token's key ----

func (l *ledger) collectToken(r *record, subject string, details object) {
	jti, change := optional(details, "jti"), optional(details, "change")
	switch {
	case text(r.value, "kind") == "wit":
		end := number(details["expires_at"])
		l.tokens[jti] = &token{true, subject, optional(details, "confirmation_thumbprint"), end, r.index}
	case change == "revoke":
		l.endedTokens[jti] = parseTime(text(r.value, "time"))
	case change == "issue":
		jkt := optional(sub(details, "cnf"), "jkt")
		l.tokens[jti] = &token{false, optional(details, "client_id"), jkt, number(details["expires_at"]), r.index}
	}
}

var tokenDigest = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

// requirePresented: the proof is by the token's key and of the record's time, and the ledger says that the token is this
// agent's.
func (l *ledger) requirePresented(value object) *token {
	shown, agent, at := sub(value, "token"), sub(value, "agent"), parseTime(text(value, "time"))
	witKey := sub(value, "wit_key")
	isWit := witKey != nil
	kind := "dpop+jwt"
	if isWit {
		kind = "wpt+jwt"
	}
	claims, jkt := verifyProof(text(value, "proof"), kind, witKey)
	need(jkt == text(shown, "jkt"), "its proof is by another key")
	l.requireTimely(claims, at, isWit)
	name := jkt + " " + text(claims, "jti")
	need(!l.proofs[name], "its proof was used before")
	l.proofs[name] = true
	jti := text(shown, "jti")
	issued, ok := l.tokens[jti]
	need(ok, "its token was never issued")
	need(issued.isWit == isWit && issued.client == text(agent, "spiffe_id"), "its token was issued to another")
	need(issued.jkt == jkt && at.Before(time.Unix(issued.end, 0)), "its token is bound to another key, or had expired")
	ended, isEnded := l.endedTokens[jti]
	need(!isEnded || !at.After(ended.Add(time.Second)), "its token was revoked")
	return issued
}

// requireTimely: a DPoP proof says when it was made, a workload proof when it ends, a minute later.
func (l *ledger) requireTimely(claims object, at time.Time, isWit bool) {
	var isTimely bool
	digestName := "ath"
	if isWit {
		digestName = "wth"
		apart := time.Unix(number(claims["exp"]), 0).Sub(at)
		isTimely = apart >= -30*time.Second && apart <= 90*time.Second
	} else {
		apart := at.Sub(time.Unix(number(claims["iat"]), 0))
		isTimely = apart.Abs() <= 90*time.Second
	}
	isShown := tokenDigest.MatchString(optional(claims, digestName))
	need(isTimely && isShown, "its proof is of another time, or shows no token")
}

func unbase64url(source string) []byte {
	data, err := base64.RawURLEncoding.Strict().DecodeString(source)
	need(err == nil && base64url(data) == source, "base64url is not canonical")
	return data
}

// parseClaims reads JSON of others, which need not be canonical.
func parseClaims(data []byte) object {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var value object
	need(utf8.Valid(data) && decoder.Decode(&value) == nil && !decoder.More(), "its proof is not JSON")
	return value
}

// verifyProof reads a compact JWS by ES256; jwk is its key, nil for one that carries its own.
func verifyProof(source, kind string, jwk object) (claims object, jkt string) {
	parts := strings.Split(source, ".")
	need(len(parts) == 3, "its proof is no compact JWS")
	header, members := parseClaims(unbase64url(parts[0])), 2
	if jwk == nil {
		jwk, members = sub(header, "jwk"), 3
	}
	isForm := header["alg"] == "ES256" && header["typ"] == kind && len(header) == members
	isKey := jwk["kty"] == "EC" && jwk["crv"] == "P-256" && jwk["d"] == nil
	need(isForm && isKey, "its proof has another form")
	x, y := unbase64url(text(jwk, "x")), unbase64url(text(jwk, "y"))
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
	need(err == nil && len(x) == 32, "its proof has another form")
	signature, input := unbase64url(parts[2]), digest([]byte(parts[0]+"."+parts[1]))
	isGood := len(signature) == 64 &&
		ecdsa.Verify(key, input, new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
	need(isGood, "its proof's signature is bad")
	return parseClaims(unbase64url(parts[1])), thumbprintOf(key)
}

// thumbprintOf is that of RFC 7638, of a P-256 key.
func thumbprintOf(key *ecdsa.PublicKey) string {
	point, err := key.Bytes()
	need(err == nil && len(point) == 65, "a key is not P-256")
	jwk := fmt.Sprintf(`{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}`, base64url(point[1:33]), base64url(point[33:]))
	return base64url(digest([]byte(jwk)))
}

// ---- 9. Events: the records of each tell one story ----

type event struct {
	records                            []*record
	intent, decision, outcome, control *record
}

func (l *ledger) miss(format string, args ...any) {
	l.missing = append(l.missing, fmt.Sprintf(format, args...))
}

// requireShown hides nothing of a range: whatever begins an event in it, as far as the bundle goes, is shown.
func (b *bundle) requireShown(groups []*event) {
	scope := sub(b.manifest, "range")
	if scope == nil {
		return
	}
	shown := map[int64]bool{}
	for _, listed := range b.events {
		need(len(listed.indexes) > 0, "an event without records")
		shown[listed.indexes[0]] = true
	}
	start, end := number(scope["start"]), number(scope["end"])
	for _, group := range groups {
		first := group.records[0]
		isInRange := first.index >= start && first.index < end
		isBegin := first.isIntent() || first.kind == "control"
		need(!isInRange || !isBegin || shown[first.index], "entry %d: of the range, and in no event of events.json", first.index)
	}
}

func (l *ledger) joinEvents(b *bundle) []*event {
	groups := map[string]*event{}
	var order []*event
	for _, r := range l.order {
		e, ok := groups[r.group()]
		if !ok {
			e = &event{}
			groups[r.group()] = e
			order = append(order, e)
		}
		e.records = append(e.records, r)
	}
	for _, e := range order {
		l.joinRecords(e)
	}
	b.requireShown(order)
	var events []*event
	for _, listed := range b.events {
		need(len(listed.indexes) > 0, "an event without records")
		first := l.records[listed.indexes[0]]
		e := groups[first.group()]
		var indexes []int64
		for _, r := range e.records {
			indexes = append(indexes, r.index)
		}
		isWhole := text(first.value, "event_id") == listed.id && slices.Equal(indexes, listed.indexes)
		need(isWhole, "%s: its records are not those that events.json names", listed.id)
		events = append(events, e)
	}
	return events
}

func (l *ledger) joinRecords(e *event) {
	for _, r := range e.records {
		if r.isRepeated {
			l.miss("entry %d: this record is in the log already", r.index)
			continue
		}
		part := map[string]**record{"decision": &e.decision, "outcome": &e.outcome, "control": &e.control}[r.kind]
		if r.isIntent() {
			part = &e.intent
		}
		need(*part == nil || e.intent == nil, "entry %d: a second %s of one event", r.index, r.kind)
		*part = r
	}
	if e.intent == nil {
		for _, r := range e.records {
			if r.kind != "control" && !r.isRepeated {
				l.miss("entry %d: a %s whose intent is not here", r.index, r.kind)
			}
		}
		return
	}
	for _, r := range e.records {
		need(text(r.value, "event_id") == text(e.intent.value, "event_id"), "entry %d: another event", r.index)
	}
	if decided := e.decided(); decided == nil {
		l.miss("entry %d: nobody decided about this intent", e.intent.index)
	} else {
		need(decided.index == e.intent.index+1, "entry %d: its intent is not the entry before", decided.index)
	}
	if e.decision != nil {
		l.checkDecision(e.decision, e.intent)
	}
	if e.outcome != nil {
		e.checkOutcome()
	} else if e.decision != nil && e.decision.value["allow"] == true {
		l.miss("entry %d: allowed, but how it ended is not recorded", e.decision.index)
	}
}

func (e *event) decided() *record {
	if e.decision != nil {
		return e.decision
	}
	return e.control
}

func namesOf(id string, chain []string) []string {
	var names []string
	for _, link := range chain {
		names = append(names, strings.Replace(link, "owner:", "", 1))
	}
	return append(names, id, id[strings.LastIndex(id, "/")+1:])
}

func (l *ledger) checkDecision(decision, intent *record) {
	agent := sub(intent.value, "agent")
	id, chain := text(agent, "spiffe_id"), texts(decision.value["chain"])
	need(len(l.issues[id]) > 0, "entry %d: the agent's issue event is not here", decision.index)
	made := l.issueOf(id, intent.index)
	need(made != nil, "entry %d: decided about an agent that was not issued yet", decision.index)
	isOwn := len(chain) > 0 && chain[len(chain)-1] == text(agent, "id") && slices.Equal(chain, made.chain)
	need(isOwn, "entry %d: decided about another chain than was issued", decision.index)
	names, until := namesOf(id, chain), number(decision.value["lease_epoch"])
	isAllowed := decision.value["allow"] == true
	for _, r := range l.revocations {
		if isAllowed && slices.Contains(names, r.subject) && r.epoch > made.epoch && r.epoch <= until {
			l.miss("entry %d: allowed although it was revoked", decision.index)
			break
		}
	}
	if named := sub(decision.value, "approval"); named != nil {
		l.checkApproval(decision, intent, named, chain)
	}
	if intent.kind == "presented-intent" {
		isSigned := intent.value["signature"] != nil || (decision.value["class"] == "C" && !intent.token.isWit)
		need(isSigned || !isAllowed, "entry %d: allowed, but nobody had signed its body", decision.index)
	}
}

func (l *ledger) checkApproval(decision, intent *record, named object, chain []string) {
	index, owner, id := decision.index, text(named, "owner"), text(named, "id")
	given, ok := l.approvals[id]
	need(ok, "entry %d: its approval is not here", index)
	isOwn := given.value["owner"] == owner && chain[0] == "owner:"+owner
	isSame := base64url(digest([]byte(given.text))) == text(named, "envelope_sha256")
	need(isOwn && isSame, "entry %d: its approval is not the owner's", index)
	asked := intent.value
	isThis := given.value["agent"] == sub(asked, "agent")["spiffe_id"] && given.value["action"] == asked["action"] &&
		given.value["resource"] == asked["resource"] && given.value["audience"] == asked["aud"] &&
		given.value["policy_sha256"] == sub(decision.value, "policy")["bundle_sha256"]
	need(isThis && decision.value["allow"] == true, "entry %d: an approval of something else", index)
	isUsed := l.approvalUses[id] == text(asked, "event_id") && !l.approvalsUsed[id]
	need(isUsed, "entry %d: an approval that was not used up for this, or twice", index)
	l.approvalsUsed[id] = true
}

func (e *event) checkOutcome() {
	at := e.outcome.index
	need(e.decision != nil && e.decision.value["allow"] == true, "entry %d: an outcome of what was not allowed", at)
	enforcer := optional(e.intent.value, "aud")
	if e.decision.value["enforcement"] == "self" {
		enforcer = text(sub(e.intent.value, "agent"), "spiffe_id")
	}
	need(e.outcome.signer.id == enforcer, "entry %d: the outcome is not the enforcement point's", at)
	need(number(e.outcome.value["decision_index"]) == e.decision.index, "entry %d: the outcome of another decision", at)
}

// countGaps looks at what the selection promises to be whole: each instance's own count of its intents.
func (l *ledger) countGaps(b *bundle) {
	selection := sub(b.manifest, "selection")
	kind := text(selection, "kind")
	if kind == "event" || kind == "job" {
		return
	}
	counts := map[string][]*record{}
	var order []string
	for _, listed := range b.events {
		for _, index := range listed.indexes {
			r := l.records[index]
			if r.kind != "intent" {
				continue
			}
			id := text(sub(r.value, "agent"), "spiffe_id")
			if domainOf(id) != l.domain {
				continue
			}
			if counts[id] == nil {
				order = append(order, id)
			}
			counts[id] = append(counts[id], r)
		}
	}
	for _, id := range order {
		l.countOne(id, counts[id], kind == "agent" && selection["since"] == nil)
	}
}

func (l *ledger) countOne(id string, intents []*record, fromFirst bool) {
	sort.SliceStable(intents, func(i, j int) bool {
		return number(intents[i].value["seq"]) < number(intents[j].value["seq"])
	})
	last, own, isKnown := int64(0), "", fromFirst
	for _, r := range intents {
		seq, prev := number(r.value["seq"]), optional(r.value, "prev")
		if isKnown && seq != last+1 {
			l.miss("%s: seq %d follows %d", id, seq, last)
		} else if isKnown && prev != own {
			l.miss("%s: seq %d names another intent before it", id, seq)
		}
		last, own, isKnown = seq, base64url(digest(r.raw)), true
	}
}

// ---- 10. Payloads: what was asked and answered, as intent and outcome commit to it ----

func commit(salt []byte, value object) string {
	mac := hmac.New(sha256.New, salt)
	mac.Write([]byte(canonical(value)))
	return base64url(mac.Sum(nil))
}

var payloadPath = regexp.MustCompile(`^payloads/([0-9a-f-]{36})\.json$`)

// readPayloads says by event id what is shown, or the entry of its erasure.
func (b *bundle) readPayloads(l *ledger) map[string]string {
	states := map[string]string{}
	for id, index := range l.erased {
		states[id] = fmt.Sprintf("  payload: erased (entry %d)", index)
	}
	for _, path := range b.files.names {
		if !strings.HasPrefix(path, "payloads/") {
			continue
		}
		match := payloadPath.FindStringSubmatch(path)
		need(match != nil, "%s is no payload's", path)
		need(states[match[1]] == "", "%s: was erased", path)
		states[match[1]] = b.readPayload(l, path, match[1])
	}
	return states
}

func (b *bundle) readPayload(l *ledger, path, id string) string {
	value := parseCanonical(b.files.content[path])
	salt, request := unbase64url(text(value, "salt")), unbase64url(text(value, "request"))
	answered, hasAnswer := value["answer"].(string)
	isForm := len(value) == 5 && len(salt) == 32 && (hasAnswer || value["answer"] == nil)
	need(isForm, "%s: its form", path)
	method, target, answer := text(value, "method"), text(value, "target"), unbase64url(answered)
	asked := commit(salt, object{"body_sha256": base64url(digest(request)), "method": method, "target": target})
	result := commit(salt, object{"answer_sha256": base64url(digest(answer))})
	isCommitted := slices.ContainsFunc(b.events, func(listed eventIndexes) bool {
		isAsked, isAnswered := false, !hasAnswer
		for _, index := range listed.indexes {
			r := l.records[index]
			isAsked = isAsked || (r.kind == "intent" && r.value["request"] == asked)
			isAnswered = isAnswered || (r.kind == "outcome" && r.value["result"] == result)
		}
		return listed.id == id && isAsked && isAnswered
	})
	need(isCommitted, "%s: is not what the log commits to", path)
	what := "no answer that the log commits to"
	if hasAnswer {
		what = fmt.Sprintf("answer of %d bytes", len(answer))
	}
	return fmt.Sprintf("  payload: %s %s, request of %d bytes, %s; as the log commits to it", method, target, len(request), what)
}

// ---- 11. The answers ----

// delegationsOf tells who let an agent be, up to the owner; each before the one that it let be.
func (l *ledger) delegationsOf(id string, before int64) []string {
	made := l.issueOf(id, before)
	if made == nil {
		return nil
	}
	scope := strings.Join(made.scope, " ")
	if scope == "" {
		scope = "nothing"
	}
	line := fmt.Sprintf("%s signed%s the %s of %s for %s (entry %d)", made.by, made.how, made.what, id, scope, made.index)
	if made.what == "grant" {
		return append(l.delegationsOf(made.by, made.index), line)
	}
	return []string{line}
}

func (e *event) about() string {
	if e.intent != nil {
		return text(sub(e.intent.value, "agent"), "spiffe_id")
	}
	if e.control == nil {
		return "nobody"
	}
	if id := optional(sub(e.control.value, "details"), "spiffe_id"); id != "" {
		return id
	}
	if subject, ok := e.control.value["subject"].(string); ok {
		return subject
	}
	return "nobody"
}

func (e *event) outcomeText() string {
	decided := e.decided()
	switch {
	case e.outcome != nil:
		return text(e.outcome.value, "status")
	case decided == nil:
		return "nobody decided"
	case decided.value["allow"] != true:
		return "denied"
	case e.control != nil:
		return "done"
	}
	return "not recorded"
}

func (e *event) didText() string {
	if e.intent != nil {
		return text(e.intent.value, "action") + " on " + text(e.intent.value, "resource")
	}
	if e.control == nil {
		return "undefined of undefined"
	}
	subject := "null"
	if found, ok := e.control.value["subject"].(string); ok {
		subject = found
	}
	return text(e.control.value, "kind") + " of " + subject
}

func (l *ledger) answer(e *event, payloads map[string]string) []string {
	about, decided := e.about(), e.decided()
	var chain []string
	if decided != nil {
		chain = texts(decided.value["chain"])
	}
	last := "none"
	if len(chain) > 0 {
		last = chain[len(chain)-1]
	}
	names := namesOf(about, chain)
	lines := []string{
		"event " + text(e.records[0].value, "event_id"),
		fmt.Sprintf("  which agent: %s, %s", last, about),
		fmt.Sprintf("  did: %s at %s; outcome: %s", e.didText(), text(e.records[0].value, "time"), e.outcomeText()),
	}
	if e.intent != nil && e.intent.kind == "presented-intent" {
		lines = append(lines, presentedLines(e.intent)...)
	}
	isAgents := strings.HasPrefix(about, "spiffe://")
	if isAgents {
		until := e.records[0].index + 1
		if decided != nil {
			until = decided.index + 1
		}
		for _, line := range l.delegationsOf(about, until) {
			lines = append(lines, "  who authorized it: "+line)
		}
	}
	if decided != nil {
		lines = append(lines, decisionLines(e, decided)...)
	}
	stopped := false
	for _, r := range l.revocations {
		if slices.Contains(names, r.subject) {
			stopped = true
			how := "revoked"
			if r.to != "" {
				how = "given to " + r.to
			}
			lines = append(lines, fmt.Sprintf("  what stopped it: %s was %s at epoch %d, %s", r.subject, how, r.epoch, r.time))
		}
	}
	if isAgents && !stopped {
		lines = append(lines, fmt.Sprintf("  what stops it: revoking %s or any of %s", names[len(names)-1], strings.Join(chain, ", ")))
	}
	if line := payloads[text(e.records[0].value, "event_id")]; e.intent != nil && line != "" {
		lines = append(lines, line)
	}
	return lines
}

// presentedLines: the message signature's base holds the token and the query, so the log keeps its digest only.
func presentedLines(r *record) []string {
	what := "access token"
	if r.token.isWit {
		what = "WIT-SVID"
	}
	lines := []string{
		fmt.Sprintf("  proof: a key holder's, for the %s that was issued to this agent (entry %d)", what, r.token.index),
	}
	if r.value["signature"] != nil {
		lines = append(lines, "  not checked here: the message signature, of which the log has a digest")
	}
	return lines
}

func decisionLines(e *event, decided *record) []string {
	reasons := strings.Join(texts(decided.value["reasons"]), ", ")
	by, verdict := optional(decided.value, "principal"), "allowed"
	if e.decision != nil {
		policy := sub(e.decision.value, "policy")
		by = "policy " + text(policy, "name") + " @ " + text(policy, "bundle_sha256")
	}
	isAllowed := decided.value["allow"] == true
	if !isAllowed {
		verdict = "denied (" + reasons + ")"
	}
	lines := []string{
		fmt.Sprintf("  who authorized it: %s by %s, signed by %s (entry %d)", verdict, by, decided.signer.id, decided.index),
	}
	if !isAllowed {
		lines = append(lines, "  what stopped it: "+reasons)
	}
	return lines
}

// ---- Main ----

type list []string

func (l *list) String() string { return fmt.Sprint(*l) }
func (l *list) Set(value string) error {
	*l = append(*l, strings.ToLower(strings.ReplaceAll(value, ":", "")))
	return nil
}

type arguments struct {
	file, vkey, policy, bundle, since string
	roots                             list
}

func check(args arguments) (lines, missing []string) {
	source := "log " + args.vkey + "\nquorum none\n"
	if args.policy != "" {
		source = string(read(args.policy))
	}
	p := parsePolicy(source)
	b := openBundle(read(args.file))
	heads := b.readHeads(p)
	need(text(sub(b.manifest, "log"), "vkey") == p.vkey, "the manifest names another log")
	start, end := b.requireInLog(heads)
	b.requireShardStarts(heads, p)
	var held []byte
	if args.since != "" {
		held = read(args.since)
	}
	earlier := b.readGrowth(heads, p, held)
	l := readRecords(b, trustedRoots(args, b))
	if held != nil && earlier == nil {
		l.miss("nothing leads from your checkpoint to this log")
	}
	maker := l.verifySvid(b.envelope.keyid, text(b.manifest, "time"))
	need(serverID.MatchString(maker.id) && b.envelope.isSignedBy(maker.key), "the manifest is not signed by a server")
	// Whose agents' counts are judged is by its word, so it has to be the word of a server of yours about itself.
	need(!maker.isForeign && domainOf(maker.id) == l.domain, "the manifest is of another trust domain")
	events := l.joinEvents(b)
	l.countGaps(b)
	selection := sub(b.manifest, "selection")
	lines = append(lines,
		fmt.Sprintf("manifest: signed by %s at %s, %d files, %s %s[%s, %s)", maker.id, text(b.manifest, "time"), len(b.files.names),
			text(selection, "kind"), optional(selection, "value"), optional(selection, "since"), optional(selection, "until")))
	for _, h := range heads {
		lines = append(lines, fmt.Sprintf("log: %s, size %d, root %s, signed by its key", h.origin, h.size, h.root))
		lines = append(lines, h.witnesses...)
	}
	if earlier != nil {
		end := "; compare it with what you hold"
		if held != nil {
			end = ", as you hold it"
		}
		lines = append(lines, fmt.Sprintf("earlier: not rewritten since %s had %d entries and root %s%s",
			earlier.origin, earlier.size, earlier.root, end))
	}
	lines = append(lines, fmt.Sprintf("entries: %d in the log, %d signatures good, %d certificate chains good at the time of each record",
		len(b.entries), len(l.records), len(l.verified)))
	if end > 0 {
		lines = append(lines, fmt.Sprintf("complete: entries %d to %d, none left out", start, end-1))
	} else {
		lines = append(lines, "complete: not claimed; single events were chosen")
	}
	payloads := b.readPayloads(l)
	policies, named, count := readPolicies(b.files), map[string]bool{}, 0
	for _, r := range l.order {
		if r.kind == "decision" {
			named[text(sub(r.value, "policy"), "bundle_sha256")] = true
		}
	}
	for name := range named {
		if policies[name] {
			count++
		}
	}
	lines = append(lines, fmt.Sprintf("policies: %d of %d that decided are here, code and data under their digests", count, len(named)))
	lines = append(lines, fmt.Sprintf("events: %d", len(b.events)))
	for _, e := range events {
		lines = append(lines, l.answer(e, payloads)...)
	}
	for _, item := range texts(b.manifest["withheld"]) {
		lines = append(lines, "withheld: "+item)
	}
	for _, item := range l.missing {
		lines = append(lines, "missing: "+item)
	}
	return lines, l.missing
}

func trustedRoots(args arguments, b *bundle) []*x509.Certificate {
	if args.bundle != "" {
		return rootsOf(read(args.bundle))
	}
	var roots []*x509.Certificate
	for _, root := range rootsOf(b.files.file("trust/bundle.json")) {
		if slices.Contains(args.roots, hex.EncodeToString(digest(root.Raw))) {
			roots = append(roots, root)
		}
	}
	need(len(roots) > 0, "no trust root of the bundle is one of yours")
	return roots
}

func witnessLines(p *policy) []string {
	var lines []string
	for _, name := range p.names {
		if at := p.witnesses[name].signed; at > 0 {
			lines = append(lines, fmt.Sprintf("witness: %s at %s", name, time.Unix(at, 0).UTC().Format("2006-01-02T15:04:05.000Z")))
		}
	}
	if lines == nil {
		return []string{"witness: none of yours; the log is unwitnessed here"}
	}
	return lines
}

func read(path string) []byte {
	data, err := os.ReadFile(path)
	need(err == nil, "%v", err)
	return data
}

// printable keeps text of others from moving the cursor or colouring the verdict.
func printable(line string) string {
	var out strings.Builder
	for _, unit := range utf16.Encode([]rune(line)) {
		if unit < 0x20 || unit > 0x7e {
			unit = '?'
		}
		out.WriteByte(byte(unit))
	}
	return out.String()
}

func run(args arguments) (code int) {
	defer func() {
		switch caught := recover().(type) {
		case nil:
		case refusal:
			fmt.Println(printable("NOT VERIFIED: " + string(caught)))
			code = 1
		default:
			// A bundle of another shape than expected is no less refused.
			fmt.Println(printable(fmt.Sprintf("NOT VERIFIED: %v", caught)))
			code = 1
		}
	}()
	lines, missing := check(args)
	for _, line := range lines {
		fmt.Println(printable(line))
	}
	if len(missing) > 0 {
		fmt.Println("VERIFIED, WITH SOMETHING MISSING")
		return 3
	}
	fmt.Println("VERIFIED")
	return 0
}

func main() {
	var args arguments
	flag.StringVar(&args.vkey, "vkey", "", "the log's key")
	flag.StringVar(&args.policy, "policy", "", "file of a C2SP tlog-policy")
	flag.StringVar(&args.bundle, "bundle", "", "file of a SPIFFE trust bundle that you kept")
	flag.StringVar(&args.since, "since", "", "file of a checkpoint that you kept: the log must not have been rewritten since")
	flag.Var(&args.roots, "root", "SHA-256 of a root certificate; may be repeated")
	flag.Parse()
	if flag.NArg() != 1 || (args.vkey == "") == (args.policy == "") || (args.bundle == "") == (len(args.roots) == 0) {
		fmt.Fprintln(os.Stderr, "usage: verify (-vkey KEY | -policy FILE) (-bundle FILE | -root SHA256...) [-since FILE] file.twb")
		os.Exit(2)
	}
	args.file = flag.Arg(0)
	os.Exit(run(args))
}
