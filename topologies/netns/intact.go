package netns

import "fmt"

// Intact returns an error if a namespace of the network has been removed since it was built or opened. What can't be found out is no
// error.
func (nw *Network) Intact() error {
	for _, ns := range nw.ownNamespaces() {
		name := namespaceName(nw.name, ns)
		if whose, err := ownerOf(nw.id).of(name); err == nil && whose != owned {
			return fmt.Errorf("%s was taken away meanwhile: namespace %s is gone", nw.name, name)
		}
	}
	return nil
}
