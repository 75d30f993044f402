package cryptoki

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

func TestCode(t *testing.T) {
	cause := Errorf(CKR_PIN_INCORRECT, "two tries are left: %w", io.EOF)
	tests := []struct {
		err  error
		want RV
	}{
		{nil, CKR_OK},
		{cause, CKR_PIN_INCORRECT},
		{fmt.Errorf("login: %w", cause), CKR_PIN_INCORRECT},
		{fmt.Errorf("login: %w", CKR_PIN_LOCKED), CKR_PIN_LOCKED},
		{Errorf(CKR_FUNCTION_FAILED, "%w", CKR_PIN_LOCKED), CKR_FUNCTION_FAILED},
		{io.EOF, CKR_GENERAL_ERROR},
	}
	for _, test := range tests {
		if got := Code(test.err); got != test.want {
			t.Errorf("Code(%v) = %v, want %v", test.err, got, test.want)
		}
	}
	if !errors.Is(cause, io.EOF) {
		t.Error("the cause cannot be found")
	}
	if want := "CKR_PIN_INCORRECT: two tries are left: EOF"; cause.Error() != want {
		t.Errorf("%q, want %q", cause, want)
	}
}
