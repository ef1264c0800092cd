package bpf

import _ "embed"

// ReasonsHeader is reasons.h: the comment of each reason is its meaning.
//
//go:embed reasons.h
var ReasonsHeader string

// ReasonsYAML is reasons.yaml: what leads to each reason, and what to do about it.
//
//go:embed reasons.yaml
var ReasonsYAML []byte
