package main

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/wire"
)

// shown are the attributes that key show asks for, in its order.
var shown = []cryptoki.AttributeType{
	cryptoki.CKA_CLASS, cryptoki.CKA_KEY_TYPE, cryptoki.CKA_LABEL, cryptoki.CKA_ID,
	cryptoki.CKA_MODULUS_BITS, cryptoki.CKA_VALUE_LEN, cryptoki.CKA_EC_PARAMS,
	cryptoki.CKA_TOKEN, cryptoki.CKA_PRIVATE, cryptoki.CKA_MODIFIABLE, cryptoki.CKA_DESTROYABLE,
	cryptoki.CKA_SENSITIVE, cryptoki.CKA_ALWAYS_SENSITIVE, cryptoki.CKA_EXTRACTABLE, cryptoki.CKA_NEVER_EXTRACTABLE, cryptoki.CKA_LOCAL,
	cryptoki.CKA_ENCRYPT, cryptoki.CKA_DECRYPT, cryptoki.CKA_SIGN, cryptoki.CKA_VERIFY,
	cryptoki.CKA_WRAP, cryptoki.CKA_UNWRAP, cryptoki.CKA_DERIVE,
}

func keyShowCommand() *cobra.Command {
	var p pins
	var k keyChoice
	cmd := &cobra.Command{
		Use:     "show {HANDLE | --label LABEL | --id ID}",
		Short:   "Show what a key is and what it may be used for",
		Example: "  tidelock key show 12\n  tidelock key show --label signing",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := k.check(args); err != nil {
				return err
			}
			r, err := asRole(cmd, roleCO, roleLCO, roleCU)
			if err != nil {
				return err
			}
			s, err := enter(cmd, r, &p)
			if err != nil {
				return err
			}
			defer s.Close()
			handles, err := k.find(s, args)
			if err != nil {
				return err
			}
			keys := make([][]field, len(handles))
			for i, h := range handles {
				if keys[i], err = describe(s, h); err != nil {
					return fmt.Errorf("object %d: %w", h, s.explained(err))
				}
			}
			return printEach(cmd, keys)
		},
	}
	k.flags(cmd)
	asFlag(cmd, roleCO, roleLCO, roleCU)
	partitionFlag(cmd)
	p.flags(cmd, false)
	return cmd
}

// describe asks for an object's attributes; what it does not have is left out.
func describe(s *session, handle uint64) ([]field, error) {
	var size wire.ObjectSizeReply
	if err := s.do(wire.CallObjectSize, &wire.ObjectSizeRequest{Object: handle}, &size); err != nil {
		return nil, err
	}
	request := wire.GetAttributesRequest{Object: handle}
	for _, a := range shown {
		request.Types = append(request.Types, uint64(a))
	}
	var reply wire.GetAttributesReply
	switch err := s.do(wire.CallGetAttributes, &request, &reply); cryptoki.Code(err) {
	case cryptoki.CKR_OK, cryptoki.CKR_ATTRIBUTE_TYPE_INVALID, cryptoki.CKR_ATTRIBUTE_SENSITIVE:
	default:
		return nil, err
	}
	fields := []field{{"Handle", "handle", handle}, {"Size", "size", size.Size}}
	for i, v := range reply.Values {
		if i == len(shown) {
			break
		}
		if v.Status == wire.ValuePresent {
			name := strings.TrimPrefix(shown[i].String(), "CKA_")
			fields = append(fields, field{title(name), camel(name), attributeValue(shown[i], v.Value)})
		}
	}
	return fields, nil
}

// attributeValue is a value as people and JSON have it.
func attributeValue(a cryptoki.AttributeType, b []byte) any {
	switch a {
	case cryptoki.CKA_LABEL:
		return printable(string(b))
	case cryptoki.CKA_CLASS:
		class, _ := cryptoki.ParseULong(b)
		return className(class)
	case cryptoki.CKA_KEY_TYPE:
		keyType, _ := cryptoki.ParseULong(b)
		return keyTypeName(uint64(cryptoki.CKO_SECRET_KEY), keyType)
	}
	switch a.Kind() {
	case cryptoki.KindBool:
		yes, _ := cryptoki.ParseBool(b)
		return yes
	case cryptoki.KindULong:
		n, _ := cryptoki.ParseULong(b)
		return n
	}
	return hex.EncodeToString(b)
}

// title makes "Never extractable" of NEVER_EXTRACTABLE.
func title(name string) string {
	words := strings.ReplaceAll(strings.ToLower(name), "_", " ")
	return strings.ToUpper(words[:1]) + words[1:]
}

// camel makes "neverExtractable" of NEVER_EXTRACTABLE.
func camel(name string) string {
	words := strings.Split(strings.ToLower(name), "_")
	for i, w := range words[1:] {
		words[i+1] = strings.ToUpper(w[:1]) + w[1:]
	}
	return strings.Join(words, "")
}
