//go:build goexperiment.runtimesecret

package seal

import (
	"runtime"
	rsecret "runtime/secret"
)

// erasing calls fn and erases what fn leaves behind in registers, on the stack and
// on the heap. It is for code of others that keeps copies out of reach: Argon2's
// first hash keeps the password in a buffer. fn costs far more than the collection
// that erases the heap.
func erasing(fn func()) {
	rsecret.Do(fn)
	runtime.GC()
}
