// Package wire is the codec of the protocol that libtidelock.so, the commands
// and the server speak: frames, and a request and a reply for every call.
// docs/wire.md specifies it; the messages are generated from
// cryptoki/table/calls.txt by internal/gen, which makes the C codec in clib/gen
// from the same table.
//
// Everything that a frame claims is checked against the bytes that are there
// before memory is set aside for it. A message that has been used once and is
// parsed into again allocates only for text.
//
// It may import cryptoki only.
package wire

import (
	"fmt"
	"sort"
)

// Call is the number of a call.
type Call uint16

// Message is the body of a request or a reply.
type Message interface {
	// AppendTo appends the encoding of the message to b.
	AppendTo(b []byte) []byte
	// Parse fills the message from b, which must hold it and nothing else.
	//
	// Byte strings, secrets, the values of attributes and the data of mechanisms
	// refer to b: they are valid only until b is used again. Lists are written into
	// those that the message already has, where these are large enough.
	//
	// The error is CKR_ARGUMENTS_BAD and names call, field and problem; the content of
	// the message is undefined then.
	Parse(b []byte) error
}

// callInfo is a row of the table of calls.
type callInfo struct {
	call           Call
	name           string
	creates        bool
	request, reply func() Message
}

// find returns the row of c, or nil.
func (c Call) find() *callInfo {
	i := sort.Search(len(table), func(i int) bool { return table[i].call >= c })
	if i == len(table) || table[i].call != c {
		return nil
	}
	return &table[i]
}

// Calls returns all calls by rising number.
func Calls() []Call {
	calls := make([]Call, len(table))
	for i := range table {
		calls[i] = table[i].call
	}
	return calls
}

// Known tells whether the protocol has the call.
func (c Call) Known() bool { return c.find() != nil }

// Creates tells whether the call makes an object and carries a token, by which a
// repetition is recognized.
func (c Call) Creates() bool {
	info := c.find()
	return info != nil && info.creates
}

// NewRequest returns an empty request of the call; nil when it is unknown.
func (c Call) NewRequest() Message {
	if info := c.find(); info != nil {
		return info.request()
	}
	return nil
}

// NewReply returns an empty reply of the call; nil when it is unknown.
func (c Call) NewReply() Message {
	if info := c.find(); info != nil {
		return info.reply()
	}
	return nil
}

// String returns the name of the call.
func (c Call) String() string {
	if info := c.find(); info != nil {
		return info.name
	}
	return fmt.Sprintf("Call(%d)", uint16(c))
}

// AdminSlot is the administration's slot, where the HSM SO and the Auditor log in. It
// is on the administrators' socket only.
const AdminSlot = 65536
