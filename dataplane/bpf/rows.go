package bpf

// Layout of the array of slots (types.h).
const (
	ListBackends = 16                      // a set of up to this many is a list: the programs compare the backends' scores themselves
	RowSlots     = len(DatapathRow{}.Word) // slots of a table in one row
	RowBackends  = RowSlots / 2            // backends of a list in one row, each with its number and its seed
)

// RowsOf is how many rows a set of a size takes; see DatapathBackendSet.
func RowsOf(size uint32) uint32 {
	if size <= ListBackends {
		return (size + uint32(RowBackends) - 1) / uint32(RowBackends)
	}
	return (size + uint32(RowSlots) - 1) / uint32(RowSlots)
}

// BackendAt is the number of a list's i-th backend, or of a table's in slot i. row reads a row of the array.
func BackendAt(s DatapathBackendSet, i uint32, row func(uint32) DatapathRow) uint32 {
	if s.Size <= ListBackends {
		return row(s.First + i/uint32(RowBackends)).Word[i%uint32(RowBackends)*2]
	}
	return row(s.First + i/uint32(RowSlots)).Word[i%uint32(RowSlots)]
}
