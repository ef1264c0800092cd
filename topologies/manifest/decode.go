package manifest

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/dsrlab/dsrlab/internal/bounded"
)

const (
	// maxDepth and maxValues bound what a document holds, and what aliases can blow a small one up to. A topology of 1,000 nodes has
	// about 10,000 values.
	maxDepth  = 64
	maxValues = 100_000
	// maxErrors is how many errors are of use; more of them mean that the file is something else.
	maxErrors = 100
)

// Decode reads the one YAML document of data into a pointer to a struct, by the names of the json tags. Errors are Errors:
// syntax, unknown fields, fields that are there twice, values of the wrong type or that the type's UnmarshalJSON or
// UnmarshalText refuses. What could be read is in the value all the same, so that a check can add what else is wrong
// (Positions.Merge). File is what errors call the file.
//
// Unlike encoding/json it takes a field's name only in its exact case. null leaves a field as it is.
func Decode(file string, data []byte, into any) (*Positions, error) {
	d := &decoder{positions: newPositions(file)}
	target := reflect.ValueOf(into)
	if target.Kind() != reflect.Pointer || target.IsNil() || target.Elem().Kind() != reflect.Struct {
		return d.positions, fmt.Errorf("decode %s: into %T, want a pointer to a struct", file, into)
	}
	if root := d.parse(data); root != nil {
		d.positions.found[""] = position{root.Line, root.Column}
		d.value(root, target.Elem(), "", 0)
	}
	return d.positions, d.errors.sorted().Err()
}

// decoder is the state of one Decode.
type decoder struct {
	positions *Positions
	errors    Errors
	nodes     int
	stopped   bool // there is too much of something: what follows is not read
}

// fail notes an error at a node, and that the field can't be read.
func (d *decoder) fail(node *yaml.Node, field, format string, args ...any) {
	d.positions.failed[field] = true
	d.errorf(node, field, format, args...)
}

func (d *decoder) errorf(node *yaml.Node, field, format string, args ...any) {
	if len(d.errors) == maxErrors {
		d.stop(node, "these are the first %d errors", maxErrors)
	}
	if d.stopped {
		return
	}
	e := Errorf(field, format, args...)
	e.File, e.Line, e.Column = d.positions.file, node.Line, node.Column
	d.errors = append(d.errors, e)
}

// parse is the root node of the only document, nil after an error.
func (d *decoder) parse(data []byte) *yaml.Node {
	if err := bounded.CheckValues(d.positions.file, data, maxValues); err != nil {
		d.positions.failed[""] = true
		d.errors = append(d.errors, Error{Message: err.Error()})
		return nil
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document, second yaml.Node
	err := decoder.Decode(&document)
	if errors.Is(err, io.EOF) || err == nil && len(document.Content) == 0 {
		d.failDocument(Error{Message: "is empty"})
		return nil
	}
	if err != nil {
		d.failDocument(syntaxError(err))
		return nil
	}
	if err := decoder.Decode(&second); err == nil {
		d.errorf(&second, "", "a second document begins here, want one document a file")
	} else if !errors.Is(err, io.EOF) {
		d.failDocument(syntaxError(err))
	}
	return document.Content[0]
}

// stop ends reading at a node: the document as a whole can't be read.
func (d *decoder) stop(node *yaml.Node, format string, args ...any) {
	if d.stopped {
		return
	}
	d.stopped, d.positions.failed[""] = true, true
	e := Errorf("", format, args...)
	e.File, e.Line, e.Column = d.positions.file, node.Line, node.Column
	d.errors = append(d.errors, e)
}

func (d *decoder) failDocument(e Error) {
	e.File = d.positions.file
	d.positions.failed[""] = true
	d.errors = append(d.errors, e)
}

// syntaxError takes the line out of an error of the YAML parser.
func syntaxError(err error) Error {
	var line int
	text := plain(err)
	if _, scanErr := fmt.Sscanf(text, "line %d:", &line); scanErr == nil {
		_, text, _ = strings.Cut(text, ": ")
	}
	return Error{Line: line, Message: "is no YAML: " + text}
}

// value decodes a node into a value that can be set.
func (d *decoder) value(node *yaml.Node, into reflect.Value, field string, depth int) {
	if d.nodes++; d.nodes > maxValues || depth > maxDepth {
		d.stop(node, "the document is too big or too deep (want at most %d values, %d in each other): aliases must not blow it up", maxValues, maxDepth)
	}
	if d.stopped {
		return
	}
	if _, known := d.positions.found[field]; !known {
		d.positions.found[field] = position{node.Line, node.Column}
	}
	if node.Kind == yaml.AliasNode {
		d.value(node.Alias, into, field, depth+1)
		return
	}
	if isNull(node) {
		return
	}
	if into.Kind() == reflect.Pointer {
		if into.IsNil() {
			into.Set(reflect.New(into.Type().Elem()))
		}
		d.value(node, into.Elem(), field, depth+1)
		return
	}
	if d.own(node, into, field) {
		return
	}
	switch into.Kind() {
	case reflect.Struct:
		d.object(node, into, field, depth)
	case reflect.Slice:
		d.list(node, into, field, depth)
	case reflect.Map:
		d.mapping(node, into, field, depth)
	case reflect.Interface:
		if err := node.Decode(into.Addr().Interface()); err != nil {
			d.fail(node, field, "%s", plain(err))
		}
	default:
		d.scalar(node, into, field)
	}
}

// own lets a type decode itself, and reports whether it does.
func (d *decoder) own(node *yaml.Node, into reflect.Value, field string) bool {
	switch own := into.Addr().Interface().(type) {
	case json.Unmarshaler:
		var value any
		if err := node.Decode(&value); err != nil {
			d.fail(node, field, "%s", plain(err))
			return true
		}
		text, err := json.Marshal(value)
		if err == nil {
			err = own.UnmarshalJSON(text)
		}
		if err != nil {
			d.fail(node, field, "%s", describe(into.Type(), node, err))
		}
		return true
	case encoding.TextUnmarshaler:
		if node.Kind != yaml.ScalarNode {
			d.fail(node, field, "is %s, want %s", kindOf(node), typeName(into.Type()))
			return true
		}
		if err := own.UnmarshalText([]byte(node.Value)); err != nil {
			d.fail(node, field, "%s", describe(into.Type(), node, err))
		}
		return true
	}
	return false
}

func (d *decoder) list(node *yaml.Node, into reflect.Value, field string, depth int) {
	if node.Kind != yaml.SequenceNode {
		d.fail(node, field, "is %s, want a list", kindOf(node))
		return
	}
	list := reflect.MakeSlice(into.Type(), len(node.Content), len(node.Content))
	for i, item := range node.Content {
		d.value(item, list.Index(i), fmt.Sprintf("%s[%d]", field, i), depth+1)
	}
	into.Set(list)
}

// mapping decodes a map by string keys.
func (d *decoder) mapping(node *yaml.Node, into reflect.Value, field string, depth int) {
	if into.Type().Key().Kind() != reflect.String {
		d.fail(node, field, "can't be decoded into %s", into.Type())
		return
	}
	result := reflect.MakeMap(into.Type())
	for key, item := range d.pairs(node, field, keyPath) {
		value := reflect.New(into.Type().Elem()).Elem()
		d.value(item, value, keyPath(field, key.Value), depth+1)
		result.SetMapIndex(reflect.ValueOf(key.Value).Convert(into.Type().Key()), value)
	}
	into.Set(result)
}

// object decodes a struct.
func (d *decoder) object(node *yaml.Node, into reflect.Value, field string, depth int) {
	fields := fieldsOf(into.Type())
	for key, item := range d.pairs(node, field, fieldPath) {
		index, known := fields[key.Value]
		if !known {
			names := make([]string, 0, len(fields))
			for name := range fields {
				names = append(names, name)
			}
			hint := Suggest(key.Value, names)
			if meant, ok := suggest(key.Value, names); ok {
				d.positions.failed[fieldPath(field, meant)] = true
				if into.FieldByIndex(fields[meant]).Kind() == reflect.Slice && strings.HasPrefix(meant, key.Value) && item.Kind == yaml.ScalarNode {
					hint = fmt.Sprintf(" (want %s: [%s])", meant, quoteItem(item.Value))
				}
			}
			d.errorf(key, fieldPath(field, key.Value), "unknown field%s", hint)
			continue
		}
		d.value(item, into.FieldByIndex(index), fieldPath(field, key.Value), depth+1)
	}
}
