package baseline

import (
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// How statements look to the kernel. nft lists them as it lists what it makes of their text; a test compares.

func (counter) compile(*compiler) []expr.Any { return []expr.Any{&expr.Counter{}} }

func (connectionNew) compile(*compiler) []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: register1},
		and(expr.CtStateBitNEW),
		&expr.Cmp{Op: expr.CmpOpNeq, Register: register1, Data: native32(0)},
	}
}

func (v verdict) compile(*compiler) []expr.Any { return []expr.Any{v.expression()} }

func (v verdict) expression() *expr.Verdict {
	kind := map[string]expr.VerdictKind{
		"jump": expr.VerdictJump, "goto": expr.VerdictGoto, "drop": expr.VerdictDrop, "return": expr.VerdictReturn,
	}[v.kind]
	return &expr.Verdict{Kind: kind, Chain: v.chain}
}

func (reject) compile(c *compiler) []expr.Any {
	code := uint8(3) // port unreachable, RFC 792
	if c.f.is6 {
		code = 4 // the same, RFC 4443
	}
	return []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: code}}
}

func (l lookUp) compile(c *compiler) []expr.Any {
	var load []expr.Any
	next := uint32(piece)
	if l.key == keyService {
		load = append(load, c.f.loadAddress(destination))
		next++
		if c.f.is6 {
			next += 3
		}
	}
	return append(load, loadProtocol(next), loadDestPort(next+1), c.verdictOf(c.sets[l.name]))
}

// verdictOf takes the verdict that a map has for the key in register 1.
func (c *compiler) verdictOf(s *nftables.Set) expr.Any {
	return &expr.Lookup{SourceRegister: register1, DestRegister: registerVerdict, IsDestRegSet: true, SetName: s.Name, SetID: s.ID}
}

func (i inSet) compile(c *compiler) []expr.Any {
	s := c.sets[i.name]
	return []expr.Any{
		c.f.loadAddress(i.side),
		&expr.Lookup{SourceRegister: register1, SetName: s.Name, SetID: s.ID},
	}
}

func (i inPrefixes) compile(c *compiler) []expr.Any {
	load := c.f.loadAddress(i.side)
	if len(i.prefixes) > 1 {
		s := c.anonymous(&nftables.Set{KeyType: keyAddress.datatype(c.f), Interval: true}, intervals(i.prefixes))
		return []expr.Any{load, &expr.Lookup{SourceRegister: register1, SetName: s.Name, SetID: s.ID, Invert: i.not}}
	}
	prefix, op := i.prefixes[0], expr.CmpOpEq
	if i.not {
		op = expr.CmpOpNeq
	}
	compare := &expr.Cmp{Op: op, Register: register1, Data: prefix.Addr().AsSlice()}
	if prefix.IsSingleIP() {
		return []expr.Any{load, compare}
	}
	mask := maskOf(prefix)
	return []expr.Any{load, &expr.Bitwise{
		SourceRegister: register1, DestRegister: register1, Len: uint32(len(mask)), Mask: mask, Xor: make([]byte, len(mask)),
	}, compare}
}

// intervals are prefixes, ordered and disjoint, as a set of intervals has them: where each begins, and where it has ended.
func intervals(prefixes []netip.Prefix) []nftables.SetElement {
	var elements []nftables.SetElement
	for i, prefix := range prefixes {
		elements = append(elements, nftables.SetElement{Key: prefix.Addr().AsSlice()})
		end := lastOf(prefix).Next()
		adjoins := i+1 < len(prefixes) && prefixes[i+1].Addr() == end
		if end.IsValid() && !adjoins { // invalid: nothing comes after the last address of all
			elements = append(elements, nftables.SetElement{Key: end.AsSlice(), IntervalEnd: true})
		}
	}
	return elements
}

// lastOf is the last address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	address, mask := p.Masked().Addr().AsSlice(), maskOf(p)
	for i := range address {
		address[i] |= ^mask[i]
	}
	last, _ := netip.AddrFromSlice(address)
	return last
}

func (t toPort) compile(*compiler) []expr.Any {
	return []expr.Any{
		loadProtocol(register1), equal(protocolBytes(t.protocol)),
		loadDestPort(register1), equal(bigEndian16(t.port)),
	}
}

func (sourceLocal) compile(*compiler) []expr.Any {
	return []expr.Any{
		&expr.Fib{Register: register1, FlagSADDR: true, ResultADDRTYPE: true},
		equal(native32(unix.RTN_LOCAL)),
	}
}

func (s choose) compile(c *compiler) []expr.Any {
	elements := make([]nftables.SetElement, len(s.chains))
	for i, chain := range s.chains {
		elements[i] = nftables.SetElement{Key: binaryutil.BigEndian.PutUint32(uint32(i)), VerdictData: goTo(chain).expression()}
	}
	targets := c.anonymous(&nftables.Set{
		KeyType: nftables.TypeInteger, IsMap: true, DataType: nftables.TypeVerdict,
	}, elements)
	return []expr.Any{
		&expr.Numgen{Register: register1, Modulus: uint32(len(s.chains)), Type: unix.NFT_NG_RANDOM},
		// The library declares the keys of anonymous sets big-endian; in the host's order nft would list 1 as 16777216.
		&expr.Byteorder{SourceRegister: register1, DestRegister: register1, Op: expr.ByteorderHton, Len: 4, Size: 4},
		c.verdictOf(targets),
	}
}

func (r remember) compile(c *compiler) []expr.Any {
	s := c.sets[r.set]
	return []expr.Any{
		c.f.loadAddress(source),
		&expr.Dynset{SrcRegKey: register1, SetName: s.Name, SetID: s.ID, Operation: unix.NFT_DYNSET_OP_UPDATE},
	}
}

func (t translateTo) compile(c *compiler) []expr.Any {
	const register2 = unix.NFT_REG_2
	return []expr.Any{
		loadProtocol(register1), equal(protocolBytes(t.protocol)),
		&expr.Immediate{Register: register1, Data: t.to.Addr().AsSlice()},
		&expr.Immediate{Register: register2, Data: bigEndian16(t.to.Port())},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: uint32(c.f.nft()), RegAddrMin: register1, RegProtoMin: register2, Specified: true},
	}
}

func loadMark() expr.Any { return &expr.Meta{Key: expr.MetaKeyMARK, Register: register1} }

func storeMark() expr.Any {
	return &expr.Meta{Key: expr.MetaKeyMARK, Register: register1, SourceRegister: true}
}

func (mark) compile(*compiler) []expr.Any {
	return []expr.Any{loadMark(), bitwise(^uint32(MasqueradeMark), MasqueradeMark), storeMark()}
}

func (unmarked) compile(*compiler) []expr.Any {
	return []expr.Any{loadMark(), and(MasqueradeMark), equal(native32(0))}
}

func (unmark) compile(*compiler) []expr.Any {
	return []expr.Any{loadMark(), bitwise(^uint32(0), MasqueradeMark), storeMark()}
}

func (masquerade) compile(*compiler) []expr.Any { return []expr.Any{&expr.Masq{FullyRandom: true}} }

func and(mask uint32) expr.Any { return bitwise(mask, 0) }

// bitwise makes register 1 (register 1 & mask) ^ xor.
func bitwise(mask, xor uint32) expr.Any {
	return &expr.Bitwise{SourceRegister: register1, DestRegister: register1, Len: 4, Mask: native32(mask), Xor: native32(xor)}
}
