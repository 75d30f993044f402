package cryptoki

// New makes a mechanism without a parameter.
func New(t MechanismType) Mechanism { return Mechanism{Type: t, Shape: ShapeNone} }

// NewBytes makes a mechanism whose parameter is a byte string, an initialization
// vector for example, which it copies.
func NewBytes(t MechanismType, value []byte) Mechanism {
	out := newParameter(t, ShapeBytes, 1)
	out.bytes(value)
	return out.mechanism
}

// NewULong makes a mechanism whose parameter is a CK_ULONG.
func NewULong(t MechanismType, value uint64) Mechanism {
	out := newParameter(t, ShapeULong, 1)
	out.ulong(value)
	return out.mechanism
}

// None checks that m has no parameter; CKR_MECHANISM_PARAM_INVALID otherwise.
func (m *Mechanism) None() error {
	in := m.parameter(ShapeNone, 0)
	return in.end()
}

// Bytes returns the parameter of m, a part of m.Data; CKR_MECHANISM_PARAM_INVALID
// when it is no byte string.
func (m *Mechanism) Bytes() ([]byte, error) {
	in := m.parameter(ShapeBytes, 1)
	value := in.bytes()
	if err := in.end(); err != nil {
		return nil, err
	}
	return value, nil
}

// ULong returns the parameter of m; CKR_MECHANISM_PARAM_INVALID when it is no
// CK_ULONG.
func (m *Mechanism) ULong() (uint64, error) {
	in := m.parameter(ShapeULong, 1)
	value := in.ulong()
	if err := in.end(); err != nil {
		return 0, err
	}
	return value, nil
}

// parameterReader takes the fields of a parameter in order. After the first
// failure it yields zero values only; end tells the failure.
type parameterReader struct {
	mechanism MechanismType
	fields    []uint64
	data      []byte
	err       error
}

// parameter begins to read a parameter that must have this shape and number of
// fields.
func (m *Mechanism) parameter(shape Shape, fields int) parameterReader {
	in := m.parameterOf(shape)
	if len(m.Fields) != fields {
		in.fail("its parameter has %d fields, want %d", len(m.Fields), fields)
	}
	return in
}

// parameterList begins to read a parameter of this shape, with this number of
// fields and a list whose elements have element fields each.
func (m *Mechanism) parameterList(shape Shape, fields, element int) parameterReader {
	in := m.parameterOf(shape)
	if len(m.Fields) < fields || (len(m.Fields)-fields)%element != 0 {
		in.fail("its parameter has %d fields, want %d and a multiple of %d", len(m.Fields), fields, element)
	}
	return in
}

func (m *Mechanism) parameterOf(shape Shape) parameterReader {
	in := parameterReader{mechanism: m.Type, fields: m.Fields, data: m.Data}
	switch {
	case m.Shape == ShapeMalformed:
		in.fail("its parameter could not be read")
	case m.Shape == ShapeNone && shape != ShapeNone:
		in.fail("it lacks its parameter")
	case m.Shape != shape:
		in.fail("its parameter has shape %d, want %d", m.Shape, shape)
	}
	return in
}

func (in *parameterReader) fail(format string, args ...any) {
	if in.err == nil {
		in.err = Errorf(CKR_MECHANISM_PARAM_INVALID, "%v: "+format, append([]any{in.mechanism}, args...)...)
	}
}

func (in *parameterReader) ulong() uint64 {
	if in.err != nil {
		return 0
	}
	value := in.fields[0]
	in.fields = in.fields[1:]
	return value
}

func (in *parameterReader) bool() bool {
	value := in.ulong()
	if value > 1 {
		in.fail("a CK_BBOOL is %d", value)
	}
	return value == 1
}

func (in *parameterReader) bytes() []byte {
	length := in.ulong()
	if length > uint64(len(in.data)) {
		in.fail("a byte string of %d bytes exceeds the %d that are left", length, len(in.data))
		return nil
	}
	value := in.data[:length:length]
	in.data = in.data[length:]
	return value
}

// array reads a byte string of a fixed size; what it returns always has that size.
func (in *parameterReader) array(size int) []byte {
	value := in.bytes()
	if len(value) != size {
		in.fail("a byte string has %d bytes, want %d", len(value), size)
		return make([]byte, size)
	}
	return value
}

// more tells whether a list has another element.
func (in *parameterReader) more() bool { return in.err == nil && len(in.fields) > 0 }

func (in *parameterReader) end() error {
	if len(in.data) > 0 {
		in.fail("its parameter has %d bytes too many", len(in.data))
	}
	return in.err
}

// parameterWriter puts the fields of a parameter in order.
type parameterWriter struct {
	mechanism Mechanism
}

func newParameter(t MechanismType, shape Shape, fields int) parameterWriter {
	return parameterWriter{Mechanism{Type: t, Shape: shape, Fields: make([]uint64, 0, fields)}}
}

func (out *parameterWriter) ulong(value uint64) {
	out.mechanism.Fields = append(out.mechanism.Fields, value)
}

func (out *parameterWriter) bool(value bool) {
	if value {
		out.ulong(1)
	} else {
		out.ulong(0)
	}
}

func (out *parameterWriter) bytes(value []byte) {
	out.ulong(uint64(len(value)))
	out.mechanism.Data = append(out.mechanism.Data, value...)
}
