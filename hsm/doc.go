// Package hsm is the appliance core: what an HSM is made of, the applications
// that use it, and the one dispatcher through which every call of every link
// goes.
//
// It may import cryptoki, firmware, wire, mech, object, seal, keystore,
// partition and internal/secret; it does no I/O of its own. Links bring frames in
// and take replies out.
package hsm
