package topologies

// Rate is in bits per second; it is written with a unit, as in 100mbit or 1gbit (powers of ten).
type Rate int64

// Size is in bytes; it is written with a unit, as in 64kb or 3000b (k is 1024, as tc has it).
type Size int64
