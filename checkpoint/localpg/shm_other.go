//go:build unix && !linux && (!darwin || ios)

package localpg

// freeSharedMemory does nothing here: the system has no portable call for it,
// and the segment is 56 bytes.
func (m postmaster) freeSharedMemory() {}
