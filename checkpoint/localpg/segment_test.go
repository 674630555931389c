//go:build linux || (darwin && !ios)

package localpg

import "golang.org/x/sys/unix"

// segmentExists asks the kernel for a System V segment.
func segmentExists(id int) bool {
	var segment unix.SysvShmDesc
	_, err := unix.SysvShmCtl(id, unix.IPC_STAT, &segment)
	return id != 0 && err == nil
}
