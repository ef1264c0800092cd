package l7proxy

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Element is one element of a Forwarded header (RFC 7239 section 4): one proxy's statement about one hop.
type Element struct {
	// For is the peer that made the request to the proxy, and By the proxy's own address: as written, without quotes.
	For string `json:"for,omitempty"`
	By  string `json:"by,omitempty"`
	// Host and Proto are the request's, as the proxy got it.
	Host  string `json:"host,omitempty"`
	Proto string `json:"proto,omitempty"`
	// raw is the element as received; "" for this proxy's own.
	raw string
}

// ParseForwarded parses a Forwarded header's values, in order. Parameters that RFC 7239 does not define are kept in the
// element's text only. An error means that a value violates the grammar, and then none of it can be trusted.
func ParseForwarded(values []string) ([]Element, error) {
	var elements []Element
	for _, value := range values {
		parts, err := splitQuoted(value, ',')
		if err != nil {
			return nil, fmt.Errorf("parse Forwarded %q: %w", value, err)
		}
		for _, part := range parts {
			if strings.TrimSpace(part) == "" {
				continue // an empty list element (RFC 9110 section 5.6.1)
			}
			element, err := parseElement(part)
			if err != nil {
				return nil, fmt.Errorf("parse Forwarded %q: %w", value, err)
			}
			elements = append(elements, element)
		}
	}
	return elements, nil
}

func parseElement(text string) (Element, error) {
	e := Element{raw: strings.TrimSpace(text)}
	pairs, err := splitQuoted(text, ';')
	if err != nil {
		return e, err
	}
	seen := map[string]bool{}
	for _, pair := range pairs {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, value, found := strings.Cut(strings.TrimSpace(pair), "=")
		name = strings.ToLower(name)
		if !found || !isToken(name) {
			return e, fmt.Errorf("found %q (want name=value)", pair)
		}
		if seen[name] {
			return e, fmt.Errorf("parameter %s: found twice (want it once)", name)
		}
		seen[name] = true
		if value, err = unquote(value); err != nil {
			return e, err
		}
		switch name {
		case "for":
			e.For = value
		case "by":
			e.By = value
		case "host":
			e.Host = value
		case "proto":
			e.Proto = value
		}
	}
	return e, nil
}

// String returns the element as received, or formats it as RFC 7239 requires.
func (e Element) String() string {
	if e.raw != "" {
		return e.raw
	}
	var pairs []string
	for _, pair := range [][2]string{{"for", e.For}, {"by", e.By}, {"host", e.Host}, {"proto", e.Proto}} {
		if pair[1] != "" {
			pairs = append(pairs, pair[0]+"="+quote(pair[1]))
		}
	}
	return strings.Join(pairs, ";")
}

// node formats an address as RFC 7239 section 6 requires: IPv6 in brackets.
func node(addr netip.Addr) string {
	if addr.Is6() {
		return "[" + addr.String() + "]"
	}
	return addr.String()
}

// parseNode parses an address, with or without a port, of X-Forwarded-For or Forwarded. It returns false for
// "unknown", for obfuscated names (RFC 7239 section 6.3) and for anything else that is not an address.
func parseNode(s string) (netip.Addr, bool) {
	s = strings.TrimSpace(s)
	if addr, err := netip.ParseAddr(s); err == nil {
		return addr.Unmap().WithZone(""), true
	}
	if at, err := netip.ParseAddrPort(s); err == nil {
		return at.Addr().Unmap().WithZone(""), true
	}
	host, _, found := strings.Cut(strings.TrimPrefix(s, "["), "]")
	if strings.HasPrefix(s, "[") && found {
		if addr, err := netip.ParseAddr(host); err == nil && addr.Is6() {
			return addr.Unmap().WithZone(""), true
		}
	}
	if host, port, found := strings.Cut(s, ":"); found && strings.HasPrefix(port, "_") { // an obfuscated port
		if addr, err := netip.ParseAddr(host); err == nil {
			return addr, true
		}
	}
	return netip.Addr{}, false
}

// splitQuoted splits at a separator that is outside of quoted strings.
func splitQuoted(s string, separator byte) ([]string, error) {
	var parts []string
	begin, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == separator && !quoted:
			parts = append(parts, s[begin:i])
			begin = i + 1
		}
	}
	if quoted {
		return nil, errors.New("unterminated quoted string")
	}
	return append(parts, s[begin:]), nil
}

// unquote reads a token or a quoted string (RFC 9110 sections 5.6.2 and 5.6.4).
func unquote(s string) (string, error) {
	if isToken(s) {
		return s, nil
	}
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return "", fmt.Errorf("value: found %q (want a token or a quoted string)", s)
	}
	var b strings.Builder
	for inside := s[1 : len(s)-1]; inside != ""; inside = inside[1:] {
		switch {
		case inside[0] == '"', inside == `\`:
			return "", fmt.Errorf("value: found %q (want a quoted string)", s)
		case inside[0] == '\\':
			inside = inside[1:]
		}
		b.WriteByte(inside[0])
	}
	return b.String(), nil
}

func quote(s string) string {
	if isToken(s) {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// isToken reports whether s is a token (RFC 9110 section 5.6.2).
func isToken(s string) bool {
	for _, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}
