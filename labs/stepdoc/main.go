// Command stepdoc writes labs/STEPS.md from doc comments: what each kind of step does, and its fields, as in package
// steps. `go generate` runs it in package labs' folder.
package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

func main() {
	document, err := reference(".")
	if err == nil {
		err = os.WriteFile("STEPS.md", document, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "stepdoc:", err)
		os.Exit(1)
	}
}

// structure is a struct type with its documentation.
type structure struct {
	doc    string
	fields *ast.FieldList
}

// reference returns the document for the steps of package labs, which is in a folder.
func reference(dir string) ([]byte, error) {
	all, err := structures(dir)
	if err != nil {
		return nil, err
	}
	step, ok := all["Step"]
	if !ok {
		return nil, fmt.Errorf("there is no type Step in %s", dir)
	}
	var b bytes.Buffer
	b.WriteString("# Steps\n\nEvery kind of step that a phase can have, from the code's own comments (`go generate ./labs`).\n\n")
	b.WriteString("A step has exactly one kind, and may have:\n\n")
	b.WriteString("| field | type | meaning |\n|---|---|---|\n")
	for _, f := range step.fields.List {
		if _, isKind := f.Type.(*ast.StarExpr); !isKind {
			b.WriteString(row(f))
		}
	}
	var parts []string
	for _, f := range step.fields.List {
		kind, isKind := f.Type.(*ast.StarExpr)
		if !isKind {
			continue
		}
		name := kind.X.(*ast.Ident).Name
		s, ok := all[name]
		if !ok || s.doc == "" {
			return nil, fmt.Errorf("%s has no documentation", name)
		}
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", key(f), sentences(name, s.doc))
		parts = writeFields(&b, all, s, parts)
	}
	b.WriteString("\n# What steps are made of\n")
	for i := 0; i < len(parts); i++ { // a part may have more
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", parts[i], sentences(parts[i], all[parts[i]].doc))
		parts = writeFields(&b, all, all[parts[i]], parts)
	}
	return b.Bytes(), nil
}

// writeFields writes a struct's fields and those of embedded structs, and adds the struct types of these fields to parts.
func writeFields(b *bytes.Buffer, all map[string]structure, s structure, parts []string) []string {
	b.WriteString("\n| field | type | meaning |\n|---|---|---|\n")
	var write func(structure)
	write = func(s structure) {
		for _, f := range s.fields.List {
			name := typeName(f.Type)
			if len(f.Names) == 0 { // embedded: its fields are the struct's own
				write(all[name])
				continue
			}
			b.WriteString(row(f))
			if element := strings.TrimPrefix(name, "list of "); all[element].fields != nil && !slices.Contains(parts, element) {
				parts = append(parts, element)
			}
		}
	}
	write(s)
	return parts
}

// structures returns all struct types of package steps, and those of other packages that steps refer to.
func structures(dir string) (map[string]structure, error) {
	all := make(map[string]structure)
	for _, folder := range []string{filepath.Join(dir, "steps"), filepath.Join(dir, "testbed")} {
		files, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
			if err != nil {
				return nil, err
			}
			collect(parsed, all)
		}
	}
	return all, nil
}

func collect(file *ast.File, all map[string]structure) {
	for _, declaration := range file.Decls {
		general, ok := declaration.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range general.Specs {
			named, ok := spec.(*ast.TypeSpec)
			if !ok {
				continue
			}
			s, ok := named.Type.(*ast.StructType)
			if _, known := all[named.Name.Name]; !ok || known { // package steps comes first
				continue
			}
			doc := general.Doc.Text()
			if named.Doc != nil {
				doc = named.Doc.Text()
			}
			all[named.Name.Name] = structure{doc, s.Fields}
		}
	}
}

// row formats a line of a table of fields.
func row(f *ast.Field) string {
	meaning := strings.TrimSpace(f.Doc.Text() + " " + f.Comment.Text())
	return fmt.Sprintf("| `%s` | %s | %s |\n", key(f), typeName(f.Type), strings.Join(strings.Fields(meaning), " "))
}

// key returns the field's name in lab.yaml.
func key(f *ast.Field) string {
	if f.Tag == nil {
		return f.Names[0].Name
	}
	name, _, _ := strings.Cut(reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("json"), ",")
	return name
}

func typeName(e ast.Expr) string {
	switch t := e.(type) {
	case *ast.Ident:
		return t.Name
	case *ast.StarExpr:
		return typeName(t.X)
	case *ast.SelectorExpr:
		return t.Sel.Name
	case *ast.ArrayType:
		return "list of " + typeName(t.Elt)
	case *ast.MapType:
		return "map of " + typeName(t.Value)
	}
	return "value"
}

// sentences returns a doc comment without the type's name, as text for the document.
func sentences(name, doc string) string {
	text := strings.TrimSpace(strings.TrimPrefix(strings.Join(strings.Fields(doc), " "), name))
	text = strings.TrimPrefix(text, "is ")
	return strings.ToUpper(text[:1]) + text[1:]
}
