package object

import (
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

// TestFormats makes each sample in the older format and upgrades it.
func TestFormats(t *testing.T) {
	for name, template := range samples {
		t.Run(name, func(t *testing.T) {
			old, err := FromTemplate(Context{LoggedIn: true, Format: FormatPlain}, template)
			if err != nil {
				t.Fatal(err)
			}
			if _, status := old.Read(cryptoki.CKA_KEY_STATUS); status != Absent {
				t.Errorf("CKA_KEY_STATUS of the older format: status %d", status)
			}
			closed, err := Parse(old.Metadata(), nil)
			if err != nil {
				t.Fatal(err)
			}
			upgraded := closed.Upgraded(FormatPerKey)
			if string(upgraded.SecurityContext()) != string(old.SecurityContext()) {
				t.Error("the security context is another: the value part would not open")
			}
			again, err := Parse(upgraded.Metadata(), old.Secrets())
			if err != nil {
				t.Fatalf("the upgraded object cannot be read: %v", err)
			}
			if created, err := FromTemplate(Context{LoggedIn: true}, template); err != nil || string(created.Metadata()) != string(again.Metadata()) {
				t.Errorf("not what is created in the newer format (%v)", err)
			}
			confidential := old.rules.kind&confidential != 0
			grown := again.Size() - old.Size()
			if confidential && grown != sizePerKey || !confidential && grown != 0 {
				t.Errorf("grew by %d bytes", grown)
			}
			if again.Size() > 2*old.Size() {
				t.Errorf("grew from %d bytes to %d, more than twice", old.Size(), again.Size())
			}
			if _, status := again.Read(cryptoki.CKA_ASSIGNED); (status == Present) != confidential {
				t.Errorf("CKA_ASSIGNED: status %d", status)
			}
		})
	}
}

func TestPerKeyAttributesInTemplates(t *testing.T) {
	for _, c := range []struct {
		format Format
		extra  cryptoki.Template
		want   cryptoki.RV
	}{
		{FormatPlain, attributes(cryptoki.CKA_ASSIGNED, false), cryptoki.CKR_ATTRIBUTE_TYPE_INVALID},
		{FormatPerKey, attributes(cryptoki.CKA_ASSIGNED, false), cryptoki.CKR_OK},
		{FormatPerKey, attributes(cryptoki.CKA_KEY_STATUS, []byte{1, 3, 0, 0}), cryptoki.CKR_ATTRIBUTE_READ_ONLY},
		{FormatPerKey, attributes(cryptoki.CKA_FAILED_KEY_AUTH_COUNT, 0), cryptoki.CKR_ATTRIBUTE_READ_ONLY},
	} {
		_, err := FromTemplate(Context{LoggedIn: true, Format: c.format}, append(append(cryptoki.Template{}, samples["aes"]...), c.extra...))
		if cryptoki.Code(err) != c.want {
			t.Errorf("%v in format %d: %v, want %v", c.extra[0].Type, c.format, err, c.want)
		}
	}
}
