package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"
)

// pollEvery is how old a change of a file may get.
const pollEvery = 50 * time.Millisecond

// Objects are those of a file, by kind and namespace/name.
type Objects map[string]runtime.Object

// ParseObjects reads Services, EndpointSlices and Nodes of YAML documents, or of Lists of them. All that is wrong is in the error.
func ParseObjects(file string, data []byte) (Objects, error) {
	decoder := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	all := Objects{}
	var errs []error
	for n, document := range bytes.Split(append([]byte("\n"), data...), []byte("\n---")) {
		if len(bytes.TrimSpace(document)) == 0 {
			continue
		}
		object, _, err := decoder.Decode(document, nil, nil)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: document %d: %w", file, n+1, err))
			continue
		}
		if err := all.add(decoder, object); err != nil {
			errs = append(errs, fmt.Errorf("%s: document %d: %w", file, n+1, err))
		}
	}
	return all, errors.Join(errs...)
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

// Follow tells of the objects of a file, as Watch does of a cluster's, and of every change of it. A file that can't be read or
// has errors changes nothing; whoever writes it puts a new one in its place by renaming.
func Follow(ctx context.Context, file string, log *slog.Logger) <-chan Event {
	events := make(chan Event, queueLength)
	go func() {
		var last []byte
		var have Objects
		var complaint string
		ticker := time.NewTicker(pollEvery)
		defer ticker.Stop()
		for {
			data, err := os.ReadFile(file)
			if err == nil && (have == nil || !bytes.Equal(data, last)) {
				var now Objects
				if now, err = ParseObjects(file, data); err == nil {
					tellChanges(ctx, events, have, now)
					last, have = data, now
				}
			}
			if text := fmt.Sprint(err); text != complaint {
				if complaint = text; err != nil {
					log.Error("objects: the data path goes on as it is", "error", err)
				}
			}
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	}()
	return events
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
