package mech

import (
	"bytes"
	"crypto"
	"slices"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

// TestDigestVectors has the examples for FIPS 180-4 and FIPS 202: the empty message, "abc", and
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
		{cryptoki.CKM_SHA512_224,
			"6ed0dd02806fa89e25de060c19d3ac86cabb87d6a0ddd05c333b84f4",
			"4634270f707b6a54daae7530460842e20e37ed265ceee9a43e8924aa",
			"37ab331d76f0d36de422bd0edeb22a28accd487b7a8453ae965dd287"},
		{cryptoki.CKM_SHA512_256,
			"c672b8d1ef56ed28ab87c3622c5114069bdd3ad7b8f9737498d0c01ecef0967a",
			"53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23",
			"9a59a052930187a97038cae692f30708aa6491923ef5194394dc68d56c74fb21"},
		{cryptoki.CKM_SHA3_224,
			"6b4e03423667dbb73b6e15454f0eb1abd4597f9a1b078e3f5b5a6bc7",
			"e642824c3f8cf24ad09234ee7d3c766fc9a3a5168d0c94ad73b46fdf",
			"d69335b93325192e516a912e6d19a15cb51c6ed5c15243e7a7fd653c"},
		{cryptoki.CKM_SHA3_256,
			"a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a",
			"3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532",
			"5c8875ae474a3634ba4fd55ec85bffd661f32aca75c6d699d0cdcb6c115891c1"},
		{cryptoki.CKM_SHA3_384,
			"0c63a75b845e4f7d01107d852e4c2485c51a50aaaa94fc61995e71bbee983a2ac3713831264adb47fb6bd1e058d5f004",
			"ec01498288516fc926459f58e2c6ad8df9b473cb0fc08c2596da7cf0e49be4b298d88cea927ac7f539f1edf228376d25",
			"eee9e24d78c1855337983451df97c8ad9eedf256c6334f8e948d252d5e0e76847aa0774ddb90a842190d2c558b4b8340"},
		{cryptoki.CKM_SHA3_512,
			"a69f73cca23a9ac5c8b567dc185a756e97c982164fe25859e0d1dcc1475c80a615b2123af1f5f94c11e3e9402c3ac558f500199d95b6d3e301758586281dcd26",
			"b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e10e116e9192af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0",
			"3c3a876da14034ab60627c077bb98f7e120a2a5370212dffb3385a18d4f38859ed311d0a9d5141ce9cc5c66ee689b266a8aa18ace8282a0e0db596c90b0a7b87"},
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

// TestHMACVectors has RFC 4231, 4.2, 4.3 and 4.7 (for SHA-1 RFC 2202, 2 and 3), and the
// same keys and data with the other hash functions, whose MACs are Python's. The order
// is that of hmacFunctions.
func TestHMACVectors(t *testing.T) {
	for _, v := range []struct {
		name      string
		key, data []byte
		macs      []string
	}{
		{"4.2", bytes.Repeat([]byte{0x0b}, 20), []byte("Hi There"), []string{
			"b617318655057264e28bc0b6fb378c8ef146be00",
			"896fb1128abbdf196832107cd49df33f47b4b1169912ba4f53684b22",
			"b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
			"afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6",
			"87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854",
			"b244ba01307c0e7a8ccaad13b1067a4cf6b961fe0c6a20bda3d92039",
			"9f9126c3d9c3c330d760425ca8a217e31feae31bfe70196ff81642b868402eab",
			"3b16546bbc7be2706a031dcafd56373d9884367641d8c59af3c860f7",
			"ba85192310dffa96e2a3a40e69774351140bb7185e1202cdcc917589f95e16bb",
			"68d2dcf7fd4ddd0a2240c8a437305f61fb7334cfb5d0226e1bc27dc10a2e723a20d370b47743130e26ac7e3d532886bd",
			"eb3fbd4b2eaab8f5c504bd3a41465aacec15770a7cabac531e482f860b5ec7ba47ccb2c6f2afce8f88d22b6dc61380f23a668fd3888bb80537c0a0b86407689e",
		}},
		{"4.3", []byte("Jefe"), []byte("what do ya want for nothing?"), []string{
			"effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
			"a30e01098bc6dbbf45690f3a7e9e6d0f8bbea2a39e6148008fd05e44",
			"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
			"af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
			"164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
			"4a530b31a79ebcce36916546317c45f247d83241dfb818fd37254bde",
			"6df7b24630d5ccb2ee335407081a87188c221489768fa2020513b2d593359456",
			"7fdb8dd88bd2f60d1b798634ad386811c2cfc85bfaf5d52bbace5e66",
			"c7d4072e788877ae3596bbb0da73b887c9171f93095b294ae857fbe2645e1ba5",
			"f1101f8cbf9766fd6764d2ed61903f21ca9b18f57cf3e1a23ca13508a93243ce48c045dc007f26a21b3f5e0e9df4c20a",
			"5a4bfeab6166427c7a3647b747292b8384537cdb89afb3bf5665e4c5e709350b287baec921fd7ca0ee7a0c31d022a95e1fc92ba9d77df883960275beb4e62024",
		}},
		{"4.7", bytes.Repeat([]byte{0xaa}, 131), []byte("Test Using Larger Than Block-Size Key - Hash Key First"), []string{
			"90d0dace1c1bdc957339307803160335bde6df2b",
			"95e9a0db962095adaebe9b2d6f0dbce2d499f112f2d2b7273fa6870e",
			"60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
			"4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c60c2ef6ab4030fe8296248df163f44952",
			"80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f3526b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598",
			"29bef8ce88b54d4226c3c7718ea9e32ace2429026f089e38cea9aeda",
			"87123c45f7c537a404f8f47cdbedda1fc9bec60eeb971982ce7ef10e774e6539",
			"b4a1f04c00287a9b7f6075b313d279b833bc8f75124352d05fb9995f",
			"ed73a374b96c005235f948032f09674a58c0ce555cfc1f223b02356560312c3b",
			"0fc19513bf6bd878037016706a0e57bc528139836b9a42c3d419e498e0e1fb9616fd669138d33a1105e07c72b6953bcc",
			"00f751a9e50695b090ed6911a4b65524951cdc15a73a5d58bb55215ea2cd839ac79d2b44a39bafab27e83fde9e11f6340b11d991b1b91bf2eee7fc872426c3a4",
		}},
	} {
		for i, h := range hmacFunctions {
			t.Run(v.name+" "+h.whole.String(), func(t *testing.T) {
				want := unhex(t, v.macs[i])
				for _, c := range []struct {
					m    cryptoki.Mechanism
					want []byte
				}{{cryptoki.New(h.whole), want}, {cryptoki.NewULong(h.general, 5), want[:5]}, {cryptoki.NewULong(h.general, uint64(len(want))), want}} {
					key := secretKeyOf(t, cryptoki.CKK_GENERIC_SECRET, v.key)
					for range 3 { // the second time from the key's pool
						op, err := tryStart(Sign, c.m, key)
						if err != nil {
							t.Fatal(err)
						}
						if got, err := op.Once(v.data, nil); err != nil || !bytes.Equal(got, c.want) {
							t.Errorf("%x, %v", got, err)
						}
						op.Close()
					}
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

// TestECDSAVectors has signatures of RFC 6979, A.2.5 to A.2.7: whatever made them,
// they verify.
func TestECDSAVectors(t *testing.T) {
	const (
		p256 = "04 60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6 7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299"
		p384 = "04 EC3A4E415B4E19A4568618029F427FA5DA9A8BC4AE92E02E06AAE5286B300C64DEF8F0EA9055866064A254515480BC13" +
			"8015D9B72D7D57244EA8EF9AC0C621896708A59367F9DFB9F54CA84B3F1C9DB1288B231C3AE0D4FE7344FD2533264720"
		p521 = "04 01894550D0785932E00EAA23B694F213F8C3121F86DC97A04E5A7167DB4E5BCD371123D46E45DB6B5D5370A7F20FB633155D38FFA16D2BD761DCAC474B9A2F5023A4" +
			"00493101C962CD4D2FDDF782285E64584139C2F91B47F87FF82354D6630F746A28A0DB25741B5B34A828008B22ACC23F924FAAFBD4D33F81EA66956DFEAA2BFDFCF5"
	)
	for _, v := range []struct {
		params []byte
		point  string
		m      cryptoki.MechanismType
		sig    string
	}{
		{oidP256, p256, cryptoki.CKM_ECDSA_SHA256, "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716 F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8"},
		{oidP256, p256, cryptoki.CKM_ECDSA_SHA1, "61340C88C3AAEBEB4F6D667F672CA9759A6CCAA9FA8811313039EE4A35471D32 6D7F147DAC089441BB2E2FE8F7A3FA264B9C475098FDCF6E00D7C996E1B8B7EB"},
		{oidP521, p521, cryptoki.CKM_ECDSA_SHA512, "00C328FAFCBD79DD77850370C46325D987CB525569FB63C5D3BC53950E6D4C5F174E25A1EE9017B5D450606ADD152B534931D7D4E8455CC91F9B15BF05EC36E377FA" +
			"00617CCE7CF5064806C467F678D3B4080D6F1CC50AF26CA209417308281B68AF282623EAA63E5B5C0723D8B8C37FF0777B1A20F8CCB1DCCC43997F1EE0E44DA4A67A"},
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

// TestECDSAHashes compares the mechanisms with a hash with CKM_ECDSA over its digest.
func TestECDSAHashes(t *testing.T) {
	key := p521Pair().pair(t, cryptoki.CKK_EC)
	data := []byte("data")
	for m, hash := range map[cryptoki.MechanismType]crypto.Hash{
		cryptoki.CKM_ECDSA_SHA1: crypto.SHA1, cryptoki.CKM_ECDSA_SHA224: crypto.SHA224, cryptoki.CKM_ECDSA_SHA256: crypto.SHA256,
		cryptoki.CKM_ECDSA_SHA384: crypto.SHA384, cryptoki.CKM_ECDSA_SHA512: crypto.SHA512,
		cryptoki.CKM_ECDSA_SHA3_224: crypto.SHA3_224, cryptoki.CKM_ECDSA_SHA3_256: crypto.SHA3_256,
		cryptoki.CKM_ECDSA_SHA3_384: crypto.SHA3_384, cryptoki.CKM_ECDSA_SHA3_512: crypto.SHA3_512,
	} {
		h := hash.New()
		h.Write(data)
		once(t, Verify, cryptoki.New(cryptoki.CKM_ECDSA), key.public, h.Sum(nil), once(t, Sign, cryptoki.New(m), key.private, data, nil))
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

// TestAESVectors has the AES modes of SP 800-38A, F.1, F.2 and F.5. The vectors of CBC have
// no padding, so with CKM_AES_CBC_PAD a further block follows theirs.
func TestAESVectors(t *testing.T) {
	plaintext := unhex(t, "6bc1bee22e409f96e93d7e117393172a ae2d8a571e03ac9c9eb76fac45af8e51 30c81c46a35ce411e5fbc1191a0a52ef f69f2445df4f9b17ad2b417be66c3710")
	iv := unhex(t, "000102030405060708090a0b0c0d0e0f")
	counter := unhex(t, "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
	for _, v := range []struct{ key, ecb, cbc, ctr string }{
		{"2b7e151628aed2a6abf7158809cf4f3c",
			"3ad77bb40d7a3660a89ecaf32466ef97 f5d3d58503b9699de785895a96fdbaaf 43b1cd7f598ece23881b00e3ed030688 7b0c785e27e8ad3f8223207104725dd4",
			"7649abac8119b246cee98e9b12e9197d 5086cb9b507219ee95db113a917678b2 73bed6b8e3c1743b7116e69e22229516 3ff1caa1681fac09120eca307586e1a7",
			"874d6191b620e3261bef6864990db6ce 9806f66b7970fdff8617187bb9fffdff 5ae4df3edbd5d35e5b4f09020db03eab 1e031dda2fbe03d1792170a0f3009cee"},
		{"8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
			"bd334f1d6e45f25ff712a214571fa5cc 974104846d0ad3ad7734ecb3ecee4eef ef7afd2270e2e60adce0ba2face6444e 9a4b41ba738d6c72fb16691603c18e0e",
			"4f021db243bc633d7178183a9fa071e8 b4d9ada9ad7dedf4e5e738763f69145a 571b242012fb7ae07fa9baac3df102e0 08b0e27988598881d920a9e64f5615cd",
			"1abc932417521ca24f2b0459fe7e6e0b 090339ec0aa6faefd5ccc2c6f4ce8e94 1e36b26bd1ebc670d1bd1d665620abf7 4f78a7f6d29809585a97daec58c6b050"},
		{"603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
			"f3eed1bdb5d2a03c064b5a7e3db181f8 591ccb10d410ed26dc5ba74a31362870 b6ed21b99ca6f4f9f153e7b1beafed1d 23304b7a39f9f3ff067d8d8f9e24ecc7",
			"f58c4c04d6e5f1ba779eabfb5f7bfbd6 9cfc4e967edb808d679f777bc6702c7d 39f23369a9d9bacfa530e26304231461 b2eb05e2c39be9fcda6c19078c6a9d1b",
			"601ec313775789a5b7a7f504bbf3d228 f443e3ca4d62b59aca84e990cacaf5c5 2b0930daa23de94ce87017ba2d84988d dfc9c58db67aada613c2dd08457941a6"},
	} {
		key := secretKeyOf(t, cryptoki.CKK_AES, unhex(t, v.key))
		for _, c := range []struct {
			m    cryptoki.Mechanism
			want string
			n    int // bytes of ciphertext
		}{
			{counterMode(128, counter), v.ctr, 64},
			{cryptoki.New(cryptoki.CKM_AES_ECB), v.ecb, 64},
			{cryptoki.NewBytes(cryptoki.CKM_AES_CBC, iv), v.cbc, 64},
			{cryptoki.NewBytes(cryptoki.CKM_AES_CBC_PAD, iv), v.cbc, 80},
		} {
			got := once(t, Encrypt, c.m, key, plaintext, nil)
			if len(got) != c.n || !bytes.Equal(got[:64], unhex(t, c.want)) {
				t.Errorf("%v: %x", c.m.Type, got)
			}
			if back := once(t, Decrypt, c.m, key, slices.Clone(got), nil); !bytes.Equal(back, plaintext) {
				t.Errorf("%v: %x", c.m.Type, back)
			}
		}
	}
}

// TestCMACVectors has the examples of SP 800-38B: nothing, one block, two and a half,
// four.
func TestCMACVectors(t *testing.T) {
	message := unhex(t, "6bc1bee22e409f96e93d7e117393172a ae2d8a571e03ac9c9eb76fac45af8e51 30c81c46a35ce411e5fbc1191a0a52ef f69f2445df4f9b17ad2b417be66c3710")
	for _, v := range []struct {
		key  string
		macs [4]string
	}{
		{"2b7e151628aed2a6abf7158809cf4f3c", [4]string{
			"bb1d6929e95937287fa37d129b756746", "070a16b46b4d4144f79bdd9dd04a287c", "dfa66747de9ae63030ca32611497c827", "51f0bebf7e3b9d92fc49741779363cfe",
		}},
		{"8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b", [4]string{
			"d17ddf46adaacde531cac483de7a9367", "9e99a7bf31e710900662f65e617c5184", "8a1de5be2eb31aad089a82e6ee908b0e", "a1d5df0eed790f794d77589659f39a11",
		}},
		{"603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4", [4]string{
			"028962f61b7bf89efc6b551f4667d983", "28a7023f452e8f82bd4bf28d8c37c35c", "aaf3d8f1de5640c232f5b169b9c911e6", "e1992190549f6ed5696a2c056c315410",
		}},
	} {
		key := secretKeyOf(t, cryptoki.CKK_AES, unhex(t, v.key))
		for i, n := range []int{0, 16, 40, 64} {
			want := unhex(t, v.macs[i])
			if got := once(t, Sign, cryptoki.New(cryptoki.CKM_AES_CMAC), key, message[:n], nil); !bytes.Equal(got, want) {
				t.Errorf("%d bytes: %x", n, got)
			}
			if got := once(t, Sign, cryptoki.NewULong(cryptoki.CKM_AES_CMAC_GENERAL, 6), key, message[:n], nil); !bytes.Equal(got, want[:6]) {
				t.Errorf("%d bytes, cut: %x", n, got)
			}
			for split := range n + 1 {
				op := start(t, Sign, cryptoki.New(cryptoki.CKM_AES_CMAC), key)
				for _, part := range [][]byte{message[:split], message[split:n]} {
					if _, err := op.Update(part); err != nil {
						t.Fatal(err)
					}
				}
				if got, err := op.Final(nil); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%d bytes, %d first: %x, %v", n, split, got, err)
				}
			}
		}
	}
}

// TestKeyWrapVectors has RFC 3394, 4.1 to 4.6, and RFC 5649, 6.
func TestKeyWrapVectors(t *testing.T) {
	const (
		kw, kwp = cryptoki.CKM_AES_KEY_WRAP, cryptoki.CKM_AES_KEY_WRAP_KWP
		kek     = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
		data    = "00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f"
		kek5649 = "5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8"
	)
	for _, v := range []struct {
		m                  cryptoki.MechanismType
		key, data, wrapped string
	}{
		{kw, kek[:32], data[:32], "1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5"},
		{kw, kek[:48], data[:32], "96778b25ae6ca435f92b5b97c050aed2468ab8a17ad84e5d"},
		{kw, kek, data[:32], "64e8c3f9ce0f5ba263e9777905818a2a93c8191e7d6e8ae7"},
		{kw, kek[:48], data[:48], "031d33264e15d33268f24ec260743edce1c6c7ddee725a936ba814915c6762d2"},
		{kw, kek, data[:48], "a8f9bc1612c68b3ff6e6f4fbe30e71e4769c8b80a32cb8958cd5d17d6b254da1"},
		{kw, kek, data, "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21"},
		{kwp, kek5649, "c37b7e6492584340bed12207808941155068f738", "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a"},
		{kwp, kek5649, "466f7250617369", "afbeb0f07dfbf5419200f2ccb50bb24f"},
	} {
		key := secretKeyOf(t, cryptoki.CKK_AES, unhex(t, v.key))
		m := cryptoki.New(v.m)
		entry, _ := Lookup(v.m)
		if got, err := entry.Wrap(&m, key, unhex(t, v.data)); err != nil || !bytes.Equal(got, unhex(t, v.wrapped)) {
			t.Errorf("%v: %x, %v", v.m, got, err)
		}
		if got, err := entry.Unwrap(&m, key, unhex(t, v.wrapped)); err != nil || !bytes.Equal(got, unhex(t, v.data)) {
			t.Errorf("%v: %x, %v", v.m, got, err)
		}
	}
}
