package netns

import "fmt"

// TakenAwayError means that the network was removed, or a part of it, since it was built or opened.
type TakenAwayError struct {
	Name  string
	Cause error
}

func (e *TakenAwayError) Error() string {
	return fmt.Sprintf("%s was taken away meanwhile: %v", e.Name, e.Cause)
}

func (e *TakenAwayError) Unwrap() error { return e.Cause }

// Intact returns a *TakenAwayError if a part of the network is gone.
func (nw *Network) Intact() error {
	for _, ns := range nw.ownNamespaces() {
		name := namespaceName(nw.name, ns)
		if whose, err := ownerOf(nw.id).of(name); err != nil || whose != owned {
			return &TakenAwayError{nw.name, fmt.Errorf("namespace %s is gone", name)}
		}
	}
	return nil
}
