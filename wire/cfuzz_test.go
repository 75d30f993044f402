package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tidelock.dev/tidelock/cryptoki"
)

// cFuzzTarget is a fuzz target of the C library, clib/fuzz/fuzz_NAME.c.
type cFuzzTarget struct {
	name    string
	sources func(t *testing.T) []string // below clib, beside its own
	seeds   func(t *testing.T) [][]byte
}

var cFuzzTargets = []cFuzzTarget{
	{"replies", sourcesOf(codec...), replySeeds},
	{"requests", sourcesOf(codec...), requestSeeds},
	{"settings", sourcesOf("settings.c", "debug.c"), settingsSeeds},
	{"server", librarySources, serverSeeds},
}

// TestCFuzzTargets runs each target of the C library on its seeds: those made here and
// the files of clib/fuzz/testdata/NAME, which once failed. With TIDELOCK_FUZZTIME, as long or as
// often as go test -fuzztime understands it, libFuzzer goes on from them, and keeps what it
// finds in build/fuzz.
func TestCFuzzTargets(t *testing.T) {
	fuzzTime := os.Getenv("TIDELOCK_FUZZTIME")
	if fuzzTime == "" && testing.Short() {
		t.Skip("short")
	}
	for _, target := range cFuzzTargets {
		t.Run(target.name, func(t *testing.T) {
			sources := append(target.sources(t), "fuzz/fuzz_"+target.name+".c")
			seeds := target.write(t)
			if fuzzTime == "" {
				program := buildC(t, "cc", "address,undefined", append(sources, "fuzz/seeds.c")...)
				files, err := filepath.Glob(filepath.Join(seeds, "*"))
				if err != nil || len(files) == 0 {
					t.Fatalf("%d seeds, %v", len(files), err)
				}
				runC(t, program, files...)
				return
			}
			if _, err := exec.LookPath("clang"); err != nil {
				t.Fatal("libFuzzer needs clang; scripts/deps.sh --fuzz installs it")
			}
			program := buildC(t, "clang", "fuzzer,address,undefined", sources...)
			found, err := filepath.Abs("../build/fuzz")
			if err != nil {
				t.Fatal(err)
			}
			corpus := filepath.Join(found, target.name)
			if err := os.MkdirAll(corpus, 0o755); err != nil {
				t.Fatal(err)
			}
			runC(t, program, bound(t, fuzzTime), "-timeout=10", "-artifact_prefix="+corpus+"-", corpus, seeds)
		})
	}
}

// bound turns what -fuzztime takes into libFuzzer's option.
func bound(t *testing.T, fuzzTime string) string {
	t.Helper()
	if runs, ok := strings.CutSuffix(fuzzTime, "x"); ok {
		return "-runs=" + runs
	}
	d, err := time.ParseDuration(fuzzTime)
	if err != nil {
		t.Fatalf("TIDELOCK_FUZZTIME: %v", err)
	}
	return fmt.Sprintf("-max_total_time=%d", max(1, int(d.Seconds())))
}

func runC(t *testing.T, program string, arguments ...string) {
	t.Helper()
	run := exec.Command(program, arguments...)
	run.Dir = t.TempDir()
	if output, err := run.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
}

// write puts the target's seeds into a directory of their own.
func (target cFuzzTarget) write(t *testing.T) string {
	t.Helper()
	directory := t.TempDir()
	seeds := target.seeds(t)
	files, err := filepath.Glob("../clib/fuzz/testdata/" + target.name + "/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		seed, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		seeds = append(seeds, seed)
	}
	for i, seed := range seeds {
		if err := os.WriteFile(filepath.Join(directory, fmt.Sprint(i)), seed, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return directory
}

func sourcesOf(sources ...string) func(*testing.T) []string {
	return func(*testing.T) []string { return slices.Clone(sources) }
}

// librarySources are those of the whole library, over another socket.
func librarySources(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../clib/*.c")
	if err != nil {
		t.Fatal(err)
	}
	sources := []string{"gen/wire.c"}
	for _, file := range files {
		if name := filepath.Base(file); name != "socket.c" {
			sources = append(sources, name)
		}
	}
	return sources
}

// replySeeds are the golden replies.
func replySeeds(t *testing.T) (seeds [][]byte) {
	for _, g := range readGoldens(t) {
		words := strings.Fields(g.name)
		if call := callNamed(words[0]); call != 0 && words[1] == "reply" {
			seeds = append(seeds, append(binary.LittleEndian.AppendUint16(nil, uint16(call)), g.body...))
		}
	}
	return seeds
}

// The kinds of replies in the input of clib/fuzz/fuzz_server.c.
const (
	seedOK        = 0
	seedSmall     = 1
	seedSensitive = 2
	seedWorking   = 5
	seedRestart   = 7
	seedArea      = 8
)

// conversation is an input of clib/fuzz/fuzz_server.c: calls of the application and the
// replies to them.
type conversation []byte

func (c conversation) call(call Call) conversation {
	return binary.LittleEndian.AppendUint16(c, uint16(call))
}

func (c conversation) reply(kind byte, m Message) conversation {
	var body []byte
	if m != nil {
		body = m.AppendTo(nil)
	}
	return c.raw(kind, body)
}

func (c conversation) raw(kind byte, body []byte) conversation {
	c = binary.LittleEndian.AppendUint16(append(c, kind), uint16(len(body)))
	return append(c, body...)
}

// serverSeeds are replies that fit what the application of the target asks, and such that are
// too long for it or say so: it has room for 48 bytes.
func serverSeeds(t *testing.T) [][]byte {
	var seeds [][]byte
	// The last byte tells whether replies go over the socket or through shared memory.
	add := func(c conversation) {
		seeds = append(seeds, append(bytes.Clone(c), 0), append(bytes.Clone(c), 1))
	}
	one := func(call Call, replies ...Message) {
		for _, kind := range []byte{seedOK, seedSmall, seedWorking} {
			c := conversation{}.call(call)
			for _, m := range replies {
				c = c.reply(kind, m)
			}
			add(c)
		}
	}
	for _, g := range readGoldens(t) {
		words := strings.Fields(g.name)
		if call := callNamed(words[0]); call != 0 && words[1] == "reply" && len(g.body) > 0 {
			m := call.NewReply()
			if err := m.Parse(g.body); err != nil {
				t.Fatal(err)
			}
			one(call, m, m, m)
		}
	}
	for _, n := range []int{47, 48, 49, 100} {
		b := make([]byte, n)
		numbers := make([]uint64, n/8)
		permit := &OperationInitReply{Permit: true, Rule: 2, RuleLength: 16, Flags: 1}
		output := &OperateReply{Output: b, Length: uint64(n)}
		one(CallGenerateRandom, &GenerateRandomReply{Random: b})
		one(CallWrapKey, &WrapKeyReply{Wrapped: b, Length: uint64(n)})
		one(CallSlotList, &SlotListReply{Slots: numbers})
		one(CallMechanismList, &MechanismListReply{Mechanisms: numbers})
		one(CallPartitionInfo, &PartitionInfoReply{Label: string(b)}, &PartitionInfoReply{Label: string(b)})
		one(CallOperate, permit, output)
		add(conversation{}.call(CallOperate).reply(seedOK, permit).reply(seedOK, output).call(CallOperate).reply(seedOK, output))
		add(conversation{}.call(CallOperate).reply(seedOK, permit).reply(seedOK, &OperateReply{Output: b[:20], Length: 48}).
			reply(seedOK, &DrainReply{Output: b[:n-20], Length: 28}))
		add(conversation{}.call(CallUpdate).reply(seedOK, permit).reply(seedOK, output).reply(seedOK, output).reply(seedOK, output))
		add(conversation{}.call(CallDrain).reply(seedOK, permit).reply(seedOK, &UpdateReply{}).reply(seedOK, &UpdateReply{}).
			reply(seedOK, &UpdateReply{}).reply(seedOK, &UpdateReply{}).reply(seedOK, output))
		one(CallUpdateBoth, permit, permit, output, output)
		one(CallGetOperationState, permit, &GetOperationStateReply{State: b, Length: uint64(n)}, &SetOperationStateReply{})
		one(CallMessageCrypt, &MessageInitReply{}, &MessageCryptReply{IV: b[:12], Output: b[:4], Tag: b[:16]})
		one(CallMessageCrypt, &MessageInitReply{}, &MessageCryptReply{IV: b[:12], Output: b[:n-44], Tag: b[:n-32]})
		one(CallMessageCrypt, &MessageInitReply{}, &MessageCryptReply{IV: b[:n-36], Output: b[:4], Tag: b[:16]})
		for _, inner := range []cryptoki.Template{
			{{Type: cryptoki.CKA_LABEL, Value: b[:n-40]}, {Type: cryptoki.CKA_KEY_TYPE, Value: b[:8]}},
			{{Type: cryptoki.CKA_LABEL}, {Type: cryptoki.CKA_KEY_TYPE}, {Type: cryptoki.CKA_ID}},
		} {
			values := []Value{{ValuePresent, b}, {ValueSensitive, nil}, {ValuePresent, AppendTemplate(nil, inner)}}
			add(conversation{}.call(CallGetAttributes).reply(seedOK, &GetAttributesReply{Values: values}))
			add(conversation{}.call(CallGetAttributes).reply(seedSensitive, &GetAttributesReply{Values: values}))
		}
	}
	for _, n := range []int{0, 4, 5, 512, 513} {
		objects := make([]uint64, n)
		add(conversation{}.call(CallFind).reply(seedOK, &FindReply{Objects: objects, More: true}).reply(seedOK, &FindReply{Objects: objects}))
		m := CallPartitionPolicies.NewReply().(*PartitionPoliciesReply)
		if n < 100 {
			fill(m, sample)
			m.Ids, m.Values, m.Capabilities = objects, objects, objects
			one(CallPartitionPolicies, m)
		}
		add(conversation{}.call(CallSessionInfo).reply(seedRestart, nil).reply(seedOK, &ResumeReply{Opened: make([]uint64, n), LoggedIn: true}))
	}
	// What an area says: how far the turn moves, the length of the reply, the reply.
	for _, turns := range []uint32{0, 1, 2} {
		for _, length := range []uint32{0, 47, 48, 80, 81, 8128, 8129, 1 << 31} {
			frame, err := AppendFrame(nil, Header{Kind: KindReply, Call: CallSessionInfo, Request: 3, Application: 5, Session: 7}, &SessionInfoReply{})
			if err != nil {
				t.Fatal(err)
			}
			area := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, turns), length)
			add(conversation{}.call(CallSessionInfo).raw(seedArea, append(area, frame...)))
		}
	}
	add(conversation{}.call(CallLogin).reply(seedOK, &LoginReply{Ticket: Secret(make([]byte, 32))}).call(CallSessionInfo).reply(seedRestart, nil).
		reply(seedOK, &ResumeReply{Opened: []uint64{7}, LoggedIn: true}).reply(seedOK, &SessionInfoReply{}))
	return seeds
}

// requestSeeds have every call with each way to pass pointers, in the fields of the call, in
// a template's attributes and in every kind of mechanism.
func requestSeeds(*testing.T) (seeds [][]byte) {
	for way := range byte(4) {
		pointers := bytes.Repeat([]byte{2, 0, 'a', 'b', way}, 40)
		for _, c := range Calls() {
			seeds = append(seeds, append(binary.LittleEndian.AppendUint16(nil, uint16(c)), pointers...))
		}
		for kind := range byte(16) {
			seed := binary.LittleEndian.AppendUint16(nil, uint16(CallOperationInit))
			seed = append(seed, 1, 0, 10, 2, 0, 'a', 'b', way) // a template of one attribute
			seeds = append(seeds, append(append(seed, kind), pointers...))
			// Without attributes before it.
			seed = binary.LittleEndian.AppendUint16(nil, uint16(CallOperationInit))
			seeds = append(seeds, append(append(seed, 0, 0, kind), pointers...))
		}
	}
	return seeds
}

func settingsSeeds(*testing.T) [][]byte {
	return [][]byte{
		{}, []byte("level = 10.2\n"), []byte("# a comment\n\n\tlevel=10.2.1"), []byte("level\n"), []byte("level = 99.0\nlevel = 1.2\n"),
	}
}
