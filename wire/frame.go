package wire

import (
	"encoding/binary"
	"fmt"
	"io"

	"tidelock.dev/tidelock/cryptoki"
)

const (
	// smallBuffer is what a Reader or Writer begins with. It holds all frames but
	// those with bulk data.
	smallBuffer = 4 << 10
	// keptBuffer is the most that one keeps between frames, so that a connection
	// which sent one large frame does not cost its memory for ever.
	keptBuffer = 64 << 10
	// growth is the factor by which a Reader's buffer grows while the bytes of a large
	// frame arrive: a length alone, without bytes, gets no memory.
	growth = 4
	// emptyReads is how often a source may return neither bytes nor an error.
	emptyReads = 100
)

// ErrTooLong is what a frame of more than MaxFrame bytes gets. Nothing of it has
// been sent, the connection remains usable.
var ErrTooLong = cryptoki.Errorf(cryptoki.CKR_DATA_LEN_RANGE, "wire: the frame is longer than %d bytes", MaxFrame)

// Reader takes frames from a stream. It reads ahead, so that a small frame takes
// one call of the source. It is for one goroutine at a time.
type Reader struct {
	source io.Reader
	kinds  uint8
	buffer []byte
	// The frame that Next returned last is buffer[start:next], what has been read
	// beyond it buffer[next:end].
	start, next, end int
}

// NewReader returns a Reader that accepts frames of the given kinds.
func NewReader(source io.Reader, kinds ...Kind) *Reader {
	r := &Reader{source: source, buffer: make([]byte, smallBuffer)}
	for _, k := range kinds {
		r.kinds |= 1 << k
	}
	return r
}

// Next returns the next frame. The body belongs to the Reader: the following call
// of Next wipes and reuses it.
//
// The error is io.EOF when the stream ends between two frames, and
// io.ErrUnexpectedEOF when it ends inside one. After any error the stream is of no
// further use.
func (r *Reader) Next() (Header, []byte, error) {
	r.release()
	if err := r.fill(HeaderSize); err != nil {
		return Header{}, nil, err
	}
	h, err := ParseHeader(r.buffer[r.start:r.end])
	if err != nil {
		return Header{}, nil, err
	}
	if r.kinds&(1<<h.Kind) == 0 {
		return Header{}, nil, fmt.Errorf("wire: an unexpected %s frame", h.Kind)
	}
	if err := r.fill(int(h.Length)); err != nil {
		return Header{}, nil, err
	}
	r.next = r.start + int(h.Length)
	return h, r.buffer[r.start+HeaderSize : r.next : r.next], nil
}

// Buffered tells how many bytes have been read beyond the last frame.
func (r *Reader) Buffered() int { return r.end - r.next }

// release wipes the frame that has been used: it may have carried a PIN or
// plaintext, and the connection may now be idle for long.
func (r *Reader) release() {
	clear(r.buffer[r.start:r.next])
	r.start = r.next
	if r.start < r.end {
		return
	}
	r.start, r.next, r.end = 0, 0, 0
	if len(r.buffer) > keptBuffer {
		r.buffer = make([]byte, smallBuffer)
	}
}

// fill reads until at least n bytes are there from start on.
func (r *Reader) fill(n int) error {
	for empty := 0; r.end-r.start < n; {
		r.makeRoom(n)
		m, err := r.source.Read(r.buffer[r.end:])
		r.end += m
		switch {
		case r.end-r.start >= n:
			return nil
		case err == io.EOF && r.end > r.start:
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		case m > 0:
			empty = 0
		default:
			if empty++; empty == emptyReads {
				return io.ErrNoProgress
			}
		}
	}
	return nil
}

// makeRoom sees to it that the buffer has room after end, on the way to n bytes
// from start on. Bytes that it moves leave no copy behind.
func (r *Reader) makeRoom(n int) {
	if r.start > 0 && r.start+n > len(r.buffer) {
		moved := copy(r.buffer, r.buffer[r.start:r.end])
		clear(r.buffer[moved:r.end])
		r.start, r.next, r.end = 0, 0, moved
	}
	if r.end == len(r.buffer) {
		larger := make([]byte, min(growth*len(r.buffer), n))
		copy(larger, r.buffer)
		clear(r.buffer)
		r.buffer = larger
	}
}

// Writer puts frames on a stream, each with one call of the destination. It is
// for one goroutine at a time.
type Writer struct {
	destination io.Writer
	buffer      []byte
}

// NewWriter returns a Writer.
func NewWriter(destination io.Writer) *Writer {
	return &Writer{destination: destination, buffer: make([]byte, 0, smallBuffer)}
}

// Write sends a frame with the body m, which may be nil for an empty one, and
// then wipes its copy. The error is ErrTooLong or the destination's.
func (w *Writer) Write(h Header, m Message) error {
	frame, err := AppendFrame(w.buffer[:0], h, m)
	if err == nil {
		_, err = w.destination.Write(frame)
	}
	clear(frame)
	if cap(frame) <= keptBuffer {
		w.buffer = frame
	}
	return err
}

// AppendFrame appends a frame with the body m, which may be nil for an empty one.
// It sets the length in the header. The error is ErrTooLong.
func AppendFrame(b []byte, h Header, m Message) ([]byte, error) {
	start := len(b)
	b = AppendHeader(b, h)
	if m != nil {
		b = m.AppendTo(b)
	}
	length := len(b) - start
	if length > MaxFrame {
		return b, ErrTooLong
	}
	binary.LittleEndian.PutUint32(b[start:], uint32(length))
	return b, nil
}
