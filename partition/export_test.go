package partition

// LimitIVs makes a partition's keys take so many random IVs, in blocks of so many.
func (p *Partition) LimitIVs(most, block uint64) { p.mostIVs, p.blockIVs = most, block }

// KeysAuthorized is how many keys the session has authorized, as far as it keeps them.
func (s *Session) KeysAuthorized() int { return len(s.authorizations.of) }
