package audit

import "fmt"

// segmentPrefix begins the line that ends a segment.
var segmentPrefix = []byte(`{"format":"` + segmentFormat + `"`)

// end checks the line that ends a segment: that it is about what was read since the header,
// signed with the key of the log.
func (v *Verifier) end(text []byte) *Fault {
	bad := func(format string, args ...any) *Fault {
		return &Fault{Kind: FaultAltered, First: min(v.header.From, v.at.Sequence), Last: v.at.Sequence,
			Cause: fmt.Sprintf("line %d: %s", v.lines, fmt.Sprintf(format, args...))}
	}
	g, err := ParseSegment(text)
	if err != nil {
		return bad("%v", err)
	}
	after := Position{v.header.From - 1, v.header.Previous}
	switch {
	case g.Serial != v.header.Serial:
		return bad("the segment was signed by HSM %s", g.Serial)
	case len(v.checkpoints) > 0 && g.Key != v.checkpoints[0].Key:
		return bad("the segment was signed with another key than the checkpoint %s", v.checkpoints[0].Name)
	case v.sealed != 0 && g.Key != v.key:
		return bad("the segment was signed with another key than the one before")
	case v.named != "" && g.Key.String() != v.named:
		return bad("the segment was signed with another key than entry 1 names")
	case g.Last.Sequence > v.at.Sequence:
		f := missing(v.at.Sequence+1, g.Last.Sequence)
		f.Cause = fmt.Sprintf("line %d: the segment has them, by what the HSM signed", v.lines)
		return f
	case g.After != after || g.Last != v.at:
		return bad("the HSM signed another segment, of %s", g.entries())
	}
	v.ended, v.sealed, v.key = true, g.Last.Sequence, g.Key
	return nil
}

// adjoin checks the header of another segment or file: that it goes on where the last one
// ended.
func (v *Verifier) adjoin(text []byte) (*Fault, error) {
	h, err := ParseHeader(text)
	if err != nil {
		return nil, fmt.Errorf("line %d: %w", v.lines, err)
	}
	if h.Serial != v.header.Serial {
		return nil, fmt.Errorf("line %d: the log is of HSM %s, what came before it of %s", v.lines, h.Serial, v.header.Serial)
	}
	switch before := h.From - 1; {
	case before > v.at.Sequence:
		f := missing(v.at.Sequence+1, before)
		f.Cause = fmt.Sprintf("line %d begins with entry %d: the file with these is missing, or in another place", v.lines, h.From)
		return f, nil
	case before < v.at.Sequence:
		return &Fault{Kind: FaultMisplaced, First: h.From, Last: v.at.Sequence,
			Cause: fmt.Sprintf("line %d begins with entry %d, which came before", v.lines, h.From)}, nil
	case h.Previous != v.at.Hash:
		return altered(h.From, "line %d: it does not follow from entry %d, which came before", v.lines, before), nil
	}
	v.header, v.ended = h, false
	return nil, nil
}
