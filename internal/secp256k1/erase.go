//go:build goexperiment.runtimesecret

package secp256k1

import "runtime/secret"

// erasing calls fn and erases what fn leaves behind in registers, on the stack and, when
// the garbage collector comes by, on the heap.
func erasing(fn func()) { secret.Do(fn) }
