// Package libcrypto has the private operations of RSA by OpenSSL's libcrypto, which
// is three times as fast as Go. The library is loaded when a program asks for it;
// in a build without cgo, and on other machines than Linux on amd64 and arm64, it is
// never there.
//
// It is not Go's FIPS 140-3 module, so it does nothing else: keys are made and
// checked, and signatures verified, by Go. No signature leaves that Go has not
// verified, because a faulty one would give the key away (Boneh, DeMillo, Lipton).
// libcrypto's private operation blinds its input and takes the same time for every
// exponent; removing OAEP there does not depend on the plaintext either.
//
// It may import the standard library.
package libcrypto
