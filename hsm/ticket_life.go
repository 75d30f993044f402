package hsm

import "time"

// SetTicketLife changes how long an application's login outlives the server; 0 turns tickets
// off, those of before included. A longer or shorter life is for tickets from now on, and
// for the others when they are next renewed.
func (h *HSM) SetTicketLife(life time.Duration) { h.tickets.Store(int64(life)) }

func (h *HSM) ticketLife() time.Duration { return time.Duration(h.tickets.Load()) }
