package wire

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

// FuzzParse: what parses, as any message, is encoded to the same bytes again, also
// when it is parsed into a message that has been used; what does not is
// CKR_ARGUMENTS_BAD.
func FuzzParse(f *testing.F) {
	for _, g := range readGoldens(f) {
		words := strings.Fields(g.name)
		if c := callNamed(words[0]); c != 0 {
			f.Add(uint16(c), words[1] == "reply", g.body)
		}
	}
	f.Fuzz(func(t *testing.T, call uint16, reply bool, body []byte) {
		c := Calls()[int(call)%len(table)]
		if Call(call).Known() {
			c = Call(call)
		}
		direction := "request"
		if reply {
			direction = "reply"
		}
		for _, v := range variants {
			m := messageOf(c, direction)
			fill(m, v)
			err := m.Parse(body)
			if err != nil && cryptoki.Code(err) != cryptoki.CKR_ARGUMENTS_BAD {
				t.Fatal(err)
			}
			if err != nil {
				continue
			}
			if again := m.AppendTo(nil); !bytes.Equal(again, body) {
				t.Fatalf("%s %s\nparsed  %x\nencoded %x", c, direction, body, again)
			}
		}
	})
}

// FuzzParseTemplate: nested templates that parse can be parsed to the bottom, and
// lie no deeper than they may.
func FuzzParseTemplate(f *testing.F) {
	for v := range variants {
		f.Add(AppendTemplate(nil, sampleTemplate(variants[v], 1)))
	}
	f.Add(AppendTemplate(nil, nested(5)))
	f.Fuzz(func(t *testing.T, b []byte) {
		template, err := ParseTemplate(nil, b)
		if err != nil {
			if cryptoki.Code(err) != cryptoki.CKR_ATTRIBUTE_VALUE_INVALID {
				t.Fatal(err)
			}
			return
		}
		if again := AppendTemplate(nil, template); !bytes.Equal(again, b) {
			t.Fatalf("parsed  %x\nencoded %x", b, again)
		}
		descend(t, template, 1)
	})
}

func descend(t *testing.T, template cryptoki.Template, depth int) {
	if depth > MaxDepth || len(template) > MaxAttributes {
		t.Fatalf("%d attributes in depth %d", len(template), depth)
	}
	for _, a := range template {
		if !isTemplate(a.Type) {
			continue
		}
		inner, err := ParseTemplate(nil, a.Value)
		if err != nil {
			t.Fatalf("depth %d: %v", depth+1, err)
		}
		descend(t, inner, depth+1)
	}
}

// FuzzReadFrame compares a Reader, which gets its stream in pieces, with cutting the
// stream by hand.
func FuzzReadFrame(f *testing.F) {
	one := frame(f, CallSeedRandom, make([]byte, 100))
	large := frame(f, CallSeedRandom, make([]byte, 3*smallBuffer))
	f.Add(bytes.Repeat(one, 3), uint16(1))
	f.Add(append(large, one...), uint16(1000))
	f.Add(append(bytes.Repeat(one, 2), 0xff), uint16(60))
	f.Add(AppendHeader(nil, Header{Length: MaxFrame, Kind: KindRequest}), uint16(48))
	f.Fuzz(func(t *testing.T, stream []byte, piece uint16) {
		r := NewReader(&pieceReader{rest: stream, pieces: []int{int(piece) + 1}}, KindRequest, KindReply, KindWorking)
		rest := stream
		for {
			h, body, err := r.Next()
			if len(r.buffer) > max(smallBuffer, growth*len(stream)) {
				t.Fatalf("%d bytes of buffer for a stream of %d", len(r.buffer), len(stream))
			}
			want, wantErr := ParseHeader(rest)
			if wantErr != nil || int(want.Length) > len(rest) {
				if err == nil {
					t.Fatalf("a frame %+v out of %x", h, rest)
				}
				if (err == io.EOF) != (len(rest) == 0) {
					t.Fatalf("%d bytes are left, but the error is %v", len(rest), err)
				}
				return
			}
			if err != nil || h != want || !bytes.Equal(body, rest[HeaderSize:h.Length]) {
				t.Fatalf("got %+v %x, %v\nout of %x", h, body, err, rest)
			}
			if again := AppendHeader(nil, h); !bytes.Equal(again, rest[:HeaderSize]) {
				t.Fatalf("header %x becomes %x", rest[:HeaderSize], again)
			}
			rest = rest[h.Length:]
		}
	})
}
