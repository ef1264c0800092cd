// Package download keeps many slow downloads running in parallel and reports when and how each one ended: traffic for
// measuring which connections survive when something on their path fails.
//
// A download is a TCP connection. The client sends one line of JSON, and the server sends the requested bytes at the requested
// rate and ends the connection. Each download has its own content, and each byte depends on its offset, so
// that the client detects a stream that was mixed up with another, truncated or repeated.
package download

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// wordSize is the size of the content's unit in bytes.
const wordSize = 8

// content generates the bytes of one download.
type content struct {
	key uint64
}

// word is the i-th eight bytes: SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
// OOPSLA 2014) of key and index.
func (c content) word(i uint64) uint64 {
	z := c.key + (i+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// fill writes the content from offset into b.
func (c content) fill(b []byte, offset int64) {
	for len(b) > 0 {
		skip := int(offset % wordSize)
		word := c.bytes(offset)
		n := copy(b, word[skip:])
		b, offset = b[n:], offset+int64(n)
	}
}

// check compares b with the content from offset, and returns an error for the first difference.
func (c content) check(b []byte, offset int64) error {
	for len(b) > 0 {
		skip := int(offset % wordSize)
		word := c.bytes(offset)
		n := min(len(b), wordSize-skip)
		if !bytes.Equal(b[:n], word[skip:skip+n]) {
			return fmt.Errorf("bytes at %[2]d: found %[1]x (want %[3]x): content of another stream or offset", b[:n], offset, word[skip:skip+n])
		}
		b, offset = b[n:], offset+int64(n)
	}
	return nil
}

// bytes returns the word that offset is in.
func (c content) bytes(offset int64) (word [wordSize]byte) {
	binary.BigEndian.PutUint64(word[:], c.word(uint64(offset/wordSize)))
	return word
}
