package capture

import _ "embed"

// Dissector is a Lua script for Wireshark that decodes the DSR option.
//
//go:embed dsr.lua
var Dissector string
