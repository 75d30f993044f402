package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/wire"
)

func keyCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "key",
		Short: "The keys of a partition",
		Long: `The commands under key make, show and delete keys as the Crypto Officer of a
partition, or its Limited Crypto Officer; list and show serve the Crypto User too. Keys
stay in the HSM: what is shown is about them.`,
		Example: "  tidelock key generate rsa --size 3072 --label signing --partition payments\n  tidelock key list",
	}, keyListCommand(), keyShowCommand(), keyGenerateCommand(), keyDeleteCommand())
}

// asFlag lets a command choose who logs in.
func asFlag(cmd *cobra.Command, among ...role) {
	cmd.Flags().String("as", among[0].name, "role that logs in")
	// The flag was made in the line above.
	_ = cmd.RegisterFlagCompletionFunc("as", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return roleNames(among...), cobra.ShellCompDirectiveNoFileComp
	})
}

func asRole(cmd *cobra.Command, among ...role) (role, error) {
	name, err := cmd.Flags().GetString("as")
	if err != nil {
		return role{}, err
	}
	return parseRole(name, among...)
}

// keyChoice names one key on a command line: by handle, or by label and id.
type keyChoice struct{ label, id string }

func (k *keyChoice) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&k.label, "label", "", "label of the key, instead of a handle")
	cmd.Flags().StringVar(&k.id, "id", "", "id of the key, in hexadecimal, instead of a handle")
}

// template is what the keys that are meant have.
func (k *keyChoice) template() (cryptoki.Template, error) {
	var t cryptoki.Template
	if k.label != "" {
		t = append(t, cryptoki.Attribute{Type: cryptoki.CKA_LABEL, Value: []byte(k.label)})
	}
	if k.id != "" {
		id, err := parseID(k.id)
		if err != nil {
			return nil, err
		}
		t = append(t, cryptoki.Attribute{Type: cryptoki.CKA_ID, Value: id})
	}
	return t, nil
}

// check refuses a command line that names nothing, or the same thing twice.
func (k *keyChoice) check(args []string) error {
	_, err := k.template()
	switch byName := k.label != "" || k.id != ""; {
	case err != nil:
		return err
	case len(args) == 0 && !byName:
		return wrongUse("say which key: its handle, --label or --id (`tidelock key list` shows them)")
	case len(args) > 0 && byName:
		return wrongUse("a handle names one key: --label and --id are for when it is not known")
	case len(args) > 0:
		_, err := parseHandle(args[0])
		return err
	}
	return nil
}

// maxNamed bounds how many objects one label may stand for on a command line: a
// few, since a key pair is two.
const maxNamed = 100

// find gives the handles of what is meant; none is an error.
func (k *keyChoice) find(s *session, args []string) ([]uint64, error) {
	if len(args) > 0 {
		h, err := parseHandle(args[0])
		return []uint64{h}, err
	}
	t, err := k.template()
	if err != nil {
		return nil, err
	}
	var reply wire.FindReply
	if err := s.do(wire.CallFind, &wire.FindRequest{Template: t, Limit: maxNamed}, &reply); err != nil {
		return nil, fmt.Errorf("finding the key: %w", err)
	}
	switch {
	case len(reply.Objects) == 0:
		return nil, errors.New("no such key: `tidelock key list` shows those that the role may see")
	case reply.More:
		return nil, fmt.Errorf("more than %d objects have this name: use handles", maxNamed)
	}
	return reply.Objects, nil
}

func parseHandle(text string) (uint64, error) {
	h, err := strconv.ParseUint(text, 10, 64)
	if err != nil || h == 0 {
		return 0, wrongUse("%q is no handle: `tidelock key list` shows them, or use --label", text)
	}
	return h, nil
}

func parseID(text string) ([]byte, error) {
	id, err := hex.DecodeString(text)
	if err != nil {
		return nil, wrongUse("--id %s: an id is bytes in hexadecimal, such as 01af", text)
	}
	return id, nil
}

// className names a class for people and in JSON.
func className(class uint64) string {
	switch cryptoki.ObjectClass(class) {
	case cryptoki.CKO_PUBLIC_KEY:
		return "public"
	case cryptoki.CKO_PRIVATE_KEY:
		return "private"
	case cryptoki.CKO_SECRET_KEY:
		return "secret"
	case cryptoki.CKO_CERTIFICATE:
		return "certificate"
	case cryptoki.CKO_DATA:
		return "data"
	}
	return cryptoki.ObjectClass(class).String()
}

// isKey tells whether objects of a class have a key type.
func isKey(class uint64) bool {
	switch cryptoki.ObjectClass(class) {
	case cryptoki.CKO_PUBLIC_KEY, cryptoki.CKO_PRIVATE_KEY, cryptoki.CKO_SECRET_KEY:
		return true
	}
	return false
}

// keyTypeName names a key type, "-" for objects that are no keys.
func keyTypeName(class, keyType uint64) string {
	if !isKey(class) {
		return "-"
	}
	return strings.ToLower(strings.TrimPrefix(cryptoki.KeyType(keyType).String(), "CKK_"))
}
