package workload

// NewNamespace is newNamespace for the tests of the packages below this one.
var NewNamespace = newNamespace
