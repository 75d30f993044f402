package wire

import (
	"encoding/binary"
	"strings"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

func TestParseHeader(t *testing.T) {
	got, err := ParseHeader(AppendHeader(nil, sampleHeader))
	if err != nil || got != sampleHeader {
		t.Errorf("got %+v, %v\nwant %+v", got, err, sampleHeader)
	}
}

func TestParseHeaderRefuses(t *testing.T) {
	request := Header{Length: HeaderSize, Kind: KindRequest, Call: CallStop}
	working := Header{Length: HeaderSize, Kind: KindWorking, Call: CallStop}
	for _, test := range []struct {
		name   string
		header Header
		change func(b []byte)
		want   string
	}{
		{"version 0", request, func(b []byte) { b[4] = 0 }, "version 0"},
		{"version 2", request, func(b []byte) { b[4] = 2 }, "version 2"},
		{"no length", request, func(b []byte) { clear(b[:4]) }, "0 bytes"},
		{"shorter than the header", request, func(b []byte) { b[0] = HeaderSize - 1 }, "47 bytes"},
		{"longer than the limit", request, func(b []byte) { binary.LittleEndian.PutUint32(b, MaxFrame+1) }, "1048577 bytes"},
		{"top bit in the length", request, func(b []byte) { b[3] = 0x80 }, "2147483696 bytes"},
		{"kind 0", request, func(b []byte) { b[5] = 0 }, "kind 0"},
		{"kind 4", request, func(b []byte) { b[5] = 4 }, "kind 4"},
		{"kind 64", request, func(b []byte) { b[5] = 64 }, "kind 64"},
		{"reserved", request, func(b []byte) { b[39] = 1 }, "reserved"},
		{"request with a code", request, func(b []byte) { b[32] = 5 }, "request with the code 0x5"},
		{"request with an epoch", request, func(b []byte) { b[40] = 7 }, "epoch 7"},
		{"working with a code", working, func(b []byte) { b[32] = 5 }, "working with the code 0x5"},
		{"working with a body", working, func(b []byte) { b[0]++ }, "body of 1 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := AppendHeader(nil, test.header)
			if _, err := ParseHeader(b); err != nil {
				t.Fatal(err)
			}
			test.change(b)
			if _, err := ParseHeader(b); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want something about %q", err, test.want)
			}
		})
	}
	if _, err := ParseHeader(make([]byte, HeaderSize-1)); err == nil {
		t.Error("47 bytes are taken for a header")
	}
}

func TestCalls(t *testing.T) {
	if len(Calls()) != len(table) || Calls()[0] != CallHello {
		t.Errorf("Calls() = %v", Calls())
	}
	for c := range Call(200) {
		known := c.Known()
		if known != (c.NewRequest() != nil) || known != (c.NewReply() != nil) {
			t.Errorf("%v: known %v, but its messages say otherwise", c, known)
		}
	}
	for c, want := range map[Call]bool{CallCreateObject: true, CallGenerateKeyPair: true, CallDestroyObject: false, 999: false} {
		if c.Creates() != want {
			t.Errorf("%v creates: %v, want %v", c, !want, want)
		}
	}
	if got := CallSetPIN.String() + " " + Call(3).String(); got != "SetPIN Call(3)" {
		t.Error(got)
	}
}

func TestErrTooLong(t *testing.T) {
	if code := cryptoki.Code(ErrTooLong); code != cryptoki.CKR_DATA_LEN_RANGE {
		t.Error(code)
	}
}
