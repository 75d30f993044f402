package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
)

// bbolt's pages have no checksum but for the meta pages, and it follows what it
// reads there: one flipped bit can hide a part of the tree from it, or give a page
// that is in use to the next update. So the whole file is walked before anything is
// read or written: each page is in one place of the tree or in the list of free
// ones, and each key where a search looks for it. What the records say is for their
// owner to check.
//
// A meta page that does not hold is an error too. bbolt would take the other, in
// which the last update is missing. A power cut does not do that: a meta page lies
// in one sector, which a disk writes whole.

// Sizes and flags of bbolt's file format, version 2. Numbers are the machine's.
const (
	formatMagic   = 0xED0CDAED
	formatVersion = 2

	pageHeader    = 16 // id 8 · flags 2 · count 2 · overflow 4
	elementHeader = 16 // of a branch: pos 4 · key size 4 · page 8; of a leaf: flags 4 · pos 4 · key size 4 · value size 4
	metaSize      = 64 // magic 4 · version 4 · page size 4 · flags 4 · root 8 · sequence 8 · free list 8 · end 8 · transaction 8 · sum 8
	bucketHeader  = 16 // root 8 · sequence 8

	branchPage   = 1
	leafPage     = 2
	freelistPage = 16

	bucketElement = 1
	noFreelist    = 1<<64 - 1
)

// maxDepth is higher than a tree of any file can be.
const maxDepth = 64

var order = binary.NativeEndian

// inspector walks a file.
type inspector struct {
	file     io.ReaderAt
	pageSize int
	end      uint64 // the number of pages
	claimed  []bool
}

func newInspector(file io.ReaderAt, pageSize int, end uint64) *inspector {
	i := &inspector{file: file, pageSize: pageSize, end: end, claimed: make([]bool, end)}
	i.claimed[0], i.claimed[1] = true, true // the meta pages
	return i
}

// inspect checks a file of size bytes.
func inspect(file io.ReaderAt, size int64, pageSize int) error {
	root, freelist, end, err := newestMeta(file, pageSize)
	if err != nil {
		return err
	}
	if end < 2 || end > uint64(size)/uint64(pageSize) {
		return fmt.Errorf("the file is cut short: it has %d bytes of %d pages", size, end)
	}
	i := newInspector(file, pageSize, end)
	if err := i.tree(root, nil, nil, true, 0); err != nil {
		return err
	}
	if freelist == noFreelist {
		return nil
	}
	if err := i.free(freelist); err != nil {
		return err
	}
	for id, claimed := range i.claimed {
		if !claimed {
			return fmt.Errorf("page %d belongs to nothing", id)
		}
	}
	return nil
}

// newestMeta reads the meta pages, both of which have to hold.
func newestMeta(file io.ReaderAt, pageSize int) (root, freelist, end uint64, err error) {
	var newest uint64
	for n := range int64(2) {
		b := make([]byte, metaSize)
		if _, err := file.ReadAt(b, n*int64(pageSize)+pageHeader); err != nil {
			return 0, 0, 0, err
		}
		sum := fnv.New64a()
		_, _ = sum.Write(b[:56])
		if order.Uint32(b) != formatMagic || order.Uint32(b[4:]) != formatVersion ||
			order.Uint32(b[8:]) != uint32(pageSize) || order.Uint64(b[56:]) != sum.Sum64() {
			return 0, 0, 0, fmt.Errorf("meta page %d does not hold; the last update may be missing without it", n)
		}
		if txid := order.Uint64(b[48:]); n == 0 || txid > newest {
			newest = txid
			root, freelist, end = order.Uint64(b[16:]), order.Uint64(b[32:]), order.Uint64(b[40:])
		}
	}
	return root, freelist, end, nil
}

// page reads a page with what overflows from it, and claims both.
func (i *inspector) page(id uint64) ([]byte, error) {
	if id >= i.end {
		return nil, fmt.Errorf("page %d lies behind the end", id)
	}
	head := make([]byte, pageHeader)
	if _, err := i.file.ReadAt(head, int64(id)*int64(i.pageSize)); err != nil {
		return nil, err
	}
	n := 1 + uint64(order.Uint32(head[12:]))
	if order.Uint64(head) != id || n > i.end-id {
		return nil, fmt.Errorf("page %d has a damaged header", id)
	}
	for next := id; next < id+n; next++ {
		if err := i.claim(next); err != nil {
			return nil, err
		}
	}
	b := make([]byte, n*uint64(i.pageSize))
	_, err := i.file.ReadAt(b, int64(id)*int64(i.pageSize))
	return b, err
}

func (i *inspector) claim(id uint64) error {
	if id >= i.end || i.claimed[id] {
		return fmt.Errorf("page %d is in two places, or in none", id)
	}
	i.claimed[id] = true
	return nil
}

// tree walks the pages below one. Its first key is low, unless that is nil, and all
// are less than high, unless that is nil: bbolt looks a page up by its first key when
// it writes the page anew. buckets says that its records are buckets.
func (i *inspector) tree(id uint64, low, high []byte, buckets bool, depth int) error {
	b, err := i.page(id)
	if err != nil {
		return err
	}
	if depth > maxDepth {
		return fmt.Errorf("page %d is too deep in the tree", id)
	}
	switch order.Uint16(b[8:]) {
	case leafPage:
		if err := i.leaf(b, low, high, buckets); err != nil {
			return fmt.Errorf("page %d: %w", id, err)
		}
		return nil
	case branchPage:
	default:
		return fmt.Errorf("page %d is of another kind than its place wants", id)
	}
	count := int(order.Uint16(b[10:]))
	if count == 0 {
		return fmt.Errorf("page %d is an empty branch", id)
	}
	keys, children := make([][]byte, count+1), make([]uint64, count)
	keys[count] = high
	for n := range count {
		at := pageHeader + n*elementHeader
		if at+elementHeader > len(b) {
			return fmt.Errorf("page %d: %w", id, errElement)
		}
		e := b[at:]
		if keys[n], _, err = element(e, order.Uint32(e), order.Uint32(e[4:]), 0); err != nil {
			return fmt.Errorf("page %d: %w", id, err)
		}
		children[n] = order.Uint64(e[8:])
		if n > 0 && bytes.Compare(keys[n], keys[n-1]) <= 0 {
			return fmt.Errorf("page %d: %w", id, errOrder)
		}
	}
	if !within(keys[0], keys[count-1], low, high) {
		return fmt.Errorf("page %d: %w", id, errOrder)
	}
	for n, child := range children {
		if err := i.tree(child, keys[n], keys[n+1], buckets, depth+1); err != nil {
			return err
		}
	}
	return nil
}

var (
	errElement = errors.New("a record reaches out of its page")
	errOrder   = errors.New("a key is not where a search looks for it")
	errKind    = errors.New("a record is of another kind than its place wants")
)

// element gives an element's key and value, which lie pos bytes behind its header's
// beginning.
func element(e []byte, pos, keySize, valueSize uint32) (key, value []byte, err error) {
	end := uint64(pos) + uint64(keySize) + uint64(valueSize)
	if end > uint64(len(e)) || pos < elementHeader {
		return nil, nil, errElement
	}
	return e[pos : pos+keySize], e[pos+keySize : end], nil
}

// within tells whether a page with these keys is where a search looks for it.
func within(first, last, low, high []byte) bool {
	return (low == nil || bytes.Equal(first, low)) && (high == nil || bytes.Compare(last, high) < 0)
}

// leaf checks the records of a page.
func (i *inspector) leaf(b, low, high []byte, buckets bool) error {
	var first, last []byte
	for n := range int(order.Uint16(b[10:])) {
		at := pageHeader + n*elementHeader
		if at+elementHeader > len(b) {
			return errElement
		}
		e := b[at:]
		key, value, err := element(e, order.Uint32(e[4:]), order.Uint32(e[8:]), order.Uint32(e[12:]))
		if err != nil {
			return err
		}
		if n == 0 {
			first = key
		} else if bytes.Compare(key, last) <= 0 {
			return errOrder
		}
		last = key
		kind := uint32(0)
		if buckets {
			kind = bucketElement
		}
		if order.Uint32(e) != kind {
			return errKind
		}
		if buckets {
			if err := i.bucket(value); err != nil {
				return err
			}
		}
	}
	if !within(first, last, low, high) {
		return errOrder
	}
	return nil
}

// bucket checks a bucket, which has pages of its own or, when it is small, lies in
// its record.
func (i *inspector) bucket(value []byte) error {
	if len(value) < bucketHeader {
		return errElement
	}
	if root := order.Uint64(value); root != 0 {
		return i.tree(root, nil, nil, false, 1)
	}
	inline := value[bucketHeader:]
	if len(inline) < pageHeader {
		return errElement
	}
	if order.Uint16(inline[8:]) != leafPage {
		return errKind
	}
	return i.leaf(inline, nil, nil, false)
}

// free claims the pages of the free list, and the list's own.
func (i *inspector) free(id uint64) error {
	b, err := i.page(id)
	if err != nil {
		return err
	}
	ids, err := freeIDs(id, b)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := i.claim(id); err != nil {
			return fmt.Errorf("the list of free pages: %w", err)
		}
	}
	return nil
}

// freeIDs reads the list of free pages, which begins in page id.
func freeIDs(id uint64, b []byte) ([]uint64, error) {
	if order.Uint16(b[8:]) != freelistPage {
		return nil, fmt.Errorf("page %d is not the list of free pages", id)
	}
	count, rest := uint64(order.Uint16(b[10:])), b[pageHeader:]
	if count == 0xffff { // the real number comes first
		count, rest = order.Uint64(rest), rest[8:]
	}
	if count > uint64(len(rest))/8 {
		return nil, fmt.Errorf("the list of free pages is longer than its page %d", id)
	}
	ids := make([]uint64, count)
	for n := range ids {
		ids[n] = order.Uint64(rest[8*n:])
	}
	return ids, nil
}

// freePages reads which pages of a file of size bytes the newest state has free, in ascending
// order, and which is the first behind all of its pages.
func freePages(file io.ReaderAt, size int64, pageSize int) (ids []uint64, end uint64, err error) {
	_, freelist, end, err := newestMeta(file, pageSize)
	if err != nil {
		return nil, 0, err
	}
	if end < 2 || end > uint64(size)/uint64(pageSize) {
		return nil, 0, fmt.Errorf("the file is cut short: it has %d bytes of %d pages", size, end)
	}
	i := newInspector(file, pageSize, end)
	b, err := i.page(freelist)
	if err != nil {
		return nil, 0, err
	}
	if ids, err = freeIDs(freelist, b); err != nil {
		return nil, 0, err
	}
	// What is written over must be free: the list may have been damaged since it was inspected.
	for _, id := range ids {
		if err := i.claim(id); err != nil {
			return nil, 0, fmt.Errorf("the list of free pages: %w", err)
		}
	}
	slices.Sort(ids)
	return ids, end, nil
}
