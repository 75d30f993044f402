package cryptoki

import (
	"errors"
	"fmt"
)

// RV is a CK_RV: the code of a call's outcome.
type RV uint32

// Error makes a bare RV usable as an error where no cause is known.
func (rv RV) Error() string { return rv.String() }

// Error is a return code with the reason for it. The code crosses the wire; the
// cause stays here, for the log. A cause must hold no secret.
type Error struct {
	Code  RV
	Cause error
}

func (e *Error) Error() string { return e.Code.String() + ": " + e.Cause.Error() }

// Unwrap gives errors.Is and errors.As the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Errorf makes an Error; the format is fmt.Errorf's, %w included.
func Errorf(code RV, format string, args ...any) error {
	return &Error{Code: code, Cause: fmt.Errorf(format, args...)}
}

// Code returns the code that err carries: CKR_OK for nil, CKR_GENERAL_ERROR for
// an error that carries none.
func Code(err error) RV {
	if err == nil {
		return CKR_OK
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	var rv RV
	if errors.As(err, &rv) {
		return rv
	}
	return CKR_GENERAL_ERROR
}
