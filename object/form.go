package object

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"tidelock.dev/tidelock/cryptoki"
)

// form is how an attribute's value is coded.
type form struct {
	// check tells what is wrong with a value, without giving the value.
	check func([]byte) error
	// bigInteger: the value is a "Big integer", which PKCS#11 wants big-endian and
	// without leading zeros. Those that programs send all the same are dropped.
	bigInteger bool
}

// normal is the one way to write a value, for comparing and for storing. It
// shares v's memory.
func (f form) normal(v []byte) []byte {
	if f.bigInteger {
		return bytes.TrimLeft(v, "\x00")
	}
	return v
}

const ulongSize = 8

var (
	errBool  = errors.New("is not a CK_BBOOL of value CK_TRUE or CK_FALSE")
	errULong = errors.New("is not a CK_ULONG")
	errDate  = errors.New("is not a CK_DATE")
)

var (
	boolean = form{check: func(v []byte) error {
		if _, ok := cryptoki.ParseBool(v); !ok {
			return errBool
		}
		return nil
	}}

	number = form{check: checkULong}

	date = form{check: checkDate}

	// mechanisms is an array of CK_MECHANISM_TYPE. An empty one allows nothing.
	mechanisms = form{check: func(v []byte) error {
		if len(v)%ulongSize != 0 || len(v) > maxName {
			return errors.New("is not an array of mechanism types")
		}
		return nil
	}}

	integer = form{bigInteger: true, check: checkInteger}

	// A modulus or a public exponent that is even, or an exponent of 1, makes RSA
	// reveal what it encrypts. How large they must be is for the mechanisms to say.
	modulus  = form{bigInteger: true, check: checkOdd}
	exponent = form{bigInteger: true, check: func(v []byte) error {
		if bytes.Equal(bytes.TrimLeft(v, "\x00"), []byte{1}) {
			return errors.New("is 1")
		}
		return checkOdd(v)
	}}

	aesKey = form{check: func(v []byte) error {
		if !slices.Contains([]int{16, 24, 32}, len(v)) {
			return fmt.Errorf("has %d bytes, an AES key has 16, 24 or 32", len(v))
		}
		return nil
	}}
)

// octets is a byte string of least to most bytes.
func octets(least, most int) form {
	return form{check: func(v []byte) error {
		if len(v) < least || len(v) > most {
			return fmt.Errorf("has %d bytes, not %d to %d", len(v), least, most)
		}
		return nil
	}}
}

func checkULong(v []byte) error {
	if len(v) != ulongSize {
		return errULong
	}
	return nil
}

func checkInteger(v []byte) error {
	v = bytes.TrimLeft(v, "\x00")
	if len(v) == 0 {
		return errors.New("is zero")
	}
	if len(v) > maxNumber {
		return fmt.Errorf("has %d bytes, at most %d are supported", len(v), maxNumber)
	}
	return nil
}

func checkOdd(v []byte) error {
	if err := checkInteger(v); err != nil {
		return err
	}
	if v[len(v)-1]&1 == 0 {
		return errors.New("is even")
	}
	return nil
}

// checkDate accepts a CK_DATE, eight digits YYYYMMDD, and an empty value, which
// is no date.
func checkDate(v []byte) error {
	if len(v) == 0 {
		return nil
	}
	if _, err := time.Parse("20060102", string(v)); err != nil || len(v) != 8 {
		return errDate
	}
	return nil
}
