//go:build !goexperiment.runtimesecret

package secp256k1

// erasing calls fn. What fn leaves behind stays until the memory is used again: this
// build was made without GOEXPERIMENT=runtimesecret.
func erasing(fn func()) { fn() }
