package secp256k1

import "crypto/subtle"

// The curve is y² = x³ + 7 over the integers modulo prime; its points form a group of
// prime order (SEC 2, 2.4.1).
const (
	prime = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xfc\x2f"
	order = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xba\xae\xdc\xe6\xaf\x48\xa0\x3b\xbf\xd2\x5e\x8c\xd0\x36\x41\x41"

	baseX = "\x79\xbe\x66\x7e\xf9\xdc\xbb\xac\x55\xa0\x62\x95\xce\x87\x0b\x07\x02\x9b\xfc\xdb\x2d\xce\x28\xd9\x59\xf2\x81\x5b\x16\xf8\x17\x98"
	baseY = "\x48\x3a\xda\x77\x26\xa3\xc4\x65\x5d\xa4\xfb\xfc\x0e\x11\x08\xa8\xfd\x17\xb4\x48\xa6\x85\x54\x19\x9c\x47\xd0\x8f\xfb\x10\xd4\xb8"
)

var (
	field   = newRing(prime)
	scalars = newRing(order)

	one    = number{1}
	seven  = number{7}
	thrice = number{21} // three times the 7 of the curve
)

// point is (x/z, y/z), or with z = 0 the point at infinity, which is (0, 1, 0).
type point struct{ x, y, z number }

var infinity = point{y: one}

// add gives p + q for any two points of the curve, equal ones and infinity among them:
// Renes, Costello and Batina, "Complete addition formulas for prime order elliptic
// curves" (2015), algorithm 7. There is no case to tell apart, and so none to leak.
func (p *point) add(q *point) (sum point) {
	xx := field.multiply(p.x, q.x)
	yy := field.multiply(p.y, q.y)
	zz := field.multiply(p.z, q.z)
	xy := cross(p.x, p.y, q.x, q.y, xx, yy)
	yz := cross(p.y, p.z, q.y, q.z, yy, zz)
	xz := cross(p.x, p.z, q.x, q.z, xx, zz)

	xx3 := field.add(field.add(xx, xx), xx)
	bzz3 := field.multiply(thrice, zz)
	bxz3 := field.multiply(thrice, xz)
	over, under := field.add(yy, bzz3), field.subtract(yy, bzz3)

	sum.x = field.subtract(field.multiply(xy, under), field.multiply(yz, bxz3))
	sum.y = field.add(field.multiply(over, under), field.multiply(xx3, bxz3))
	sum.z = field.add(field.multiply(yz, over), field.multiply(xy, xx3))
	return sum
}

// cross is a·d + b·c, of which ac and bd are known.
func cross(a, b, c, d, ac, bd number) number {
	all := field.multiply(field.add(a, b), field.add(c, d))
	return field.subtract(all, field.add(ac, bd))
}

// double gives p + p: algorithm 9 of the same.
func (p *point) double() (sum point) {
	yy := field.multiply(p.y, p.y)
	bzz3 := field.multiply(thrice, field.multiply(p.z, p.z))
	yy2 := field.add(yy, yy)
	yy4 := field.add(yy2, yy2)
	yy8 := field.add(yy4, yy4)
	over := field.add(yy, bzz3)
	under := field.subtract(yy, field.add(field.add(bzz3, bzz3), bzz3))
	half := field.multiply(under, field.multiply(p.x, p.y))

	sum.x = field.add(half, half)
	sum.y = field.add(field.multiply(bzz3, yy8), field.multiply(under, over))
	sum.z = field.multiply(field.multiply(p.y, p.z), yy8)
	return sum
}

// affine gives the coordinates; false for the point at infinity.
func (p *point) affine() (x, y number, ok bool) {
	inverse := field.invert(p.z)
	return field.multiply(p.x, inverse), field.multiply(p.y, inverse), !inverse.isZero()
}

// onCurve tells whether coordinates are those of a point.
func onCurve(x, y number) bool {
	cube := field.multiply(field.multiply(x, x), x)
	return field.multiply(y, y) == field.add(cube, seven)
}

// A scalar is multiplied with four bits at a time, a window.
const (
	windowBits = 4
	windows    = 8 * Size / windowBits
)

// multiples are 0 to 15 times a point.
type multiples [1 << windowBits]point

func multiplesOf(p *point) (m multiples) {
	m[0] = infinity
	for i := 1; i < len(m); i++ {
		m[i] = m[i-1].add(p)
	}
	return m
}

// times gives n times the point. It reads the whole table, whatever n is.
func (m *multiples) times(n byte) (p point) {
	for i := range m {
		q, mask := &m[i], -uint(subtle.ConstantTimeByteEq(n, byte(i)))
		for j := range limbs {
			p.x[j] |= q.x[j] & mask
			p.y[j] |= q.y[j] & mask
			p.z[j] |= q.z[j] & mask
		}
	}
	return p
}

// window is the window i of a scalar, of which 0 has the highest bits.
func window(scalar *[Size]byte, i int) byte {
	return scalar[i/2] >> (windowBits * (1 - i%2)) & (1<<windowBits - 1)
}

// times gives scalar times p.
func (p *point) times(scalar *[Size]byte) point {
	table, product := multiplesOf(p), infinity
	for i := range windows {
		for range windowBits {
			product = product.double()
		}
		multiple := table.times(window(scalar, i))
		product = product.add(&multiple)
	}
	return product
}

// baseTable has for each window the multiples of what its lowest bit stands for.
type baseTable [windows]multiples

func newBaseTable() *baseTable {
	x, _ := field.parse([]byte(baseX))
	y, _ := field.parse([]byte(baseY))
	table, p := new(baseTable), point{x, y, one}
	for i := windows - 1; i >= 0; i-- {
		table[i] = multiplesOf(&p)
		for range windowBits {
			p = p.double()
		}
	}
	return table
}

// times gives scalar times the base point.
func (t *baseTable) times(scalar *[Size]byte) point {
	product := infinity
	for i := range windows {
		multiple := t[i].times(window(scalar, i))
		product = product.add(&multiple)
	}
	return product
}
