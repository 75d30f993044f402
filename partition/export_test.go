package partition

// LimitIVs makes a partition's keys take so many random IVs, in blocks of so many.
func (p *Partition) LimitIVs(most, block uint64) { p.mostIVs, p.blockIVs = most, block }
