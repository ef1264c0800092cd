package manifest

import (
	"cmp"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// pairs iterates over the keys and values of a mapping, and reports all else as an error.
func (d *decoder) pairs(node *yaml.Node, field string, path func(field, key string) string) iter.Seq2[*yaml.Node, *yaml.Node] {
	return func(yield func(key, value *yaml.Node) bool) {
		if node.Kind != yaml.MappingNode {
			d.fail(node, field, "is %s, want fields with values", kindOf(node))
			return
		}
		first := map[string]int{}
		for i := 0; i+1 < len(node.Content); i += 2 {
			key := node.Content[i]
			switch {
			case key.ShortTag() == "!!merge":
				d.fail(key, field, "merge keys (<<) are not supported, write the fields out")
			case key.Kind != yaml.ScalarNode:
				d.fail(key, field, "a field's name is %s, want a string", kindOf(key))
			case !isString(key):
				d.fail(key, field, "a field's name is %s, want a string: quote it, \"%s\"", kindOf(key), key.Value)
			case first[key.Value] > 0:
				d.errorf(key, path(field, key.Value), "is there twice, first on line %d", first[key.Value])
			default:
				first[key.Value] = key.Line
				if !yield(key, node.Content[i+1]) {
					return
				}
			}
		}
	}
}

// scalar decodes strings, numbers and booleans.
func (d *decoder) scalar(node *yaml.Node, into reflect.Value, field string) {
	want := typeName(into.Type())
	node = decimal(node)
	if node.Kind != yaml.ScalarNode {
		d.fail(node, field, "is %s, want %s", kindOf(node), want)
		return
	}
	switch into.Kind() {
	case reflect.String:
		if !isString(node) {
			d.fail(node, field, "is %s, want a string: quote it, \"%s\"", kindOf(node), node.Value)
			return
		}
		into.SetString(node.Value)
	case reflect.Bool:
		if node.ShortTag() != "!!bool" {
			d.fail(node, field, "is %s, want %s", kindOf(node), want)
			return
		}
		var value bool
		if err := node.Decode(&value); err != nil {
			d.fail(node, field, "%s", plain(err))
			return
		}
		into.SetBool(value)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if node.ShortTag() != "!!int" {
			d.fail(node, field, "is %s, want %s", kindOf(node), want)
		} else if err := node.Decode(into.Addr().Interface()); err != nil {
			d.fail(node, field, "is %s, want %s", node.Value, want)
		}
	case reflect.Float32, reflect.Float64:
		if tag := node.ShortTag(); tag != "!!float" && tag != "!!int" {
			d.fail(node, field, "is %s, want %s", kindOf(node), want)
		} else if err := node.Decode(into.Addr().Interface()); err != nil {
			d.fail(node, field, "is %s, want %s", node.Value, want)
		}
	default:
		d.fail(node, field, "can't be decoded into %s", into.Type())
	}
}

// decimal is a number with leading zeros without them: in YAML 1.2 it is decimal, where the parser takes 010 for 8 and 08 for a fraction.
func decimal(node *yaml.Node) *yaml.Node {
	digits := strings.TrimLeft(node.Value, "+-")
	plain := node.Kind == yaml.ScalarNode && node.Style == 0 && node.Tag != "!!str"
	if !plain || len(digits) < 2 || digits[0] != '0' || strings.Trim(digits, "0123456789") != "" {
		return node
	}
	bare := *node
	bare.Tag, bare.Value = "!!int", node.Value[:len(node.Value)-len(digits)]+cmp.Or(strings.TrimLeft(digits, "0"), "0")
	return &bare
}

// fieldsOf are the fields of a struct by their names in json, those of embedded structs included.
func fieldsOf(t reflect.Type) map[string][]int {
	fields := map[string][]int{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-":
		case f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct:
			for inner, index := range fieldsOf(f.Type) {
				if _, outer := fields[inner]; !outer {
					fields[inner] = append([]int{i}, index...)
				}
			}
		case !f.IsExported():
		case name == "":
			fields[f.Name] = []int{i}
		default:
			fields[name] = []int{i}
		}
	}
	return fields
}

func fieldPath(field, name string) string {
	if field == "" {
		return name
	}
	return field + "." + name
}

// quoteItem is a scalar as an item of a list in brackets: in quotes where YAML could take it for something else.
func quoteItem(value string) string {
	if strings.ContainsAny(value, ":,[]{}#\"") {
		return strconv.Quote(value)
	}
	return value
}

// keyPath is the path of a map's entry: in brackets, as keys may hold dots.
func keyPath(field, key string) string { return field + "[" + key + "]" }

func isNull(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null" }

// isString reports whether a scalar is text. What only old YAML takes for a date is text as well.
func isString(node *yaml.Node) bool {
	tag := node.ShortTag()
	return tag == "!!str" || tag == "!!timestamp"
}

// kindOf describes a node, for "is …, want …".
func kindOf(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return kindOf(node.Alias)
	}
	switch node.ShortTag() {
	case "!!int", "!!float":
		return "the number " + node.Value
	case "!!bool":
		return "the boolean " + node.Value
	case "!!null":
		return "null"
	case "!!binary":
		return "binary data"
	}
	return strconv.Quote(node.Value)
}

// typeName describes what a type wants, for "is …, want …".
func typeName(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[netip.Addr]():
		return "an IP address, as in 192.168.1.11"
	case reflect.TypeFor[netip.Prefix]():
		return "a subnet, as in 192.168.1.0/24"
	}
	if t.String() == "intstr.IntOrString" { // of Kubernetes
		return "a number or a name"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		half := uint64(1) << (t.Bits() - 1)
		return fmt.Sprintf("a whole number from -%d to %d", half, half-1)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return fmt.Sprintf("a whole number from 0 to %d", ^uint64(0)>>(64-t.Bits()))
	case reflect.Float32, reflect.Float64:
		return "a number"
	}
	for _, i := range []reflect.Type{reflect.TypeFor[json.Unmarshaler](), reflect.TypeFor[encoding.TextUnmarshaler]()} {
		if reflect.PointerTo(t).Implements(i) {
			return "a single value"
		}
	}
	return t.String()
}

// describe returns why a type refused a node.
func describe(t reflect.Type, node *yaml.Node, err error) string {
	var wrong *json.UnmarshalTypeError
	if t == reflect.TypeFor[netip.Addr]() || t == reflect.TypeFor[netip.Prefix]() || errors.As(err, &wrong) {
		return fmt.Sprintf("is %s, want %s", kindOf(node), typeName(t))
	}
	return plain(err)
}

// plain is an error's text on one line, without the packages that it passed.
func plain(err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	for _, prefix := range []string{"yaml: ", "json: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	return text
}
