package baseline

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// Registers as nft numbers them: the four of 16 bytes, and from 8 on the same memory in pieces of 4. Keys of several parts lie
// in consecutive pieces.
const (
	registerVerdict = unix.NFT_REG_VERDICT
	register1       = unix.NFT_REG_1
	piece           = unix.NFT_REG32_00
)

// Offsets of what rules look at, in bytes from the start of the network or transport header.
const (
	offsetSource4      = 12 // RFC 791
	offsetDestination4 = 16
	offsetSource6      = 8 // RFC 8200
	offsetDestination6 = 24
	offsetDestPort     = 2 // TCP and UDP alike
)

// compiler writes a ruleset into a batch.
type compiler struct {
	conn  *nftables.Conn
	table *nftables.Table
	f     family
	old   *installed // nil: the table is new
	sets  map[string]*nftables.Set
	err   error // the first
}

// write adds to the batch of conn what makes a table, or turns old into it: chains first, as elements of maps refer to them, then
// sets, then rules.
func write(conn *nftables.Conn, r *ruleset, old *installed) error {
	c := &compiler{conn: conn, f: r.family, old: old, sets: map[string]*nftables.Set{}}
	c.table = conn.AddTable(&nftables.Table{Name: r.table, Family: r.family.nft()})
	chains := make([]*nftables.Chain, len(r.chains))
	for i, in := range r.chains {
		chains[i] = conn.AddChain(in.compile(c.table)) // changes nothing if it is there
	}
	for _, in := range r.sets {
		c.addSet(in)
	}
	for i, in := range r.chains {
		if old.has(in, r.family) {
			continue
		}
		if old != nil {
			conn.FlushChain(chains[i])
		}
		for j, rule := range in.rules {
			c.addRule(chains[i], rule, j == 0, in)
		}
	}
	if old != nil {
		old.removeOthers(conn, r)
	}
	return c.err
}

func (f family) nft() nftables.TableFamily {
	if f.is6 {
		return nftables.TableFamilyIPv6
	}
	return nftables.TableFamilyIPv4
}

func (c *chain) compile(table *nftables.Table) *nftables.Chain {
	out := &nftables.Chain{Name: c.name, Table: table}
	if c.hook != nil {
		accept := nftables.ChainPolicyAccept
		out.Type = nftables.ChainType(c.hook.kind)
		out.Hooknum = c.hook.number()
		out.Priority = nftables.ChainPriorityRef(nftables.ChainPriority(c.hook.priority))
		out.Policy = &accept
	}
	return out
}

func (h *hook) number() *nftables.ChainHook {
	switch h.name {
	case "prerouting":
		return nftables.ChainHookPrerouting
	case "input":
		return nftables.ChainHookInput
	case "forward":
		return nftables.ChainHookForward
	case "output":
		return nftables.ChainHookOutput
	}
	return nftables.ChainHookPostrouting
}

// fail keeps the first error.
func (c *compiler) fail(err error, format string, args ...any) {
	if err != nil && c.err == nil {
		c.err = fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), err)
	}
}

func (c *compiler) addSet(in *set) {
	out := &nftables.Set{
		Table: c.table, Name: in.name, Comment: in.comment,
		KeyType: in.key.datatype(c.f), KeyByteOrder: binaryutil.BigEndian, Concatenation: in.key != keyAddress,
		Dynamic: in.timeout > 0, HasTimeout: in.timeout > 0, Timeout: in.timeout,
	}
	if in.verdicts {
		out.IsMap, out.DataType = true, nftables.TypeVerdict
	}
	elements := make([]nftables.SetElement, len(in.elements))
	for i, e := range in.elements {
		elements[i] = nftables.SetElement{Key: in.key.bytes(e), Comment: e.comment}
		if in.verdicts {
			elements[i].VerdictData = e.verdict.expression()
		}
	}
	c.sets[in.name] = out
	if old := c.old.set(in.name); old != nil {
		add, remove := old.difference(elements)
		c.removeElements(out, remove)
		c.addElements(out, add)
		return
	}
	c.fail(c.conn.AddSet(out, nil), "add set %s", in.name)
	c.addElements(out, elements)
}

// addElements adds elements in parts: a netlink attribute holds less than 64 KiB, and all elements of a message are one.
func (c *compiler) addElements(to *nftables.Set, elements []nftables.SetElement) {
	for part := range slices.Chunk(elements, elementsPerMessage) {
		c.fail(c.conn.SetAddElements(to, part), "add elements to set %s", to.Name)
	}
}

func (c *compiler) removeElements(from *nftables.Set, elements []nftables.SetElement) {
	for part := range slices.Chunk(elements, elementsPerMessage) {
		c.fail(c.conn.SetDeleteElements(from, part), "remove elements from set %s", from.Name)
	}
}

// elementsPerMessage keeps the longest elements (a key of 24 bytes, a chain's name and a comment of up to 250 each, and their
// headers) within one attribute.
const elementsPerMessage = 100

// anonymous adds a set that belongs to one rule.
func (c *compiler) anonymous(s *nftables.Set, elements []nftables.SetElement) *nftables.Set {
	s.Table, s.Anonymous, s.Constant, s.Size = c.table, true, true, uint32(len(elements))
	c.fail(c.conn.AddSet(s, nil), "add a rule's set")
	open := *s
	open.Anonymous = false // the library adds no elements to anonymous sets; the kernel does, within the transaction
	c.addElements(&open, elements)
	return s
}

// addRule adds a rule to a chain; the first one bears the chain's fingerprint.
func (c *compiler) addRule(to *nftables.Chain, in rule, first bool, of *chain) {
	out := &nftables.Rule{Table: c.table, Chain: to}
	for _, s := range in.statements {
		out.Exprs = append(out.Exprs, s.compile(c)...)
	}
	if in.comment != "" {
		out.UserData = userdata.AppendString(nil, userdata.TypeComment, in.comment)
	}
	if first {
		out.UserData = userdata.Append(out.UserData, typeFingerprint, of.fingerprint(c.f))
	}
	c.conn.AddRule(out)
}

func (k keyType) datatype(f family) nftables.SetDatatype {
	address := nftables.TypeIPAddr
	if f.is6 {
		address = nftables.TypeIP6Addr
	}
	switch k {
	case keyAddress:
		return address
	case keyService:
		return nftables.MustConcatSetType(address, nftables.TypeInetProto, nftables.TypeInetService)
	}
	return nftables.MustConcatSetType(nftables.TypeInetProto, nftables.TypeInetService)
}

// bytes is an element's key as registers hold it: each part filled up to 4 bytes.
func (k keyType) bytes(e element) []byte {
	var key []byte
	if k != keyNodePort {
		key = append(key, e.address.AsSlice()...)
	}
	if k != keyAddress {
		key = append(key, byte(e.protocol), 0, 0, 0)
		key = append(key, bigEndian16(e.port)...)
		key = append(key, 0, 0)
	}
	return key
}

// loadAddress puts an address of the packet into register 1.
func (f family) loadAddress(s side) expr.Any {
	offset, length := uint32(offsetSource4), uint32(4)
	switch {
	case f.is6 && s == source:
		offset, length = offsetSource6, 16
	case f.is6:
		offset, length = offsetDestination6, 16
	case s == destination:
		offset = offsetDestination4
	}
	return &expr.Payload{DestRegister: register1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: length}
}

func loadProtocol(register uint32) expr.Any {
	return &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: register}
}

func loadDestPort(register uint32) expr.Any {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseTransportHeader, Offset: offsetDestPort, Len: 2}
}

// equal compares register 1.
func equal(data []byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpEq, Register: register1, Data: data}
}

func bigEndian16(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }

// native32 is a number in the host's byte order, as marks, connection states and random numbers are.
func native32(v uint32) []byte { return binaryutil.NativeEndian.PutUint32(v) }

func protocolBytes(p services.Protocol) []byte { return []byte{byte(p)} }

// maskOf is a prefix's mask in as many bytes as its address has.
func maskOf(p netip.Prefix) []byte {
	mask := make([]byte, p.Addr().BitLen()/8)
	for i := range p.Bits() {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	return mask
}
