package main

import (
	"bytes"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/mech"
)

// koblitz are the uses of private keys on secp256k1 whose bits differ as much as they can:
// the curve's arithmetic is Tidelock's own.
func koblitz() ([]timing, error) {
	order := []byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xba\xae\xdc\xe6\xaf\x48\xa0\x3b\xbf\xd2\x5e\x8c\xd0\x36\x41\x41")
	base := []byte("\x04\x79\xbe\x66\x7e\xf9\xdc\xbb\xac\x55\xa0\x62\x95\xce\x87\x0b\x07\x02\x9b\xfc\xdb\x2d\xce\x28\xd9\x59\xf2\x81\x5b\x16\xf8\x17\x98" +
		"\x48\x3a\xda\x77\x26\xa3\xc4\x65\x5d\xa4\xfb\xfc\x0e\x11\x08\xa8\xfd\x17\xb4\x48\xa6\x85\x54\x19\x9c\x47\xd0\x8f\xfb\x10\xd4\xb8")
	single := append(make([]byte, 31), 1)
	top := append([]byte{0x80}, make([]byte, 31)...)
	dense := bytes.Repeat([]byte{0xff}, 32)
	dense[15], dense[16] = 0xfe, 0x7f // below the order
	last := bytes.Clone(order)
	last[31]--

	parsing, signing, agreeing := timing{name: "secp256k1 key"}, timing{name: "secp256k1 sign"}, timing{name: "secp256k1 ECDH"}
	agree := cryptoki.NewECDH1(cryptoki.CKM_ECDH1_DERIVE, cryptoki.ECDH1Parameters{KDF: cryptoki.CKD_NULL, PublicData: base})
	entry, _ := mech.Lookup(agree.Type)
	for _, c := range []struct {
		name  string
		value []byte
	}{{"the lowest bit", single}, {"the highest bit", top}, {"nearly all bits", dense}, {"the order less 1", last}} {
		parse := func() (mech.Key, error) {
			return mech.ParseKey(cryptoki.CKO_PRIVATE_KEY, cryptoki.CKK_EC, func(a cryptoki.AttributeType) []byte {
				switch a {
				case cryptoki.CKA_EC_PARAMS:
					return []byte("\x06\x05\x2b\x81\x04\x00\x0a")
				case cryptoki.CKA_VALUE:
					return c.value
				}
				return nil
			})
		}
		key, err := parse()
		if err != nil {
			return nil, err
		}
		parsing.classes = append(parsing.classes, class{c.name, func() {
			if _, err := parse(); err != nil {
				panic(err)
			}
		}})
		signing.classes = append(signing.classes, class{c.name, once(mech.Sign, cryptoki.New(cryptoki.CKM_ECDSA), key, make([]byte, 32), nil)})
		agreeing.classes = append(agreeing.classes, class{c.name, func() {
			if _, err := entry.Derive(&agree, key, 0); err != nil {
				panic(err)
			}
		}})
	}
	return []timing{parsing, signing, agreeing}, nil
}
