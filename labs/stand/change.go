package stand

import (
	"errors"
	"fmt"

	discoveryv1 "k8s.io/api/discovery/v1"
)

// SetEndpoints gives every node of our own data path other endpoints, as when pods come, go or begin to terminate. Running flows
// are not touched.
func (s *Stand) SetEndpoints(v Variant, slices []discoveryv1.EndpointSlice) error {
	s.plan.EndpointSlices = slices
	tables, err := s.Tables(v)
	if err != nil {
		return fmt.Errorf("set endpoints: %w", err)
	}
	var errs []error
	for _, n := range s.ClusterNodes() {
		errs = append(errs, s.lab.Do(n.Name, func() error {
			d, err := s.OpenDataPath(n.Name)
			if err != nil {
				return err
			}
			defer d.Close()
			return s.apply(d, n, tables)
		}))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("set endpoints: %w", err)
	}
	return s.tellAgents(tables)
}
