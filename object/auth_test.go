package object

import (
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/internal/secret"
)

func authData(s string) secret.Bytes { return secret.Copy([]byte(s)) }

func newVerifier(t *testing.T, data string) Verifier {
	t.Helper()
	v, err := NewVerifier(authData(data))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVerifier(t *testing.T) {
	v := newVerifier(t, "12345678")
	for data, want := range map[string]bool{"12345678": true, "12345679": false, "1234567": false, "123456789": false, "": false} {
		if v.Matches(authData(data)) != want {
			t.Errorf("%q: %t", data, !want)
		}
	}
	again := newVerifier(t, "12345678")
	if again.Family == v.Family || again.sum == v.sum {
		t.Error("two verifiers of the same data are alike")
	}
	for n, want := range map[int]cryptoki.RV{0: cryptoki.CKR_AUTH_DATA_TOO_SMALL, 7: cryptoki.CKR_AUTH_DATA_TOO_SMALL, 8: cryptoki.CKR_OK, 255: cryptoki.CKR_OK, 256: cryptoki.CKR_AUTH_DATA_TOO_LARGE} {
		_, err := NewVerifier(secret.New(n))
		wantCode(t, err, want)
	}
}

// TestGuardedObjects gives each sample authorization data and reads it back.
func TestGuardedObjects(t *testing.T) {
	for name, template := range samples {
		t.Run(name, func(t *testing.T) {
			o, v := create(t, template), newVerifier(t, "12345678")
			n, err := o.WithVerifier(v)
			if o.rules.kind&confidential == 0 {
				wantCode(t, err, cryptoki.CKR_TEMPLATE_INCONSISTENT)
				if _, status := o.Read(cryptoki.CKA_AUTH_DATA); status != Absent {
					t.Errorf("CKA_AUTH_DATA has status %d", status)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if n.Size() != o.Size() {
				t.Errorf("the size goes from %d to %d", o.Size(), n.Size())
			}
			if _, guarded := o.Verifier(); guarded || o.Guarded() {
				t.Error("the key of before is guarded")
			}
			closed, err := Parse(n.Metadata(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, open := closed.Verifier(); open || !closed.Guarded() {
				t.Error("a closed key has a verifier, or does not say that it will")
			}
			again := rebuilt(t, n)
			if got, guarded := again.Verifier(); !guarded || got != v {
				t.Error("the verifier is another after it was stored")
			}
			for _, k := range []*Object{o, n, closed, again} {
				if value, status := k.Read(cryptoki.CKA_AUTH_DATA); status != Sensitive || value != nil {
					t.Errorf("CKA_AUTH_DATA has status %d", status)
				}
			}
			if status, _ := again.Read(cryptoki.CKA_KEY_STATUS); status[0] != keyAuthDataSet {
				t.Errorf("CKA_KEY_STATUS is %x", status)
			}
			c, err := again.Copy(nil)
			if err != nil {
				t.Fatal(err)
			}
			if got, guarded := c.Verifier(); !guarded || got != v {
				t.Error("a copy has another verifier")
			}
			// Metadata that tells of no authorization data does not fit the value part.
			if _, err := Parse(o.Metadata(), n.Secrets()); err == nil {
				t.Error("the authorization data can be taken away with the metadata")
			}
			if _, err := Parse(n.Metadata(), o.Secrets()); err == nil {
				t.Error("the value part of before fits")
			}
		})
	}
}

func TestAssignedInTemplates(t *testing.T) {
	fit := with(samples["aes"], cryptoki.CKA_ASSIGNED, true, cryptoki.CKA_MODIFIABLE, false)
	if o := create(t, fit); !o.Assigned() {
		t.Error("the key is not assigned")
	}
	_, err := FromTemplate(Context{LoggedIn: true}, with(fit, cryptoki.CKA_MODIFIABLE, true))
	wantCode(t, err, cryptoki.CKR_ASSIGNED_KEY_FAILED_ATTRIBUTE_DEPENDENCIES)
}

// What only who authorizes the key may know cannot be read around that.
func TestGuardedValueIsHidden(t *testing.T) {
	o := create(t, with(samples["aes"], cryptoki.CKA_SENSITIVE, false, cryptoki.CKA_EXTRACTABLE, true))
	if _, status := o.Read(cryptoki.CKA_VALUE); status != Present {
		t.Fatalf("CKA_VALUE has status %d", status)
	}
	n, err := o.WithVerifier(newVerifier(t, "12345678"))
	if err != nil {
		t.Fatal(err)
	}
	if _, status := n.Read(cryptoki.CKA_VALUE); status != Sensitive {
		t.Errorf("CKA_VALUE of a guarded key has status %d", status)
	}
}

func TestAssign(t *testing.T) {
	fit := with(samples["aes"], cryptoki.CKA_MODIFIABLE, false)
	for _, c := range []struct {
		name     string
		template cryptoki.Template
		guarded  bool
		want     cryptoki.RV
	}{
		{"fit", fit, true, cryptoki.CKR_OK},
		{"no data", fit, false, cryptoki.CKR_ASSIGNED_KEY_REQUIRES_AUTH_DATA},
		{"modifiable", samples["aes"], true, cryptoki.CKR_ASSIGNED_KEY_FAILED_ATTRIBUTE_DEPENDENCIES},
		{"public", with(fit, cryptoki.CKA_PRIVATE, false), true, cryptoki.CKR_ASSIGNED_KEY_FAILED_ATTRIBUTE_DEPENDENCIES},
		{"not sensitive", with(fit, cryptoki.CKA_SENSITIVE, false), true, cryptoki.CKR_ASSIGNED_KEY_FAILED_ATTRIBUTE_DEPENDENCIES},
		{"extractable", with(fit, cryptoki.CKA_EXTRACTABLE, true), true, cryptoki.CKR_ASSIGNED_KEY_FAILED_ATTRIBUTE_DEPENDENCIES},
		{"a public key", samples["rsa public"], false, cryptoki.CKR_KEY_CANNOT_BE_AUTHORIZED},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := create(t, c.template)
			if c.guarded {
				var err error
				if o, err = o.WithVerifier(newVerifier(t, "12345678")); err != nil {
					t.Fatal(err)
				}
			}
			n, err := o.Assign()
			wantCode(t, err, c.want)
			if c.want != cryptoki.CKR_OK {
				return
			}
			if n = rebuilt(t, n); !n.Assigned() || o.Assigned() {
				t.Error("not the new key alone is assigned")
			}
			_, err = n.Set(attributes(cryptoki.CKA_LABEL, "mine"))
			wantCode(t, err, cryptoki.CKR_ASSIGNED_KEY_CANNOT_BE_MODIFIED)
			_, err = n.Copy(nil)
			wantCode(t, err, cryptoki.CKR_ASSIGNED_KEY_CANNOT_BE_MODIFIED)
			if string(n.SecurityContext()) == string(o.SecurityContext()) {
				t.Error("the assignment is not bound to the value")
			}
		})
	}
}
