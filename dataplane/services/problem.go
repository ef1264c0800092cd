package services

import "fmt"

// Problem is something in the objects that Build could not use. What it concerns is left out of the tables; all else
// is in them.
type Problem struct {
	// Object is kind and namespace/name ("service default/web"), or "options" or "node NAME".
	Object string `json:"object"`
	// Field is the path to what is wrong ("spec.ports[1].protocol").
	Field string `json:"field"`
	// What is wrong.
	What string `json:"what"`
	// Want is what would be right.
	Want string `json:"want"`
}

// Error is the problem in one line.
func (p Problem) Error() string {
	return fmt.Sprintf("%s: %s: %s; %s", p.Object, p.Field, p.What, p.Want)
}
