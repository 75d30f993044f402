package mech

import "tidelock.dev/tidelock/cryptoki"

// The errors that more than one family answers.
var (
	errOnePart      = cryptoki.Errorf(cryptoki.CKR_FUNCTION_NOT_SUPPORTED, "the mechanism works in one part only")
	errVerification = cryptoki.Errorf(cryptoki.CKR_SIGNATURE_INVALID, "the signature does not belong to this data and key")
	errDecryption   = cryptoki.Errorf(cryptoki.CKR_ENCRYPTED_DATA_INVALID, "the data was not encrypted with this key and parameter, or was changed")
	errWrapped      = cryptoki.Errorf(cryptoki.CKR_WRAPPED_KEY_INVALID, "the key was not wrapped with this key and parameter, or was changed")
)

// invalid is the error for a bad attribute value. The format says what is wrong
// with the value and must not give it.
func invalid(t cryptoki.AttributeType, format string, args ...any) error {
	return cryptoki.Errorf(cryptoki.CKR_ATTRIBUTE_VALUE_INVALID, "%v "+format, append([]any{t}, args...)...)
}

// missing is the error for a template that lacks an attribute.
func missing(t cryptoki.AttributeType) error {
	return cryptoki.Errorf(cryptoki.CKR_TEMPLATE_INCOMPLETE, "%v is missing", t)
}

// badParameter is the error for a mechanism parameter.
func badParameter(format string, args ...any) error {
	return cryptoki.Errorf(cryptoki.CKR_MECHANISM_PARAM_INVALID, format, args...)
}
