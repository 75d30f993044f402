package wire

import (
	"encoding/binary"
	"fmt"

	"tidelock.dev/tidelock/cryptoki"
)

// The fixed numbers of a frame, in bytes.
const (
	// HeaderSize is the length of the header that every frame begins with.
	HeaderSize = 48
	// MaxFrame is the most that a frame may have, header included.
	MaxFrame = 1 << 20
	// MaxBody is the most that a body may have.
	MaxBody = MaxFrame - HeaderSize
)

// Version is the version of the frame format. The range of protocol versions,
// which decides on calls and fields, is agreed in Hello.
const Version = 1

// Kind tells what a frame is.
type Kind uint8

// The kinds of frames.
const (
	KindRequest Kind = 1
	KindReply   Kind = 2
	KindWorking Kind = 3
)

// String returns the name of the kind.
func (k Kind) String() string {
	switch k {
	case KindRequest:
		return "request"
	case KindReply:
		return "reply"
	case KindWorking:
		return "working"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Header is what every frame begins with.
type Header struct {
	// Length is that of the whole frame in bytes, header included. Writer and
	// AppendFrame set it.
	Length uint32
	Kind   Kind
	Call   Call
	// Request is chosen by the caller and repeated in the reply.
	Request uint64
	// Application is the number from the reply to Hello; 0 in Hello itself.
	Application uint64
	// Session is 0 where the call has none.
	Session cryptoki.SessionHandle
	// Code is the outcome in a reply and CKR_OK elsewhere.
	Code cryptoki.RV
	// Epoch is in a reply the newest permit epoch, 0 where there is none.
	Epoch uint64
}

// AppendHeader appends the HeaderSize bytes of h.
func AppendHeader(b []byte, h Header) []byte {
	b = binary.LittleEndian.AppendUint32(b, h.Length)
	b = append(b, Version, byte(h.Kind))
	b = binary.LittleEndian.AppendUint16(b, uint16(h.Call))
	b = binary.LittleEndian.AppendUint64(b, h.Request)
	b = binary.LittleEndian.AppendUint64(b, h.Application)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.Session))
	b = binary.LittleEndian.AppendUint32(b, uint32(h.Code))
	b = binary.LittleEndian.AppendUint32(b, 0)
	return binary.LittleEndian.AppendUint64(b, h.Epoch)
}

// ParseHeader reads a header from the first HeaderSize bytes of b. An error means
// that the other side does not speak this protocol, or that the stream is out
// of step: nothing after it can be trusted.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderSize {
		return Header{}, fmt.Errorf("wire: a header of %d bytes, want %d", len(b), HeaderSize)
	}
	h := Header{
		Length:      binary.LittleEndian.Uint32(b),
		Kind:        Kind(b[5]),
		Call:        Call(binary.LittleEndian.Uint16(b[6:])),
		Request:     binary.LittleEndian.Uint64(b[8:]),
		Application: binary.LittleEndian.Uint64(b[16:]),
		Session:     cryptoki.SessionHandle(binary.LittleEndian.Uint64(b[24:])),
		Code:        cryptoki.RV(binary.LittleEndian.Uint32(b[32:])),
		Epoch:       binary.LittleEndian.Uint64(b[40:]),
	}
	reserved := binary.LittleEndian.Uint32(b[36:])
	switch {
	case b[4] != Version:
		return Header{}, fmt.Errorf("wire: a frame of version %d, want %d", b[4], Version)
	case h.Length < HeaderSize || h.Length > MaxFrame:
		return Header{}, fmt.Errorf("wire: a frame of %d bytes, want %d to %d", h.Length, HeaderSize, MaxFrame)
	case h.Kind < KindRequest || h.Kind > KindWorking:
		return Header{}, fmt.Errorf("wire: a frame of unknown kind %d", b[5])
	case h.Kind == KindWorking && h.Length != HeaderSize:
		return Header{}, fmt.Errorf("wire: a working frame with a body of %d bytes", h.Length-HeaderSize)
	case h.Kind != KindReply && (h.Code != 0 || h.Epoch != 0):
		return Header{}, fmt.Errorf("wire: a %s with the code %#x and the epoch %d", h.Kind, uint32(h.Code), h.Epoch)
	case reserved != 0:
		return Header{}, fmt.Errorf("wire: %#x in the reserved part of the header", reserved)
	}
	return h, nil
}
