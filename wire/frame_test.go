package wire

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"tidelock.dev/tidelock/cryptoki"
)

// raw is a message of any bytes.
type raw []byte

func (m raw) AppendTo(b []byte) []byte { return append(b, m...) }
func (m raw) Parse([]byte) error       { return nil }

func frame(t testing.TB, call Call, body []byte) []byte {
	t.Helper()
	b, err := AppendFrame(nil, Header{Kind: KindRequest, Call: call}, raw(body))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// counter counts the calls of a stream.
type counter struct {
	io.ReadWriter
	reads, writes int
}

func (c *counter) Read(p []byte) (int, error)  { c.reads++; return c.ReadWriter.Read(p) }
func (c *counter) Write(p []byte) (int, error) { c.writes++; return c.ReadWriter.Write(p) }

func TestOneCallPerSmallFrame(t *testing.T) {
	stream := &counter{ReadWriter: new(bytes.Buffer)}
	w, r := NewWriter(stream), NewReader(stream, KindRequest)
	for n := 1; n <= 3; n++ {
		err := w.Write(Header{Kind: KindRequest, Call: CallSeedRandom}, &SeedRandomRequest{Seed: make([]byte, 1000)})
		if err != nil {
			t.Fatal(err)
		}
		if _, body, err := r.Next(); err != nil || len(body) != 1004 {
			t.Fatal(len(body), err)
		}
		if stream.reads != n || stream.writes != n {
			t.Errorf("%d frames took %d reads and %d writes", n, stream.reads, stream.writes)
		}
	}
}

// TestFramesAnyhowCut sends frames of all sizes through readers that get them in
// pieces of all sizes.
func TestFramesAnyhowCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.OneOf(rapid.IntRange(0, 200), rapid.IntRange(3900, 4200), rapid.IntRange(0, 300_000))
		sizes := rapid.SliceOfN(size, 1, 8).Draw(t, "sizes")
		var stream []byte
		for i, n := range sizes {
			var err error
			stream, err = AppendFrame(stream, Header{Kind: KindReply, Request: uint64(i)}, raw(bytes.Repeat([]byte{byte(i + 1)}, n)))
			if err != nil {
				t.Fatal(err)
			}
		}
		pieces := rapid.SliceOfN(rapid.IntRange(1, 70_000), 1, 5).Draw(t, "pieces")
		r := NewReader(&pieceReader{rest: stream, pieces: pieces}, KindReply)
		for i, n := range sizes {
			h, body, err := r.Next()
			if err != nil || h.Request != uint64(i) {
				t.Fatalf("frame %d: %+v, %v", i, h, err)
			}
			if !bytes.Equal(body, bytes.Repeat([]byte{byte(i + 1)}, n)) {
				t.Fatalf("frame %d has another body", i)
			}
		}
		if _, _, err := r.Next(); err != io.EOF {
			t.Fatalf("after the last frame: %v", err)
		}
	})
}

type pieceReader struct {
	rest   []byte
	pieces []int
	next   int
}

func (r *pieceReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.rest[:min(r.pieces[r.next%len(r.pieces)], len(r.rest))])
	r.rest = r.rest[n:]
	r.next++
	return n, nil
}

func TestReaderErrors(t *testing.T) {
	whole := frame(t, CallSeedRandom, make([]byte, 100))
	reply, _ := AppendFrame(nil, Header{Kind: KindReply}, nil)
	broken := bytes.Clone(whole)
	broken[4] = 9
	failure := errors.New("the line is down")
	for _, test := range []struct {
		name   string
		source io.Reader
		want   string
	}{
		{"nothing", strings.NewReader(""), "EOF"},
		{"end in the header", bytes.NewReader(whole[:47]), "unexpected EOF"},
		{"end after the header", bytes.NewReader(whole[:48]), "unexpected EOF"},
		{"end in the body", bytes.NewReader(whole[:len(whole)-1]), "unexpected EOF"},
		{"a reply to a server", bytes.NewReader(reply), "unexpected reply"},
		{"another version", bytes.NewReader(broken), "version 9"},
		{"failure", io.MultiReader(bytes.NewReader(whole[:60]), iotest.ErrReader(failure)), failure.Error()},
		{"silence", silence{}, io.ErrNoProgress.Error()},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := NewReader(test.source, KindRequest).Next()
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
			if test.want == "EOF" && err != io.EOF {
				t.Errorf("a clean end is %v", err)
			}
		})
	}
}

type silence struct{}

func (silence) Read([]byte) (int, error) { return 0, nil }

// TestReaderTrustsNoLength: a length without bytes gets no memory.
func TestReaderTrustsNoLength(t *testing.T) {
	largest := frame(t, CallSeedRandom, make([]byte, MaxBody))
	for _, test := range []struct{ sent, most int }{
		{HeaderSize, smallBuffer},
		{smallBuffer, growth * smallBuffer},
		{20 << 10, growth * growth * smallBuffer},
		{len(largest), MaxFrame},
	} {
		r := NewReader(bytes.NewReader(largest[:test.sent]), KindRequest)
		_, _, err := r.Next()
		if (err == nil) != (test.sent == len(largest)) {
			t.Error(err)
		}
		if len(r.buffer) > test.most {
			t.Errorf("%d bytes of a large frame got a buffer of %d", test.sent, len(r.buffer))
		}
	}
}

func TestReaderShrinks(t *testing.T) {
	small := frame(t, CallSeedRandom, make([]byte, 10))
	stream := append(frame(t, CallSeedRandom, make([]byte, MaxBody)), small...)
	r := NewReader(bytes.NewReader(append(stream, small...)), KindRequest)
	for range 3 {
		if _, _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := r.Next(); err != io.EOF || len(r.buffer) != smallBuffer {
		t.Errorf("%v, and a buffer of %d bytes", err, len(r.buffer))
	}
}

// TestReaderWipes: neither a used frame nor one that was moved stays in memory.
func TestReaderWipes(t *testing.T) {
	pin := []byte("correct horse battery staple")
	login := (&LoginRequest{PIN: pin}).AppendTo(nil)
	one := frame(t, CallLogin, login)
	stream := bytes.Repeat(one, 1+smallBuffer/len(one)) // the last is cut by the buffer's end and moved
	r := NewReader(bytes.NewReader(stream), KindRequest)
	first := r.buffer
	for n := len(stream) / len(one); n > 0; n-- {
		if _, _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
		if got := bytes.Count(r.buffer, pin); got > n {
			t.Fatalf("%d frames are left, but %d PINs", n, got)
		}
	}
	if _, _, err := r.Next(); err != io.EOF || bytes.Contains(first, pin) {
		t.Errorf("%v, and a PIN is left", err)
	}

	stream = frame(t, CallSeedRandom, make([]byte, 3000))
	stream = append(stream, frame(t, CallLogin, append(login, make([]byte, 2000)...))...)
	r = NewReader(bytes.NewReader(stream), KindRequest)
	for range 2 {
		if _, _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
	}
	if got := bytes.Count(r.buffer, pin); got != 1 {
		t.Errorf("%d PINs after the only one was moved", got)
	}

	r = NewReader(bytes.NewReader(frame(t, CallLogin, append(login, make([]byte, 2*smallBuffer)...))), KindRequest)
	first = r.buffer
	if _, _, err := r.Next(); err != nil || bytes.Contains(first, pin) {
		t.Errorf("%v, or a PIN is left in the buffer that was too small", err)
	}
}

func TestWriter(t *testing.T) {
	stream := new(bytes.Buffer)
	w := NewWriter(stream)
	if err := w.Write(Header{Kind: KindRequest}, raw(make([]byte, MaxBody+1))); err != ErrTooLong || stream.Len() > 0 {
		t.Errorf("%v after %d bytes", err, stream.Len())
	}
	if err := w.Write(Header{Kind: KindRequest}, raw(make([]byte, MaxBody))); err != nil || stream.Len() != MaxFrame {
		t.Errorf("%v after %d bytes", err, stream.Len())
	}
	if cap(w.buffer) > keptBuffer {
		t.Errorf("the writer keeps %d bytes", cap(w.buffer))
	}
	stream.Reset()
	pin := []byte("correct horse battery staple")
	if err := w.Write(Header{Kind: KindRequest, Call: CallLogin}, &LoginRequest{PIN: pin}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(stream.Bytes(), pin) || bytes.Contains(w.buffer[:cap(w.buffer)], pin) {
		t.Error("the PIN was not sent, or the writer keeps it")
	}
	stream.Reset()
	if err := w.Write(Header{Kind: KindWorking}, nil); err != nil || stream.Len() != HeaderSize {
		t.Errorf("%v after %d bytes", err, stream.Len())
	}
	failing := NewWriter(failingWriter{})
	if err := failing.Write(Header{Kind: KindWorking}, nil); err != errWrite {
		t.Error(err)
	}
}

var errWrite = errors.New("the line is down")

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errWrite }

// endless repeats one frame for ever.
type endless struct {
	frame []byte
	at    int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.frame[e.at:])
	e.at = (e.at + n) % len(e.frame)
	return n, nil
}

// serveOne is what a server does with a hot call; it must not allocate.
func serveOne(t testing.TB) func() {
	m := OperateFusedRequest{Function: 4, Mechanism: sampleMechanism(sample), Key: 7, Data: make([]byte, 32), Capacity: 256}
	one := frame(t, CallOperateFused, m.AppendTo(nil))
	r, w := NewReader(&endless{frame: one}, KindRequest), NewWriter(io.Discard)
	var request OperateFusedRequest
	reply := OperateFusedReply{Output: make([]byte, 256), Length: 256}
	return func() {
		h, body, err := r.Next()
		if err == nil {
			err = request.Parse(body)
		}
		if err == nil {
			err = w.Write(Header{Kind: KindReply, Call: h.Call, Request: h.Request, Code: cryptoki.CKR_OK}, &reply)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestHotCallAllocatesNothing(t *testing.T) {
	if n := testing.AllocsPerRun(100, serveOne(t)); n != 0 {
		t.Errorf("%v allocations", n)
	}
	template := (&FindRequest{Template: sampleTemplate(sample, 0)}).AppendTo(nil)
	types := (&GetAttributesRequest{Types: []uint64{1, 2, 3}}).AppendTo(nil)
	var find FindRequest
	var get GetAttributesRequest
	if n := testing.AllocsPerRun(100, func() {
		if find.Parse(template) != nil || get.Parse(types) != nil {
			t.Fatal("does not parse")
		}
	}); n != 0 {
		t.Errorf("%v allocations for lists", n)
	}
}

func BenchmarkHotCall(b *testing.B) {
	serve := serveOne(b)
	b.ReportAllocs()
	for b.Loop() {
		serve()
	}
}
