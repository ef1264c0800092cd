package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/dsrlab/dsrlab/internal/bounded"
)

// pollEvery is how old a change of a file may get.
const pollEvery = 50 * time.Millisecond

// maxValues bounds what a file of objects may hold. 200 Nodes with all that kubelets report of them have about 300,000 values.
const maxValues = 1_000_000

// Objects are those of a file, by kind and namespace/name.
type Objects map[string]runtime.Object

// ParseObjects reads Services, EndpointSlices and Nodes of YAML documents, or of Lists of them. All that is wrong is in the error, a
// line for each document, with its number and the line it begins on; what is right is returned all the same.
func ParseObjects(file string, data []byte) (Objects, error) {
	all := Objects{}
	if err := bounded.CheckValues(file, data, maxValues); err != nil {
		return all, err
	}
	decoder := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	var errs []error
	for n, d := range documents(data) {
		object, _, err := decoder.Decode(d.text, nil, nil)
		if err == nil {
			err = all.add(decoder, object)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: document %d: %s", file, d.line, n+1, oneLine(err)))
		}
	}
	return all, errors.Join(errs...)
}

// oneLine is an error's text with semicolons in place of line feeds.
func oneLine(err error) string {
	return strings.Join(strings.FieldsFunc(err.Error(), isLineFeed), "; ")
}

func isLineFeed(r rune) bool { return r == '\n' }

// document is one of a file's YAML documents, and the line on which its text begins.
type document struct {
	text []byte
	line int
}

// documents splits a file at the lines that separate documents, and leaves out those that hold nothing.
func documents(data []byte) []document {
	var all []document
	at := document{line: 1}
	end := func(next int) {
		if trimmed := bytes.TrimLeft(at.text, "\r\n"); len(bytes.TrimSpace(trimmed)) > 0 {
			at.line += bytes.Count(at.text[:len(at.text)-len(trimmed)], []byte("\n"))
			all = append(all, document{trimmed, at.line})
		}
		at = document{line: next}
	}
	number := 0
	for line := range bytes.Lines(data) {
		number++
		if rest, separates := bytes.CutPrefix(line, []byte("---")); separates && (len(rest) == 0 || bytes.ContainsAny(rest[:1], " \t\r\n")) {
			end(number)
			line = rest // a document may begin on this line
		}
		at.text = append(at.text, line...)
	}
	end(number)
	return all
}

// add takes an object, or those of a List.
func (o Objects) add(decoder runtime.Decoder, object runtime.Object) error {
	switch in := object.(type) {
	case *corev1.List:
		var errs []error
		for i, raw := range in.Items {
			item, _, err := decoder.Decode(raw.Raw, nil, nil)
			if err == nil {
				err = o.add(decoder, item)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("items[%d]: %w", i, err))
			}
		}
		return errors.Join(errs...)
	case *corev1.Service:
		return o.put("service", in.Namespace, in.Name, in)
	case *discoveryv1.EndpointSlice:
		return o.put("endpointslice", in.Namespace, in.Name, in)
	case *corev1.Node:
		return o.put("node", "", in.Name, in)
	}
	return fmt.Errorf("kind %s: must be Service, EndpointSlice, Node or List", object.GetObjectKind().GroupVersionKind().Kind)
}

func (o Objects) put(kind, namespace, name string, object runtime.Object) error {
	key := kind + " " + namespace + "/" + name
	if name == "" {
		return fmt.Errorf("%s: metadata.name: must be set", kind)
	}
	if o[key] != nil {
		return fmt.Errorf("%s: there are two of this name", key)
	}
	o[key] = object
	return nil
}

// Follow tells of the objects of a file, as Watch does of a cluster's, and of every change of it. It is an error if the file can't be
// read, or nothing in it. From then on such a file changes nothing; whoever writes it puts a new one in its place by renaming.
//
// A document that can't be read is logged and left out, and those beside it are served. Until it can be read, no object is taken away:
// the file may still mean to have it.
func Follow(ctx context.Context, file string, log *slog.Logger) (<-chan Event, error) {
	f := &follower{file: file, log: log, events: make(chan Event, queueLength)}
	now, err := f.read()
	if now == nil {
		return nil, fmt.Errorf("read objects: %w", err)
	}
	go func() {
		f.tell(ctx, now, err)
		ticker := time.NewTicker(pollEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			now, err := f.read()
			f.tell(ctx, now, err)
		}
	}()
	return f.events, nil
}

// follower is the state of Follow.
type follower struct {
	file   string
	log    *slog.Logger
	events chan Event
	// last was read, and wrong is what is wrong with it; have are the objects that were told.
	last  []byte
	wrong error
	have  Objects
	// complaint was logged.
	complaint string
}

// read returns the objects of the file, and what is wrong with it. There are none if it is as it was, or nothing in it can be read.
func (f *follower) read() (Objects, error) {
	data, err := bounded.ReadFile(f.file, bounded.Records)
	if err != nil {
		return nil, err
	}
	if f.last != nil && bytes.Equal(data, f.last) {
		return nil, f.wrong
	}
	now, err := ParseObjects(f.file, data)
	f.last, f.wrong = data, err
	if err != nil && len(now) == 0 {
		return nil, err
	}
	return now, err
}

// tell logs what is wrong, if that is new, and sends what has changed.
func (f *follower) tell(ctx context.Context, now Objects, wrong error) {
	if text := fmt.Sprint(wrong); text != f.complaint {
		f.complaint = text
		if wrong != nil {
			f.log.Error("objects: left out, and none is taken away until this is mended", "error", wrong)
		}
	}
	if now == nil {
		return
	}
	if wrong != nil {
		for key, object := range f.have {
			if now[key] == nil {
				now[key] = object
			}
		}
	}
	tellChanges(ctx, f.events, f.have, now)
	f.have = now
}

// tellChanges sends what has become of each object, and Synced at the end.
func tellChanges(ctx context.Context, to chan<- Event, before, now Objects) {
	send := func(e Event) {
		select {
		case to <- e:
		case <-ctx.Done():
		}
	}
	for key, object := range before {
		if now[key] == nil {
			send(eventOf(object, true))
		}
	}
	for _, object := range now {
		send(eventOf(object, false))
	}
	send(Event{Synced: true})
}
