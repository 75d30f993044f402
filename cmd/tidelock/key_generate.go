package main

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/wire"
)

// kind is a kind of key that key generate makes.
type kind struct {
	name      string
	mechanism cryptoki.MechanismType
	sizes     []string // the first is the default; none where there is one size
	// particular are the attributes that a size stands for: of the secret key, or of the
	// public key of a pair.
	particular func(size string) cryptoki.Template
	pair       bool
	uses       []use // the first is the default
}

// use is one purpose of a key; keys of several are weaker than they look (NIST
// SP 800-57).
type use struct {
	name string
	// public is what the public key may do, private what the private key; a secret key does
	// both.
	public, private cryptoki.AttributeType
}

var (
	useSign    = use{"sign", cryptoki.CKA_VERIFY, cryptoki.CKA_SIGN}
	useEncrypt = use{"encrypt", cryptoki.CKA_ENCRYPT, cryptoki.CKA_DECRYPT}
	useWrap    = use{"wrap", cryptoki.CKA_WRAP, cryptoki.CKA_UNWRAP}
)

// Object identifiers of curves, in DER.
var (
	oidP256      = []byte{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}
	oidP384      = []byte{0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22}
	oidP521      = []byte{0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23}
	oidSecp256k1 = []byte{0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a}
	oidEd25519   = []byte{0x06, 0x03, 0x2b, 0x65, 0x70}
)

var kinds = []kind{
	{
		name: "aes", mechanism: cryptoki.CKM_AES_KEY_GEN, sizes: []string{"256", "192", "128"},
		particular: func(size string) cryptoki.Template {
			return cryptoki.Template{{Type: cryptoki.CKA_VALUE_LEN, Value: cryptoki.ULong(number(size) / 8)}}
		},
		uses: []use{useEncrypt, useWrap},
	},
	{
		name: "rsa", mechanism: cryptoki.CKM_RSA_PKCS_KEY_PAIR_GEN, sizes: []string{"3072", "2048", "4096"}, pair: true,
		particular: func(size string) cryptoki.Template {
			return cryptoki.Template{
				{Type: cryptoki.CKA_MODULUS_BITS, Value: cryptoki.ULong(number(size))},
				{Type: cryptoki.CKA_PUBLIC_EXPONENT, Value: []byte{1, 0, 1}},
			}
		},
		uses: []use{useSign, useEncrypt, useWrap},
	},
	{
		name: "ec", mechanism: cryptoki.CKM_EC_KEY_PAIR_GEN, sizes: []string{"p256", "p384", "p521", "secp256k1"}, pair: true,
		particular: func(size string) cryptoki.Template {
			curve := map[string][]byte{"p256": oidP256, "p384": oidP384, "p521": oidP521, "secp256k1": oidSecp256k1}[size]
			return cryptoki.Template{{Type: cryptoki.CKA_EC_PARAMS, Value: curve}}
		},
		uses: []use{useSign},
	},
	{
		name: "ed25519", mechanism: cryptoki.CKM_EC_EDWARDS_KEY_PAIR_GEN, pair: true,
		particular: func(string) cryptoki.Template {
			return cryptoki.Template{{Type: cryptoki.CKA_EC_PARAMS, Value: oidEd25519}}
		},
		uses: []use{useSign},
	},
}

// number reads one of the sizes above.
func number(size string) uint64 {
	n, _ := strconv.ParseUint(size, 10, 32)
	return n
}

// chooseKind finds a kind and its size on the command line.
func chooseKind(name, size string) (kind, string, error) {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.name
		switch {
		case k.name != name:
			continue
		case size == "" && len(k.sizes) > 0:
			return k, k.sizes[0], nil
		case size == "" || slices.Contains(k.sizes, size):
			return k, size, nil
		case len(k.sizes) == 0:
			return kind{}, "", wrongUse("--size %s: %s keys have one size", size, name)
		}
		return kind{}, "", wrongUse("--size %s: %s keys are of %s", size, name, strings.Join(k.sizes, ", "))
	}
	return kind{}, "", wrongUse("%q is no kind of key: it is one of %s", name, strings.Join(names, ", "))
}

// chooseUse finds a use of a kind on the command line.
func (k kind) chooseUse(name string) (use, error) {
	if name == "" {
		return k.uses[0], nil
	}
	names := make([]string, len(k.uses))
	for i, u := range k.uses {
		if names[i] = u.name; u.name == name {
			return u, nil
		}
	}
	return use{}, wrongUse("--use %s: a key of kind %s is for %s", name, k.name, strings.Join(names, ", "))
}

// newKey is what the command line says of a key to be made.
type newKey struct {
	size, use, label, id string
	extractable          bool
}

func keyGenerateCommand() *cobra.Command {
	var n newKey
	var p pins
	cmd := &cobra.Command{
		Use:   "generate {aes|rsa|ec|ed25519}",
		Short: "Make a key or a key pair in the HSM",
		Long: `generate makes a key that stays in the partition, as the Crypto Officer. Sizes: aes
256 (default), 192, 128; rsa 3072 (default), 2048, 4096; ec p256 (default), p384, p521,
secp256k1. It is for one purpose: aes for encrypt (default) or wrap; rsa for sign
(default), encrypt or wrap; ec and ed25519 for sign. The key is sensitive, and not
extractable unless --extractable says so, which cannot be said afterwards.`,
		Example: `  tidelock key generate ec --size p384 --label tls-2026
  tidelock key generate aes --label backup --id 01 --partition payments --pin-file co.pin`,
		Args: cobra.ExactArgs(1),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return []string{"aes", "rsa", "ec", "ed25519"}, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			k, size, err := chooseKind(args[0], n.size)
			if err != nil {
				return err
			}
			u, err := k.chooseUse(n.use)
			if err != nil {
				return err
			}
			n.size = size
			public, private, err := n.templates(k, u)
			if err != nil {
				return err
			}
			r, err := asRole(cmd, roleCO, roleLCO)
			if err != nil {
				return err
			}
			s, err := enter(cmd, r, &p)
			if err != nil {
				return err
			}
			defer s.Close()
			made, err := generate(s, k, public, private)
			if err != nil {
				return fmt.Errorf("making the key: %w", s.explained(err))
			}
			return printFields(cmd, append(made, field{"Label", "label", n.label}, field{"Partition", "partition", s.partition.label}))
		},
	}
	f := cmd.Flags()
	f.StringVar(&n.size, "size", "", "size in bits, or the curve")
	f.StringVar(&n.use, "use", "", "what the key is for: sign, encrypt or wrap")
	f.StringVar(&n.label, "label", "", "label of the key")
	f.StringVar(&n.id, "id", "", "id of the key, in hexadecimal")
	f.BoolVar(&n.extractable, "extractable", false, "let the key leave the HSM wrapped under another key")
	asFlag(cmd, roleCO, roleLCO)
	partitionFlag(cmd)
	p.flags(cmd, false)
	return cmd
}

// templates are what a key of kind k is asked for with: of the secret key alone, or of
// the public and the private key.
func (n *newKey) templates(k kind, u use) (public, private cryptoki.Template, err error) {
	yes := cryptoki.Bool(true)
	common := cryptoki.Template{{Type: cryptoki.CKA_TOKEN, Value: yes}}
	if n.label != "" {
		common = append(common, cryptoki.Attribute{Type: cryptoki.CKA_LABEL, Value: []byte(n.label)})
	}
	if n.id != "" {
		id, err := parseID(n.id)
		if err != nil {
			return nil, nil, err
		}
		common = append(common, cryptoki.Attribute{Type: cryptoki.CKA_ID, Value: id})
	}
	guarded := append(slices.Clone(common),
		cryptoki.Attribute{Type: cryptoki.CKA_PRIVATE, Value: yes},
		cryptoki.Attribute{Type: cryptoki.CKA_SENSITIVE, Value: yes},
		cryptoki.Attribute{Type: cryptoki.CKA_EXTRACTABLE, Value: cryptoki.Bool(n.extractable)},
	)
	public = append(slices.Clone(common), cryptoki.Attribute{Type: cryptoki.CKA_PRIVATE, Value: cryptoki.Bool(false)})
	private = append(guarded, cryptoki.Attribute{Type: u.private, Value: yes})
	if !k.pair {
		public, private = private, nil
	}
	public = append(public, cryptoki.Attribute{Type: u.public, Value: yes})
	return append(public, k.particular(n.size)...), private, nil
}

// generate makes the key and shows its handles.
func generate(s *session, k kind, public, private cryptoki.Template) ([]field, error) {
	var token wire.ID // names the attempt, for a client that repeats it
	rand.Read(token[:])
	if !k.pair {
		var reply wire.GenerateKeyReply
		request := wire.GenerateKeyRequest{Token: token, Mechanism: cryptoki.New(k.mechanism), Template: public}
		if err := s.do(wire.CallGenerateKey, &request, &reply); err != nil {
			return nil, err
		}
		return []field{{"Key", "handle", reply.Object}}, nil
	}
	var reply wire.GenerateKeyPairReply
	request := wire.GenerateKeyPairRequest{Token: token, Mechanism: cryptoki.New(k.mechanism), PublicTemplate: public, PrivateTemplate: private}
	if err := s.do(wire.CallGenerateKeyPair, &request, &reply); err != nil {
		return nil, err
	}
	return []field{{"Private key", "privateHandle", reply.PrivateKey}, {"Public key", "publicHandle", reply.PublicKey}}, nil
}
