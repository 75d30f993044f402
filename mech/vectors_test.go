package mech

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

// TestDigestVectors has the examples for FIPS 180-4: the empty message, "abc", and
// a million times "a" in parts.
func TestDigestVectors(t *testing.T) {
	for _, v := range []struct {
		m                   cryptoki.MechanismType
		empty, abc, million string
	}{
		{cryptoki.CKM_SHA_1,
			"da39a3ee5e6b4b0d3255bfef95601890afd80709",
			"a9993e364706816aba3e25717850c26c9cd0d89d",
			"34aa973cd4c4daa4f61eeb2bdbad27316534016f"},
		{cryptoki.CKM_SHA224,
			"d14a028c2a3a2bc9476102bb288234c415a2b01f828ea62ac5b3e42f",
			"23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7",
			"20794655980c91d8bbb4c1ea97618a4bf03f42581948b2ee4ee7ad67"},
		{cryptoki.CKM_SHA256,
			"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
			"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
			"cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
		{cryptoki.CKM_SHA384,
			"38b060a751ac96384cd9327eb1b1e36a21fdb71114be07434c0cc7bf63f6e1da274edebfe76f65fbd51ad2f14898b95b",
			"cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
			"9d0e1809716474cb086e834e310a4a1ced149e9c00f248527972cec5704c2a5b07b8b3dc38ecc4ebae97ddd87f3d8985"},
		{cryptoki.CKM_SHA512,
			"cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
			"ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
			"e718483d0ce769644e2e42c7bc15b4638e1f98b13b2044285632a803afa973ebde0ff244877ea60a4cb0432ce577c31beb009c5c2c49aa2e4eadb217ad8cc09b"},
	} {
		t.Run(v.m.String(), func(t *testing.T) {
			want := func(what string, got []byte, err error, want string) {
				t.Helper()
				if err != nil || !bytes.Equal(got, unhex(t, want)) {
					t.Errorf("%s: %x, %v", what, got, err)
				}
			}
			op := start(t, Digest, cryptoki.New(v.m), nil)
			if op.Rule() != (Rule{RuleFixed, uint64(len(v.abc) / 2)}) {
				t.Errorf("rule %v", op.Rule())
			}
			for range 2 {
				got, err := op.Once([]byte("abc"), nil)
				want("abc", got, err, v.abc)
				got, err = op.Once(nil, nil)
				want("empty", got, err, v.empty)
			}
			got, err := start(t, Digest, cryptoki.New(v.m), nil).Final(nil)
			want("no part", got, err, v.empty)
			for range 1000 {
				if out, err := op.Update(bytes.Repeat([]byte("a"), 1000)); err != nil || len(out) != op.UpdateLength(1000) {
					t.Fatal(out, err)
				}
			}
			for range 2 {
				got, err := op.Final(nil)
				want("million", got, err, v.million)
			}
		})
	}
}

// TestHMACVectors has RFC 4231, 4.2, 4.3 and 4.7.
func TestHMACVectors(t *testing.T) {
	types := []cryptoki.MechanismType{cryptoki.CKM_SHA224_HMAC, cryptoki.CKM_SHA256_HMAC, cryptoki.CKM_SHA384_HMAC, cryptoki.CKM_SHA512_HMAC}
	for _, v := range []struct {
		name      string
		key, data []byte
		macs      [4]string
	}{
		{"4.2", bytes.Repeat([]byte{0x0b}, 20), []byte("Hi There"), [4]string{
			"896fb1128abbdf196832107cd49df33f47b4b1169912ba4f53684b22",
			"b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
			"afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6",
			"87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854",
		}},
		{"4.3", []byte("Jefe"), []byte("what do ya want for nothing?"), [4]string{
			"a30e01098bc6dbbf45690f3a7e9e6d0f8bbea2a39e6148008fd05e44",
			"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
			"af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
			"164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
		}},
		{"4.7", bytes.Repeat([]byte{0xaa}, 131), []byte("Test Using Larger Than Block-Size Key - Hash Key First"), [4]string{
			"95e9a0db962095adaebe9b2d6f0dbce2d499f112f2d2b7273fa6870e",
			"60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
			"4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c60c2ef6ab4030fe8296248df163f44952",
			"80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f3526b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598",
		}},
	} {
		for i, m := range types {
			t.Run(v.name+" "+m.String(), func(t *testing.T) {
				key := secretKeyOf(t, cryptoki.CKK_GENERIC_SECRET, v.key)
				for range 3 { // the second time from the key's pool
					op, err := tryStart(Sign, cryptoki.New(m), key)
					if err != nil {
						t.Fatal(err)
					}
					if got, err := op.Once(v.data, nil); err != nil || !bytes.Equal(got, unhex(t, v.macs[i])) {
						t.Errorf("%x, %v", got, err)
					}
					op.Close()
				}
			})
		}
	}
}

// TestEd25519Vectors has RFC 8032: 7.1 tests 1 to 3, 7.2 "foo", 7.3 "abc".
func TestEd25519Vectors(t *testing.T) {
	for _, v := range []struct {
		name, seed, public, message, sig string
		parameters                       *cryptoki.EdDSAParameters
	}{
		{"1", "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
			"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
			"e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b", nil},
		{"2", "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
			"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
			"92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00", nil},
		{"3", "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
			"fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
			"6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a", nil},
		{"foo", "0305334e381af78f141cb666f6199f57bc3495335a256a95bd2a55bf546663f6",
			"dfc9425e4f968f7f0c29f0259cf5f9aed6851c2bb4ad8bfb860cfee0ab248292", "f726936d19c800494e3fdaff20b276a8",
			"55a4cc2f70a54e04288c5f4cd1e45a7bb520b36292911876cada7323198dd87a8b36950b95130022907a7fb7c4e9b2d5f6cca685a587b4b21f4b888e4e7edb0d",
			&cryptoki.EdDSAParameters{Context: []byte("foo")}},
		{"abc", "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
			"ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf", "616263",
			"98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae4131f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406",
			&cryptoki.EdDSAParameters{Prehash: true}},
	} {
		t.Run(v.name, func(t *testing.T) {
			m := cryptoki.New(cryptoki.CKM_EDDSA)
			if v.parameters != nil {
				m = cryptoki.NewEdDSA(cryptoki.CKM_EDDSA, *v.parameters)
			}
			params := attribute(cryptoki.CKA_EC_PARAMS, oidEd25519)
			private := mustParse(t, cryptoki.CKO_PRIVATE_KEY, cryptoki.CKK_EC_EDWARDS, cryptoki.Template{
				params, attribute(cryptoki.CKA_VALUE, unhex(t, v.seed)), attribute(cryptoki.CKA_EC_POINT, unhex(t, v.public)),
			})
			public := mustParse(t, cryptoki.CKO_PUBLIC_KEY, cryptoki.CKK_EC_EDWARDS, cryptoki.Template{
				params, attribute(cryptoki.CKA_EC_POINT, unhex(t, v.public)),
			})
			message, sig := unhex(t, v.message), unhex(t, v.sig)
			if got := once(t, Sign, m, private, message, nil); !bytes.Equal(got, sig) {
				t.Errorf("%x", got)
			}
			once(t, Verify, m, public, message, sig)
		})
	}
}

// TestECDSAVectors has signatures of RFC 6979, A.2.5 and A.2.6: whatever made them,
// they verify.
func TestECDSAVectors(t *testing.T) {
	const (
		p256 = "04 60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6 7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299"
		p384 = "04 EC3A4E415B4E19A4568618029F427FA5DA9A8BC4AE92E02E06AAE5286B300C64DEF8F0EA9055866064A254515480BC13" +
			"8015D9B72D7D57244EA8EF9AC0C621896708A59367F9DFB9F54CA84B3F1C9DB1288B231C3AE0D4FE7344FD2533264720"
	)
	for _, v := range []struct {
		params []byte
		point  string
		m      cryptoki.MechanismType
		sig    string
	}{
		{oidP256, p256, cryptoki.CKM_ECDSA_SHA256, "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716 F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8"},
		{oidP384, p384, cryptoki.CKM_ECDSA_SHA384, "94EDBB92A5ECB8AAD4736E56C691916B3F88140666CE9FA73D64C4EA95AD133C81A648152E44ACF96E36DD1E80FABE46" +
			"99EF4AEB15F178CEA1FE40DB2603138F130E740A19624526203B6351D0A3A94FA329C145786E679E7B82C71A38628AC8"},
	} {
		t.Run(v.m.String(), func(t *testing.T) {
			key := mustParse(t, cryptoki.CKO_PUBLIC_KEY, cryptoki.CKK_EC, cryptoki.Template{
				attribute(cryptoki.CKA_EC_PARAMS, v.params), attribute(cryptoki.CKA_EC_POINT, unhex(t, v.point)),
			})
			once(t, Verify, cryptoki.New(v.m), key, []byte("sample"), unhex(t, v.sig))
			_, err := start(t, Verify, cryptoki.New(v.m), key).Once([]byte("simple"), unhex(t, v.sig))
			wantCode(t, err, cryptoki.CKR_SIGNATURE_INVALID)
		})
	}
}

// TestGCMVectors has test cases 4, 5, 6 and 16 of McGrew and Viega, "The
// Galois/Counter Mode of Operation", appendix B, also with their tags shortened
// (SP 800-38D, 7.1: the tag is the leftmost bits).
func TestGCMVectors(t *testing.T) {
	const (
		plaintext = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
		aad       = "feedfacedeadbeeffeedfacedeadbeefabaddad2"
		key128    = "feffe9928665731c6d6a8f9467308308"
		longIV    = "9313225df88406e555909c5aff5269aa6a7a9538534f7da1e4c303d2a318a728c3c0c95156809539fcf0e2429a6b525416aedbf5a0de6a57a637b39b"
	)
	for _, v := range []struct{ name, key, iv, ciphertext, tag string }{
		{"4", key128, "cafebabefacedbaddecaf888",
			"42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091",
			"5bc94fbc3221a5db94fae95ae7121a47"},
		{"5", key128, "cafebabefacedbad",
			"61353b4c2806934a777ff51fa22a4755699b2a714fcdc6f83766e5f97b6c742373806900e49f24b22b097544d4896b424989b5e1ebac0f07c23f4598",
			"3612d2e79e3b0785561be14aaca2fccb"},
		{"6", key128, longIV,
			"8ce24998625615b603a033aca13fb894be9112a5c3a211a8ba262a3cca7e2ca701e4a9a4fba43c90ccdcb281d48c7c6fd62875d2aca417034c34aee5",
			"619cc5aefffe0bfa462af43c1699d050"},
		{"16", key128 + key128, "cafebabefacedbaddecaf888",
			"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
			"76fc6ece0f4e1768cddf8853bb2d551b"},
	} {
		for _, bits := range []uint64{96, 104, 112, 120, 128} {
			t.Run(v.name, func(t *testing.T) {
				key := secretKeyOf(t, cryptoki.CKK_AES, unhex(t, v.key))
				m := cryptoki.NewGCM(cryptoki.CKM_AES_GCM, cryptoki.GCMParameters{IV: unhex(t, v.iv), AAD: unhex(t, aad), TagBits: bits})
				want := unhex(t, v.ciphertext+v.tag[:bits/4])
				if got := once(t, Encrypt, m, key, unhex(t, plaintext), nil); !bytes.Equal(got, want) {
					t.Errorf("%x", got)
				}
				if got := once(t, Decrypt, m, key, want, nil); !bytes.Equal(got, unhex(t, plaintext)) {
					t.Errorf("%x", got)
				}
			})
		}
	}
}

// TestCBCVectors has SP 800-38A, F.2.1, F.2.3 and F.2.5. The vectors have no
// padding, so a further block follows theirs.
func TestCBCVectors(t *testing.T) {
	plaintext := unhex(t, "6bc1bee22e409f96e93d7e117393172a ae2d8a571e03ac9c9eb76fac45af8e51 30c81c46a35ce411e5fbc1191a0a52ef f69f2445df4f9b17ad2b417be66c3710")
	m := cryptoki.NewBytes(cryptoki.CKM_AES_CBC_PAD, unhex(t, "000102030405060708090a0b0c0d0e0f"))
	for _, v := range []struct{ key, ciphertext string }{
		{"2b7e151628aed2a6abf7158809cf4f3c",
			"7649abac8119b246cee98e9b12e9197d 5086cb9b507219ee95db113a917678b2 73bed6b8e3c1743b7116e69e22229516 3ff1caa1681fac09120eca307586e1a7"},
		{"8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
			"4f021db243bc633d7178183a9fa071e8 b4d9ada9ad7dedf4e5e738763f69145a 571b242012fb7ae07fa9baac3df102e0 08b0e27988598881d920a9e64f5615cd"},
		{"603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
			"f58c4c04d6e5f1ba779eabfb5f7bfbd6 9cfc4e967edb808d679f777bc6702c7d 39f23369a9d9bacfa530e26304231461 b2eb05e2c39be9fcda6c19078c6a9d1b"},
	} {
		key := secretKeyOf(t, cryptoki.CKK_AES, unhex(t, v.key))
		got := once(t, Encrypt, m, key, plaintext, nil)
		if len(got) != 80 || !bytes.Equal(got[:64], unhex(t, strings.ReplaceAll(v.ciphertext, " ", ""))) {
			t.Errorf("%x", got)
		}
		if back := once(t, Decrypt, m, key, slices.Clone(got), nil); !bytes.Equal(back, plaintext) {
			t.Errorf("%x", back)
		}
	}
}
