package mech

// onePart is an operation that works in one part only and keeps nothing.
type onePart struct {
	rule Rule
	once func(data []byte) ([]byte, error)
}

func (o *onePart) Rule() Rule { return o.rule }

func (o *onePart) Once(data, _ []byte) ([]byte, error) { return o.once(data) }

func (o *onePart) Update([]byte) ([]byte, error) { return nil, errOnePart }
func (o *onePart) UpdateLength(int) int          { return 0 }
func (o *onePart) Final([]byte) ([]byte, error)  { return nil, errOnePart }
func (o *onePart) Close()                        {}
